//! Checks mappings, says what they do, and tries them on a document.
//!
//! `cargo install portcullis-param-mapping --features cli`, then `portcullis-map help`.
#![forbid(unsafe_code)]

mod arguments;
mod explain;
mod indent;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use portcullis_gateway_error::{ConfigFile, InvalidConfig};
use portcullis_param_mapping::{Config, Mapping, json_schema};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::arguments::{Arguments, Command, Side};

/// Why nothing, or not all, was done.
enum Failure {
    /// The mapping is wrong, or refuses the document. The lines say so.
    Mistakes(Vec<String>),
    Io(io::Error),
}

type Done = Result<(), Failure>;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => return fail(2, &[format!("{message}; try `portcullis-map help`")]),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads no further has seen enough.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Io(error)) => fail(1, &[error.to_string()]),
        Err(Failure::Mistakes(lines)) => fail(1, &lines),
    }
}

fn fail(code: u8, lines: &[String]) -> ExitCode {
    for line in lines {
        // Where even that cannot be written, the exit code is all that is left to say.
        let _ = writeln!(io::stderr(), "{line}");
    }
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Done {
    let mut out = io::stdout().lock();
    match &arguments.command {
        Command::Help => out.write_all(arguments::HELP.as_bytes())?,
        Command::Version => writeln!(out, "portcullis-map {}", env!("CARGO_PKG_VERSION"))?,
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&json_schema());
            writeln!(out, "{}", schema.map_err(io::Error::from)?)?;
        }
        Command::Check(files) => check(files, arguments)?,
        Command::Explain(file) => {
            let text = read(file)?;
            compile(file, &text, arguments)?;
            let config = ConfigFile::parse(&text).and_then(|file| file.read::<Config>());
            let config = config.map_err(|mistake| Failure::Mistakes(vec![told(file, &mistake)]))?;
            out.write_all(explain::config(config).as_bytes())?;
        }
        Command::Apply(file, side) => {
            let (_, mapped) = apply(file, *side, arguments)?;
            out.write_all(&mapped)?;
        }
        Command::Diff(file, side) => {
            let (document, mapped) = apply(file, *side, arguments)?;
            let (before, after) = (indent::indented(&document), indent::indented(&mapped));
            let diff = TextDiff::from_lines(&*before, &*after);
            let mut diff = diff.unified_diff();
            write!(out, "{}", diff.header("before", "after"))?;
        }
    }
    Ok(out.flush()?)
}

/// All files, whatever is wrong with the first.
fn check(files: &[String], arguments: &Arguments) -> Done {
    let mut lines = Vec::new();
    for file in files {
        match read(file) {
            Ok(text) => lines.extend(mistakes_in(file, &text, arguments)),
            Err(Failure::Mistakes(mistakes)) => lines.extend(mistakes),
            Err(failure) => return Err(failure),
        }
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Failure::Mistakes(lines))
    }
}

/// The first mistake of each rule, and the first beside them.
fn mistakes_in(file: &str, text: &str, arguments: &Arguments) -> Vec<String> {
    let Err(first) = build(text, arguments) else {
        return Vec::new();
    };
    let mut lines = vec![told(file, &first)];
    let Ok(parsed) = ConfigFile::parse(text) else {
        return lines;
    };
    let Ok(mut mapping) = parsed.read::<Value>() else {
        return lines;
    };
    let (mut mistake, mut seen) = (first, HashSet::new());
    while let Some(rule) = rule_at(&mut mapping, &mistake.path())
        && seen.insert(mistake.path().split(']').next().map(str::to_owned))
    {
        // One that has nothing to do with any other stands for it, so that those behind keep their places.
        let name = match variable_in(rule) {
            Some(variable) => variable,
            None if mistake.path().starts_with("stream.") => {
                format!("data:/x-portcullis-map-{}", seen.len())
            }
            None => format!("header:x-portcullis-map-{}", seen.len()),
        };
        *rule = json!({"default": name, "value": ""});
        match build(&mapping.to_string(), arguments) {
            Ok(_) => break,
            Err(next) => mistake = parsed.locate(next),
        }
        if seen.contains(&mistake.path().split(']').next().map(str::to_owned)) {
            break;
        }
        lines.push(told(file, &mistake));
    }
    lines
}

/// A variable that a rule writes, which others may read.
fn variable_in(rule: &Value) -> Option<String> {
    let targets = ["to", "set", "add", "default"].map(|field| rule.get(field));
    let one = |target: &Value| match target {
        Value::Array(list) => list.first().and_then(Value::as_str).map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    };
    let mut names = targets.into_iter().flatten().filter_map(one);
    names.find(|name| name.starts_with("var:"))
}

/// The rule at the start of a path like `request.rules[2].to`.
fn rule_at<'a>(mapping: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let (side, rest) = path.split_once("rules[")?;
    let (index, _) = rest.split_once(']')?;
    let side = match side.strip_suffix('.') {
        Some(side) => mapping.get_mut(side)?,
        None => mapping,
    };
    side.get_mut("rules")?.get_mut(index.parse::<usize>().ok()?)
}

/// The document, and what the rules of one side make of it.
fn apply(file: &str, side: Side, arguments: &Arguments) -> Result<(Bytes, Bytes), Failure> {
    let mapping = compile(file, &read(file)?, arguments)?;
    let mut document = Vec::new();
    io::stdin().lock().read_to_end(&mut document)?;
    let document = Bytes::from(document);
    let mapped = match side {
        Side::Request => mapping.apply(&document),
        Side::Response => mapping.apply_response(&document),
    };
    let mapped = mapped.map_err(|error| Failure::Mistakes(vec![error.to_string()]))?;
    Ok((document, mapped.into_bytes()))
}

fn read(file: &str) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::Mistakes(vec![format!("{file}: {error}")]))
}

fn compile(file: &str, text: &str, arguments: &Arguments) -> Result<Mapping, Failure> {
    build(text, arguments).map_err(|mistake| Failure::Mistakes(vec![told(file, &mistake)]))
}

fn build(text: &str, arguments: &Arguments) -> Result<Mapping, InvalidConfig> {
    Mapping::from_yaml_with(text, |builder| {
        let functions = arguments.functions.iter();
        functions.fold(builder, |builder, name| {
            builder.function(name, |value| Ok(Some(value)))
        })
    })
}

fn told(file: &str, mistake: &InvalidConfig) -> String {
    let mut line = file.to_owned();
    if let Some(number) = mistake.line() {
        line.push_str(&format!(":{number}"));
    }
    let path = mistake.path();
    if !path.is_empty() {
        line.push_str(&format!(": {path}"));
    }
    format!("{line}: {}", mistake.message())
}

// === impl Failure ===

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
