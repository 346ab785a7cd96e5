//! A gateway: axum in front, hyper behind, and between them every layer of the stack.
//!
//! `cargo run --release -p portcullis-examples --bin gateway` starts it in front of an embedded upstream that answers `502 Bad Gateway` to one call in ten;
//! `--config FILE` puts it in front of any real one. With `--provider anthropic --upstream https://api.anthropic.com --api-key-env KEY`, or `chats:` in FILE, it serves
//! OpenAI's and Anthropic's chat APIs in front of other providers. SIGHUP reads the mapping in FILE anew; a wrong one is refused, and the log says why.

mod access_log;
mod chats;
mod client;
mod config;
mod forward;
mod limit;
mod reload;
mod serve;
mod upstream;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::config::{Arguments, LogForm, Settings};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::read(&arguments) {
        Ok(settings) => settings,
        Err(mistake) => return fail(2, &mistake),
    };
    if arguments.check_config {
        return match writeln!(io::stdout(), "the settings are right") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error.to_string()),
        };
    }

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match arguments.log {
        LogForm::Human => log.init(),
        LogForm::Json => log.json().init(),
    }
    match serve::run(&settings, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Where even that cannot be written, the exit code is all that is left to say.
    let _ = writeln!(io::stderr(), "gateway: {message}");
    ExitCode::from(code)
}
