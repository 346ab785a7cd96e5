//! Where an image or a file is.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ChatError;
use crate::json::Text;

/// What a message says of where an image or a file is.
pub(crate) enum Source<'a> {
    /// In the message: a `data:` URI in base64, after [RFC 2397](https://www.rfc-editor.org/rfc/rfc2397).
    Data {
        /// Its type, without parameters.
        mime: String,
        /// In base64, which needs no escapes in JSON.
        data: Cow<'a, str>,
    },
    /// Elsewhere.
    Url(Text<'a>),
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(crate) fn parse(url: Text<'a>, place: impl FnOnce() -> String) -> Result<Self, ChatError> {
        // Some callers escape slashes, so that there may be escapes in it.
        let plain = if url.escaped().contains('\\') {
            url.decode()
        } else {
            Cow::Borrowed(url.escaped())
        };
        let Some(start) = plain
            .get(..5)
            .filter(|start| start.eq_ignore_ascii_case("data:"))
        else {
            return Ok(Self::Url(url));
        };
        let wrong = |place: String| {
            let message = format!("`{place}` holds a data URI that is not in base64");
            ChatError::invalid(place, message)
        };
        let Some(comma) = plain.find(',') else {
            return Err(wrong(place()));
        };
        let head = plain.get(start.len()..comma).unwrap_or_default();
        let mut words = head.split(';');
        let mime = words.next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_base64 = words
            .next_back()
            .is_some_and(|word| word.trim().eq_ignore_ascii_case("base64"));
        let behind = comma + 1;
        let data = match plain {
            Cow::Borrowed(plain) => Cow::Borrowed(plain.get(behind..).unwrap_or_default()),
            Cow::Owned(plain) => Cow::Owned(plain.get(behind..).unwrap_or_default().to_owned()),
        };
        if !is_base64 || data.is_empty() || !is_alphabet(data.as_bytes()) {
            return Err(wrong(place()));
        }
        Ok(Self::Data { mime, data })
    }
}

/// A name as one segment of a path: all is encoded that is not unreserved,
/// [RFC 3986, section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3).
pub(crate) fn segment(name: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(name, RESERVED).to_string()
}

/// Whether there are only characters of base64, of either alphabet. Whole blocks at a time, which the compiler checks by vectors.
fn is_alphabet(data: &[u8]) -> bool {
    let is_right =
        |byte: &u8| byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    let mut blocks = data.chunks(64);
    blocks.all(|block| {
        block
            .iter()
            .fold(true, |right, byte| right & is_right(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_are_read_as_the_rfc_says() {
        for (url, expected) in [
            ("data:image/png;base64,QUJD", Some(("image/png", "QUJD"))),
            (
                "DATA:Image/PNG;name=a.png;base64,QUJD",
                Some(("image/png", "QUJD")),
            ),
            (r"data:image\/png;base64,QU\/D", Some(("image/png", "QU/D"))),
            ("data:;base64,QQ==", Some(("", "QQ=="))),
            ("data:image/png,QUJD", None),
            ("data:image/png;base64", None),
            ("data:image/png;base64,", None),
            ("data:image/png;base64,<>", None),
            (r#"data:image/png;base64,\""#, None),
        ] {
            let source = Source::parse(Text::of_escaped(url), || "it".to_owned());

            let data = match &source {
                Ok(Source::Data { mime, data }) => Some((mime.as_str(), &**data)),
                Ok(Source::Url(_)) => panic!("{url}"),
                Err(_) => None,
            };
            assert_eq!(data, expected, "{url}");
        }
    }
}
