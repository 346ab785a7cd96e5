use http::{HeaderMap, HeaderValue, Method, Request, header};

use crate::is_grpc;

/// Who an answer is for: what must be remembered of a request so that an answer can be made for it after the request is gone.
///
/// Taking one costs no allocation: header values are shared, not copied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Audience {
    /// The request's `accept`; for gRPC its `content-type`, which the answer repeats.
    header: Option<HeaderValue>,
    grpc: bool,
    head: bool,
}

/// The forms that an answer to an HTTP request can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Problem,
    Text,
    Html,
}

// === impl Audience ===

impl Audience {
    /// Remembers what an answer to this request needs to know.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::from_parts(request.method(), request.headers())
    }

    /// Remembers what an answer to a request with this method and these headers needs to know.
    #[must_use]
    pub fn from_parts(method: &Method, headers: &HeaderMap) -> Self {
        let grpc = is_grpc(headers);
        let name = if grpc {
            header::CONTENT_TYPE
        } else {
            header::ACCEPT
        };

        // What can only be answered as a problem document need not be kept.
        let kept = |value: &&HeaderValue| grpc || may_be_text(value.as_bytes());
        Self {
            header: headers.get(name).filter(kept).cloned(),
            grpc,
            head: method == Method::HEAD,
        }
    }

    /// Says whether the request is a gRPC call, so that the answer must be a gRPC status.
    #[must_use]
    pub const fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// Says whether the request is a `HEAD`, so that the answer has no body.
    #[must_use]
    pub const fn is_head(&self) -> bool {
        self.head
    }

    /// The content type that a gRPC answer repeats.
    pub(crate) fn grpc_content_type(&self) -> HeaderValue {
        self.header
            .clone()
            .unwrap_or(HeaderValue::from_static("application/grpc"))
    }

    /// Chooses the form by `accept`: the one of highest quality, a problem document where several are equal or nothing fits.
    pub(crate) fn format(&self) -> Format {
        let Some(accept) = &self.header else {
            return Format::Problem;
        };
        // An `accept` of the usual shape parses as a structured field list; what does not gets the default.
        let Ok(ranges) = sfv::Parser::new(accept.as_bytes()).parse::<sfv::List>() else {
            return Format::Problem;
        };
        let quality = |types: &[&str]| {
            let mut best = (0, 0);
            for entry in &ranges {
                let sfv::ListEntry::Item(item) = entry else {
                    continue;
                };
                let Some(range) = item.bare_item.as_token() else {
                    continue;
                };
                // The more exact range decides, whatever its quality is (RFC 9110, section 12.5.1).
                let exact = types
                    .iter()
                    .rev()
                    .position(|name| range.as_str().eq_ignore_ascii_case(name));
                if let Some(exact) = exact {
                    best = best.max((exact + 1, thousandths(item)));
                }
            }
            best.1
        };

        let problem = quality(&[
            "application/problem+json",
            "application/json",
            "application/*",
            "*/*",
        ]);
        let text = quality(&["text/plain", "text/*", "*/*"]);
        let html = quality(&["text/html", "text/*", "*/*"]);
        if html > problem && html >= text {
            Format::Html
        } else if text > problem {
            Format::Text
        } else {
            Format::Problem
        }
    }
}

/// The `q` parameter in thousandths; 1000 where it is absent or not a number.
fn thousandths(item: &sfv::Item) -> i64 {
    let q = sfv::KeyRef::from_str("q")
        .ok()
        .and_then(|key| item.params.get(key));
    match q {
        Some(sfv::BareItem::Integer(number)) => i64::from(*number).saturating_mul(1000),
        Some(sfv::BareItem::Decimal(number)) => number.as_integer_scaled_1000().into(),
        _ => 1000,
    }
}

/// Says whether an `accept` can ask for text: by a name, or by a wildcard beside something else.
fn may_be_text(accept: &[u8]) -> bool {
    accept != b"*/*"
        && accept != b"application/json"
        && (accept.contains(&b'*')
            || accept
                .windows(5)
                .any(|window| window.eq_ignore_ascii_case(b"text/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accept_decides_the_form() {
        for (accept, expected) in [
            ("*/*", Format::Problem),
            ("application/json", Format::Problem),
            ("text/plain", Format::Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Html,
            ),
            ("text/html;q=0.5, application/problem+json", Format::Problem),
            ("text/html;q=0, text/*", Format::Text),
            ("text/plain;q=0.9, */*;q=0.1", Format::Text),
            ("application/problem+json, text/html", Format::Problem),
            ("text/html, application/json;q=0.9", Format::Html),
            ("text/html;charset=utf-8;q=0.9", Format::Html),
            ("*/*;q=0", Format::Problem),
            ("", Format::Problem),
            ("image/png", Format::Problem),
            ("not,,an accept", Format::Problem),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);

            let audience = Audience::from_parts(&Method::GET, &headers);

            assert_eq!(audience.format(), expected, "accept: {accept}");
        }
        assert_eq!(Audience::default().format(), Format::Problem);
    }

    #[test]
    fn grpc_and_head_are_told_apart() {
        for (method, content_type, grpc, head) in [
            (Method::POST, "application/grpc", true, false),
            (Method::POST, "application/grpc+proto", true, false),
            (Method::POST, "application/grpc-web", false, false),
            (Method::HEAD, "text/plain", false, true),
        ] {
            let headers =
                HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);

            let audience = Audience::from_parts(&method, &headers);

            assert_eq!(
                (audience.is_grpc(), audience.is_head()),
                (grpc, head),
                "{content_type}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_accept_that_is_not_kept_asks_for_no_text(
            ranges in prop::collection::vec(
                ("(\\*/\\*|text/(plain|html|\\*|css)|TEXT/HTML|application/(json|problem\\+json|\\*)|image/png)", "(|;q=0|;q=0\\.3|; q=1)"),
                0..4,
            ),
        ) {
            let ranges: Vec<_> = ranges.iter().map(|(range, q)| format!("{range}{q}")).collect();
            let value: HeaderValue = ranges.join(", ").parse().unwrap();
            let whole = Audience { header: Some(value.clone()), ..Audience::default() };
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);

            prop_assert_eq!(Audience::from_parts(&Method::GET, &headers).format(), whole.format());
        }

        #[test]
        fn any_accept_has_a_form(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
                Audience::from_parts(&Method::GET, &headers).format();
            }
        }
    }
}
