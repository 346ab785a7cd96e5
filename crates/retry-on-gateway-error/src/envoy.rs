//! What a trusted hop says in Envoy's headers about the retries of a request.

use std::num::NonZeroU32;

use http::HeaderMap;

use crate::{RetryOn, RetryPolicy, StatusCodes};

/// Takes the headers off a request, so that they go no further, and reads them as Envoy's router does: the classes and statuses that they name come on top of the
/// layer's own, and `x-envoy-max-retries` replaces its number of attempts. What came from outside makes no more attempts than [`MAX_ATTEMPTS`].
pub(crate) fn take(headers: &mut HeaderMap) -> Option<RetryPolicy> {
    let mut take = |name: &str| {
        let value = headers.remove(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let classes = [take("x-envoy-retry-on"), take("x-envoy-retry-grpc-on")];
    let retries = take("x-envoy-max-retries").and_then(|text| text.trim().parse::<u32>().ok());
    let codes = take("x-envoy-retriable-status-codes").and_then(|text| text.parse().ok());

    let classes = classes
        .iter()
        .flatten()
        .map(|text| RetryOn::known_words(text))
        .reduce(RetryOn::union);
    let policy = RetryPolicy {
        max_attempts: retries
            .map(|retries| NonZeroU32::MIN.saturating_add(retries).min(MAX_ATTEMPTS)),
        also_retry_on: classes,
        also_codes: codes.filter(|codes: &StatusCodes| !codes.is_empty()),
        ..RetryPolicy::default()
    };
    (policy != RetryPolicy::default()).then_some(policy)
}

/// What somebody else's settings may ask for: gRPC's limit for a service config (gRFC A6), used for headers too.
pub(crate) const MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        lines.collect()
    }

    #[test]
    fn the_headers_of_envoy_are_read_and_removed() {
        let mut headers = headers(&[
            ("x-envoy-retry-on", "5xx,who-knows,reset"),
            ("x-envoy-retry-grpc-on", "cancelled"),
            ("x-envoy-max-retries", "2"),
            ("x-envoy-retriable-status-codes", "409,425"),
            ("x-kept", "1"),
        ]);

        let policy = take(&mut headers).unwrap();

        let expected = RetryPolicy {
            also_retry_on: Some(RetryOn::SERVER_ERROR | RetryOn::RESET | RetryOn::GRPC_CANCELLED),
            also_codes: Some([409, 425].into()),
            ..RetryPolicy::new().max_attempts(NonZeroU32::new(3).unwrap())
        };
        assert_eq!(policy, expected);
        assert_eq!(headers.len(), 1, "{headers:?}");
    }

    #[test]
    fn what_came_from_outside_has_its_limits() {
        for (lines, expected) in [
            (&[("x-envoy-max-retries", "1000")][..], Some(5)),
            (&[("x-envoy-max-retries", "4294967295")], Some(5)),
            (&[("x-envoy-max-retries", "0")], Some(1)),
            (&[("x-envoy-retry-on", "5xx")], None),
            (&[("x-envoy-max-retries", "-1")], None),
            (&[("x-envoy-max-retries", "many")], None),
            (&[("x-envoy-retriable-status-codes", "nonsense")], None),
            (&[], None),
        ] {
            let policy = take(&mut headers(lines));

            let attempts = policy.and_then(|policy| policy.max_attempts);
            assert_eq!(attempts, expected.and_then(NonZeroU32::new), "{lines:?}");
        }
    }
}
