//! What was asked for on the command line.

use std::ffi::OsString;

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) command: Command,
    /// Names of functions that the program which uses the mapping has.
    pub(crate) functions: Vec<String>,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Command {
    Help,
    Version,
    Schema,
    Check(Vec<String>),
    Explain(String),
    Apply(String, Side),
    Diff(String, Side),
}

/// Whose rules are applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Request,
    Response,
}

// === impl Arguments ===

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut functions = Vec::new();
        let mut side = None;
        let mut takes_options = true;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument
                .into_string()
                .map_err(|argument| format!("{} is not UTF-8", argument.display()))?;
            match &*text {
                "--" if takes_options => takes_options = false,
                "--help" | "-h" if takes_options => words = vec!["help".to_owned()],
                "--version" | "-V" if takes_options => words = vec!["version".to_owned()],
                "--request" if takes_options => side = Some(Side::Request),
                "--response" if takes_options => side = Some(Side::Response),
                "--function" if takes_options => {
                    let name = arguments.next().and_then(|name| name.into_string().ok());
                    functions.push(name.ok_or("--function needs a name")?);
                }
                option if takes_options && option.starts_with('-') && option.len() > 1 => {
                    return Err(format!("there is no option {option}"));
                }
                _ => words.push(text),
            }
        }
        let mut words = words.into_iter();
        let command = words.next().ok_or("no command is given")?;
        let files: Vec<_> = words.collect();
        let has_side = matches!(&*command, "apply" | "diff");
        if side.is_some() && !has_side {
            return Err(format!("{command} has no side"));
        }
        let side = side.unwrap_or(Side::Request);
        let one = |files: Vec<String>| match <[String; 1]>::try_from(files) {
            Ok([file]) => Ok(file),
            Err(_) => Err(format!("{command} needs one file")),
        };
        let command = match &*command {
            "check" if files.is_empty() => return Err("check needs a file".to_owned()),
            "check" => Command::Check(files),
            "explain" => Command::Explain(one(files)?),
            "apply" => Command::Apply(one(files)?, side),
            "diff" => Command::Diff(one(files)?, side),
            "help" => Command::Help,
            "version" => Command::Version,
            "schema" if files.is_empty() => Command::Schema,
            "schema" => return Err("schema needs no file".to_owned()),
            other => return Err(format!("there is no command {other}")),
        };
        Ok(Self { command, functions })
    }
}

pub(crate) const HELP: &str = "\
Checks mappings of parameters, says what they do, and tries them.

  portcullis-map check FILE...         says nothing, or FILE:LINE: and the mistake
  portcullis-map explain FILE          says what each rule does, one sentence a rule
  portcullis-map apply FILE < a.json   writes what the rules for requests make of a document
  portcullis-map diff FILE < a.json    the same, as the difference between before and after
  portcullis-map schema                writes the JSON Schema of a mapping, for editors

  --response        for apply and diff: the rules for responses
  --function NAME   the program that uses the mapping has this function; here it changes nothing

Rules for the head find nothing here: a document has none. Secrets must be there, as they must be where the mapping is used.
Exit code: 0; 1 where a mapping is wrong or refuses the document; 2 where the arguments are wrong.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_command_with_its_files() {
        for (line, expected) in [
            (
                "check a b",
                Ok(Command::Check(vec!["a".into(), "b".into()])),
            ),
            ("apply a", Ok(Command::Apply("a".into(), Side::Request))),
            (
                "diff --response a",
                Ok(Command::Diff("a".into(), Side::Response)),
            ),
            ("explain -- --a", Ok(Command::Explain("--a".into()))),
            ("check --help", Ok(Command::Help)),
            ("-V", Ok(Command::Version)),
            ("", Err("no command is given")),
            ("check", Err("check needs a file")),
            ("apply a b", Err("apply needs one file")),
            ("check --response a", Err("check has no side")),
            ("chek a", Err("there is no command chek")),
            ("check --all a", Err("there is no option --all")),
            ("check a --function", Err("--function needs a name")),
            ("schema a", Err("schema needs no file")),
        ] {
            let words = line.split_whitespace().map(OsString::from);

            let command = Arguments::parse(words).map(|arguments| arguments.command);

            assert_eq!(command, expected.map_err(str::to_owned), "{line}");
        }
    }
}
