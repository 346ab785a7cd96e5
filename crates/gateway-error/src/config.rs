use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment as SerdeSegment;

use crate::InvalidConfig;
use crate::invalid_config::Segment;

/// A settings file, read and kept so that every mistake found later can be told with its line. YAML, and so JSON too.
///
/// ```
/// use portcullis_gateway_error::{ConfigFile, InvalidConfig};
///
/// let file = ConfigFile::parse("retry:\n  attempts: many\n")?;
/// let mistake = file.read::<std::collections::HashMap<String, u32>>().unwrap_err();
/// assert_eq!(
///     mistake.to_string(),
///     "line 1, column 1: retry: invalid type: map, expected u32"
/// );
/// # Ok::<_, InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfigFile<'a> {
    root: MarkedYaml<'a>,
}

// === impl ConfigFile ===

impl<'a> ConfigFile<'a> {
    /// Parses the text. An empty one is an empty mapping.
    ///
    /// # Errors
    /// When it is not YAML, holds more than one document, or names a key twice.
    pub fn parse(text: &'a str) -> Result<Self, InvalidConfig> {
        let mut documents = MarkedYaml::load_from_str(text).map_err(|error| {
            let marker = error.marker();
            InvalidConfig::whole(error.info().to_owned()).at((marker.line(), marker.col() + 1))
        })?;
        let root = documents
            .pop()
            .unwrap_or_else(|| MarkedYaml::from(YamlData::Mapping(Default::default())));
        if !documents.is_empty() {
            return Err(InvalidConfig::whole("holds more than one document"));
        }
        Ok(Self { root })
    }

    /// Reads the whole as a type.
    ///
    /// # Errors
    /// When the type does not accept it; the error names the field and its line.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, InvalidConfig> {
        let value = value(&self.root).map_err(|mistake| self.locate(mistake))?;
        serde_path_to_error::deserialize(value).map_err(|error| {
            let mistake = InvalidConfig::whole(error.inner().to_string());
            let segments: Vec<_> = error.path().iter().collect();
            let mistake =
                segments
                    .into_iter()
                    .rev()
                    .fold(mistake, |mistake, segment| match segment {
                        SerdeSegment::Seq { index } => mistake.within_index(*index),
                        SerdeSegment::Map { key } => mistake.within(key.clone()),
                        SerdeSegment::Enum { variant } => mistake.within(variant.clone()),
                        SerdeSegment::Unknown => mistake,
                    });
            self.locate(mistake)
        })
    }

    /// Adds the line of the field that a mistake names, or of the nearest one around it that is in the file.
    #[must_use]
    pub fn locate(&self, mistake: InvalidConfig) -> InvalidConfig {
        let mut node = &self.root;
        let mut marker = node.span.start;
        for segment in mistake.segments() {
            let next = match (segment, &node.data) {
                (Segment::Index(index), YamlData::Sequence(items)) => {
                    items.get(*index).map(|item| (item.span.start, item))
                }
                (Segment::Field(field), YamlData::Mapping(members)) => members
                    .iter()
                    .find(|(key, _)| key.data.as_str() == Some(field))
                    .map(|(key, member)| (key.span.start, member)),
                _ => None,
            };
            let Some((start, inner)) = next else { break };
            (marker, node) = (start, inner);
        }
        mistake.at((marker.line(), marker.col() + 1))
    }
}

fn value(node: &MarkedYaml<'_>) -> Result<Value, InvalidConfig> {
    match &node.data {
        YamlData::Value(scalar) => Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(number) => Value::from(*number),
            Scalar::FloatingPoint(number) => {
                let number = Number::from_f64(number.into_inner());
                Value::Number(number.ok_or_else(|| InvalidConfig::whole("is not a finite number"))?)
            }
            Scalar::String(text) => Value::from(text.as_ref()),
        }),
        YamlData::Sequence(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| value(item).map_err(|mistake| mistake.within_index(index)))
            .collect(),
        YamlData::Mapping(members) => {
            let mut object = Map::new();
            for (key, member) in members {
                let name = match &key.data {
                    YamlData::Value(Scalar::String(text)) => text.to_string(),
                    YamlData::Value(Scalar::Integer(number)) => number.to_string(),
                    _ => return Err(InvalidConfig::whole("holds a key that is not text")),
                };
                let member = value(member).map_err(|mistake| mistake.within(name.clone()))?;
                object.insert(name, member);
            }
            Ok(Value::Object(object))
        }
        YamlData::Tagged(..) => Err(InvalidConfig::whole(
            "holds a YAML tag, which has no meaning here",
        )),
        YamlData::Representation(..) | YamlData::Alias(_) | YamlData::BadValue => {
            Err(InvalidConfig::whole("is not a valid YAML value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        attempts: u32,
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        #[expect(dead_code, reason = "only read by serde")]
        to: String,
    }

    #[test]
    fn every_mistake_has_its_line_and_path() {
        for (text, expected) in [
            (
                "attempts: [",
                "line 2, column 1: while parsing a node, did not find expected node content",
            ),
            (
                "attempts: 1\nattempt: 2\n",
                "line 2, column 1: attempt: unknown field `attempt`, expected `attempts` or `rules`",
            ),
            (
                "attempts: many",
                "line 1, column 1: attempts: invalid type: string \"many\", expected u32",
            ),
            (
                "rules:\n  - to: a\n  - to: 7\n",
                "line 3, column 5: rules[1].to: invalid type: integer `7`, expected a string",
            ),
            (
                "rules:\n  - {}\n",
                "line 2, column 5: rules[0]: missing field `to`",
            ),
            (
                "attempts: .nan",
                "line 1, column 1: attempts: is not a finite number",
            ),
            ("a: 1\n---\nb: 2\n", "holds more than one document"),
        ] {
            let read = ConfigFile::parse(text).and_then(|file| file.read::<Settings>());

            assert_eq!(
                read.map(|_| ()).map_err(|error| error.to_string()),
                Err(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_named_twice_is_a_mistake() {
        let mistake = ConfigFile::parse("attempts: 1\nattempts: 2\n")
            .map(|_| ())
            .unwrap_err();

        assert_eq!(mistake.line(), Some(2), "{mistake}");
    }

    #[test]
    fn a_mistake_found_later_is_located() {
        let file = ConfigFile::parse("rules:\n  - to: a\n  - to: b\n").unwrap();

        let mistake = InvalidConfig::new("to", "is taken")
            .within_index(1)
            .within("rules");

        assert_eq!(
            file.locate(mistake).to_string(),
            "line 3, column 5: rules[1].to: is taken"
        );
    }

    #[test]
    fn an_empty_file_and_json_are_settings_too() {
        for text in ["", "# nothing\n", r#"{"attempts": 0, "rules": []}"#] {
            let settings: Settings = ConfigFile::parse(text)
                .and_then(|file| file.read())
                .unwrap();

            assert_eq!((settings.attempts, settings.rules.len()), (0, 0), "{text}");
        }
    }
}
