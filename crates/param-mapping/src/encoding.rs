//! What the layer knows of content codings, with the feature `codings` and without it.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

#[cfg(feature = "codings")]
use crate::coding::{Coding, Codings, DecodeLimits, decode};
use crate::refusal::Refusal;

/// Whether a body with this head can be read: it is without a coding, or can be decoded.
pub(crate) fn is_readable(headers: &HeaderMap) -> bool {
    #[cfg(feature = "codings")]
    let is_readable =
        !headers.contains_key(CONTENT_ENCODING) || Codings::from_headers(headers).is_ok();
    #[cfg(not(feature = "codings"))]
    let is_readable = is_identity(headers);
    is_readable
}

/// The decoded body; `None` where it is without a coding. Neither it nor what it is decoded to is longer than the limit.
pub(crate) fn decoded(
    headers: &HeaderMap,
    body: &Bytes,
    limit: usize,
) -> Result<Option<Bytes>, Refusal> {
    if is_identity(headers) || body.is_empty() {
        return Ok(None);
    }
    #[cfg(feature = "codings")]
    {
        let decoded = Codings::from_headers(headers)
            .and_then(|codings| decode(&codings, body.clone(), DecodeLimits::new(limit)));
        decoded.map(Some).map_err(|error| Refusal::coding(&error))
    }
    // Such a body was not read.
    #[cfg(not(feature = "codings"))]
    {
        let _ = limit;
        Ok(None)
    }
}

/// Takes the codings that cannot be decoded off what the caller accepts, for a response that must be read. Where nothing is said, nothing is
/// added.
pub(crate) fn narrow(headers: &mut HeaderMap) {
    let mut is_narrower = false;
    let mut kept = String::new();
    for line in headers.get_all(ACCEPT_ENCODING) {
        let Ok(line) = line.to_str() else {
            is_narrower = true;
            continue;
        };
        for item in line.split(',').map(str::trim) {
            let name = item.split(';').next().unwrap_or_default().trim();
            if !item.is_empty() && !is_known(name) {
                is_narrower = true;
            } else if !item.is_empty() {
                if !kept.is_empty() {
                    kept.push_str(", ");
                }
                kept.push_str(item);
            }
        }
    }
    if !is_narrower {
        return;
    }
    let kept = HeaderValue::try_from(kept).ok();
    let kept = kept.filter(|kept| !kept.is_empty());
    let kept = kept.unwrap_or(HeaderValue::from_static("identity"));
    headers.insert(ACCEPT_ENCODING, kept);
}

fn is_identity(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    lines.all(|line| {
        let mut codings = line.as_bytes().split(|byte| *byte == b',');
        codings.all(|coding| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        })
    })
}

fn is_known(name: &str) -> bool {
    #[cfg(feature = "codings")]
    let is_known = Coding::from_name(name).is_some();
    #[cfg(not(feature = "codings"))]
    let is_known = false;
    is_known || name.eq_ignore_ascii_case("identity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_narrowed_to_what_can_be_read() {
        let all = cfg!(feature = "codings");
        for (lines, with_codings, without) in [
            (&[][..], None, None),
            (&["identity"], Some("identity"), Some("identity")),
            (
                &["gzip,  x-gzip;q=0.5"],
                Some("gzip,  x-gzip;q=0.5"),
                Some("identity"),
            ),
            (
                &["gzip;q=1, lzw, *", "br"],
                Some("gzip;q=1, br"),
                Some("identity"),
            ),
            (
                &["lzw", "identity;q=0.1"],
                Some("identity;q=0.1"),
                Some("identity;q=0.1"),
            ),
            (&["*"], Some("identity"), Some("identity")),
            (&[""], Some(""), Some("")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, line.parse().unwrap());
            }

            narrow(&mut headers);

            let narrowed = headers.get(ACCEPT_ENCODING);
            let narrowed = narrowed.map(|line| line.to_str().unwrap());
            assert_eq!(
                narrowed,
                if all { with_codings } else { without },
                "{lines:?}"
            );
        }
    }

    #[test]
    fn every_line_of_codings_counts() {
        for (lines, expected) in [
            (&[][..], true),
            (&["identity"], true),
            (&["identity", "lzw"], false),
            (&["identity, lzw"], false),
            (&["gzip"], cfg!(feature = "codings")),
            (&["zstd"], cfg!(feature = "zstd")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, line.parse().unwrap());
            }

            assert_eq!(is_readable(&headers), expected, "{lines:?}");
        }
    }
}
