//! What an attempt carries for the upstream to see: its number, the idempotency key, its own place in the trace.

use std::num::NonZeroU32;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_gateway_error::Chance;

/// How the upstream is told the number of an attempt. What the request has under the same name is replaced: the layer does not trust it.
///
/// Default: it is not, but for gRPC's `grpc-previous-rpc-attempts`, which every gRPC retry carries (gRFC A6).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AttemptHeader {
    /// Not at all.
    #[default]
    None,
    /// The number of the attempt under this name, from 1, on every attempt: `x-envoy-attempt-count: 2` (Envoy).
    Count(HeaderName),
    /// `amz-sdk-request: attempt=2; max=3`, on every attempt (AWS).
    AmzSdkRequest,
}

/// The marks that the settings ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) attempt: AttemptHeader,
    /// Gives each further attempt a parent id of its own.
    pub(crate) renew_traceparent: bool,
}

// === impl AttemptHeader ===

impl AttemptHeader {
    /// Envoy's `x-envoy-attempt-count`.
    #[must_use]
    pub const fn envoy() -> Self {
        Self::Count(HeaderName::from_static("x-envoy-attempt-count"))
    }
}

// === impl Marks ===

impl Marks {
    /// Marks an attempt. `sent`: how many attempts the server can have seen before, of a gRPC call; None for one that is none.
    pub(crate) fn apply(
        &self,
        head: &mut Parts,
        number: NonZeroU32,
        max: NonZeroU32,
        sent: Option<u32>,
        chance: &Chance,
    ) {
        match &self.attempt {
            AttemptHeader::None => {}
            AttemptHeader::Count(name) => {
                let number = HeaderValue::from(number.get());
                head.headers.insert(name.clone(), number);
            }
            AttemptHeader::AmzSdkRequest => {
                if let Ok(value) = format!("attempt={number}; max={max}").try_into() {
                    head.headers.insert(AMZ_SDK_REQUEST, value);
                }
            }
        }
        if let Some(sent @ 1..) = sent {
            head.headers
                .insert(PREVIOUS_ATTEMPTS, HeaderValue::from(sent));
        }
        if self.renew_traceparent && number > NonZeroU32::MIN {
            renew_traceparent(&mut head.headers, chance);
        }
    }
}

/// Replaces the parent id of a W3C `traceparent`, and keeps the trace: two attempts are two spans (OpenTelemetry's semantic conventions for HTTP).
fn renew_traceparent(headers: &mut HeaderMap, chance: &Chance) {
    let Some(value) = headers.get(TRACEPARENT) else {
        return;
    };
    let mut bytes = value.as_bytes().to_vec();
    // version "-" trace id "-" parent id "-" flags
    let Some(parent) = bytes
        .get_mut(36..52)
        .filter(|id| id.iter().all(u8::is_ascii_hexdigit))
    else {
        return;
    };
    // An id of nothing but zeros is invalid.
    let id = chance.up_to(u64::MAX - 1) + 1;
    parent.copy_from_slice(format!("{id:016x}").as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&bytes) {
        headers.insert(TRACEPARENT, value);
    }
}

const AMZ_SDK_REQUEST: HeaderName = HeaderName::from_static("amz-sdk-request");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn marked(marks: &Marks, lines: &[(&str, &str)], number: u32, sent: Option<u32>) -> HeaderMap {
        let builder = lines
            .iter()
            .fold(Request::builder(), |builder, (name, value)| {
                builder.header(*name, *value)
            });
        let (mut head, ()) = builder.body(()).unwrap().into_parts();
        let number = NonZeroU32::new(number).unwrap();
        let max = NonZeroU32::new(3).unwrap();
        marks.apply(&mut head, number, max, sent, &Chance::seeded(1));
        head.headers
    }

    #[test]
    fn an_attempt_is_numbered_as_the_upstream_reads_it() {
        let marks = |attempt| Marks {
            attempt,
            ..Marks::default()
        };
        let forged = [("x-envoy-attempt-count", "99")];

        let envoy = marked(&marks(AttemptHeader::envoy()), &forged, 1, None);
        assert_eq!(
            envoy["x-envoy-attempt-count"], "1",
            "not what the caller said"
        );
        let aws = marked(&marks(AttemptHeader::AmzSdkRequest), &[], 2, None);
        assert_eq!(aws["amz-sdk-request"], "attempt=2; max=3");
        assert!(marked(&Marks::default(), &[], 2, None).is_empty());
    }

    #[test]
    fn a_grpc_retry_says_how_many_attempts_went_before_and_a_first_one_does_not() {
        let none = Marks::default();

        assert!(marked(&none, &[], 1, Some(0)).is_empty());
        assert_eq!(
            marked(&none, &[], 2, Some(1))["grpc-previous-rpc-attempts"],
            "1"
        );
    }

    #[test]
    fn an_attempt_has_its_own_parent_id_in_the_same_trace() {
        let renew = Marks {
            renew_traceparent: true,
            ..Marks::default()
        };
        let line = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

        let first = marked(&renew, &[("traceparent", line)], 1, None);
        let second = marked(&renew, &[("traceparent", line)], 2, None);

        assert_eq!(first["traceparent"], line);
        let second = second["traceparent"].to_str().unwrap();
        assert_ne!(second, line);
        let frame = |line: &str| {
            (
                line.get(..36).map(str::to_owned),
                line.get(52..).map(str::to_owned),
            )
        };
        assert_eq!(frame(second), frame(line));
        let broken = marked(&renew, &[("traceparent", "00-short")], 2, None);
        assert_eq!(broken["traceparent"], "00-short");
    }
}
