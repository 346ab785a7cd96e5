use std::fmt::Write;

use http::{HeaderName, Method, header};

use super::redact::{redact_header, redact_uri};
use crate::RequestFacts;

/// A command for a POSIX shell that repeats the request.
pub(super) fn command(request: &RequestFacts) -> String {
    let mut command = String::from("curl -i -g --path-as-is");
    match request.method {
        Method::GET => {}
        // `-X HEAD` waits for a body that does not come.
        Method::HEAD => command.push_str(" --head"),
        ref method => push(&mut command, "-X", method.as_str()),
    }
    for (name, value) in &request.headers {
        if !is_made_by_curl(name) {
            let value = redact_header(name, value);
            // A colon alone would remove the header.
            let line = if value.is_empty() {
                format!("{name};")
            } else {
                format!("{name}: {value}")
            };
            push(&mut command, "-H", &line);
        }
    }
    if has_body(request) {
        command.push_str(" --data-binary @body.bin");
    }
    let _ = write!(command, " {}", quoted(&redact_uri(&request.whole_uri())));
    command
}

fn push(command: &mut String, option: &str, value: &str) {
    let _ = write!(command, " {option} {}", quoted(value));
}

/// Within single quotes a shell takes everything as it is but the single quote.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn has_body(request: &RequestFacts) -> bool {
    let length = request.headers.get(header::CONTENT_LENGTH);
    length.is_some_and(|length| length != "0")
        || request.headers.contains_key(header::TRANSFER_ENCODING)
}

/// What belongs to the connection or follows from the rest.
fn is_made_by_curl(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}
