use http::StatusCode;
use serde_json::{Map, Value};

/// A problem document, `application/problem+json` of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457).
///
/// See the [crate docs](crate) for examples.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// A URI that names the type of the problem. Absent means `about:blank`: no more than the status says.
    pub kind: Option<String>,
    /// A short text for people, the same for every occurrence of the type.
    pub title: Option<String>,
    /// The HTTP status, as the server that made the document set it.
    pub status: Option<StatusCode>,
    /// A text for people about this occurrence.
    pub detail: Option<String>,
    /// A URI that names this occurrence.
    pub instance: Option<String>,
    /// Extension members, in order.
    pub extensions: Map<String, Value>,
}

// === impl Problem ===

impl Problem {
    /// The media type of a problem document.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A problem that says no more than its status: `title` is the status's reason phrase.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            title: status.canonical_reason().map(str::to_owned),
            status: Some(status),
            ..Self::default()
        }
    }

    /// Reads a document. Members of the wrong type are ignored, as
    /// [RFC 9457, section 3.1](https://www.rfc-editor.org/rfc/rfc9457#section-3.1) asks.
    ///
    /// # Errors
    /// When the bytes are not a JSON object.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut members: Map<String, Value> = serde_json::from_slice(bytes)?;
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (kind, title, detail, instance) = (
            text("type"),
            text("title"),
            text("detail"),
            text("instance"),
        );
        let status = members
            .remove("status")
            .as_ref()
            .and_then(Value::as_u64)
            .and_then(|number| u16::try_from(number).ok())
            .and_then(|number| StatusCode::from_u16(number).ok());

        Ok(Self {
            kind,
            title,
            status,
            detail,
            instance,
            extensions: members,
        })
    }

    /// Writes the document: the members of the RFC first, then the extensions, which cannot replace them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut members = Map::new();
        let texts = [("type", &self.kind), ("title", &self.title)];
        let more = [("detail", &self.detail), ("instance", &self.instance)];
        let put = |members: &mut Map<String, Value>, pairs: [(&str, &Option<String>); 2]| {
            for (name, value) in pairs {
                if let Some(value) = value {
                    members.insert(name.to_owned(), Value::from(value.as_str()));
                }
            }
        };
        put(&mut members, texts);
        if let Some(status) = self.status {
            members.insert("status".to_owned(), Value::from(status.as_u16()));
        }
        put(&mut members, more);
        for (name, value) in &self.extensions {
            members
                .entry(name.as_str())
                .or_insert_with(|| value.clone());
        }
        Value::Object(members).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_written_and_read_back() {
        let mut problem = Problem::new(StatusCode::BAD_GATEWAY);
        problem.detail = Some("the connection was refused".to_owned());
        problem
            .extensions
            .insert("error".to_owned(), Value::from("connection_refused"));
        problem
            .extensions
            .insert("status".to_owned(), Value::from(200));

        let json = problem.to_json();

        let read = Problem::from_slice(json.as_bytes()).unwrap();
        assert_eq!(
            read.status,
            Some(StatusCode::BAD_GATEWAY),
            "an extension replaces no member: {json}"
        );
        assert_eq!(read.title.as_deref(), Some("Bad Gateway"));
        assert_eq!(read.detail, problem.detail);
        assert_eq!(read.extensions["error"], "connection_refused");
    }

    #[test]
    fn members_of_the_wrong_type_are_ignored() {
        let read = Problem::from_slice(br#"{"type": 7, "status": "502", "title": "t"}"#).unwrap();

        assert_eq!(
            (read.kind, read.status, read.title.as_deref()),
            (None, None, Some("t"))
        );
        assert!(Problem::from_slice(b"[]").is_err());
    }

    #[test]
    fn the_members_of_the_rfc_come_first() {
        let mut problem = Problem::new(StatusCode::FORBIDDEN);
        problem.kind = Some("https://example.com/probs/out-of-credit".to_owned());
        problem.instance = Some("/account/12345".to_owned());
        problem
            .extensions
            .insert("balance".to_owned(), Value::from(30));

        assert_eq!(
            problem.to_json(),
            r#"{"type":"https://example.com/probs/out-of-credit","title":"Forbidden","status":403,"instance":"/account/12345","balance":30}"#
        );
        assert_eq!(Problem::default().to_json(), "{}");
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(".{0,20}")
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Problem::from_slice(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(
            kind in text(), title in text(), detail in text(), instance in text(), status in 100_u16..1000
        ) {
            let status = StatusCode::from_u16(status).ok();
            let problem = Problem { kind, title, status, detail, instance, ..Problem::default() };

            prop_assert_eq!(Problem::from_slice(problem.to_json().as_bytes()).unwrap(), problem);
        }
    }
}
