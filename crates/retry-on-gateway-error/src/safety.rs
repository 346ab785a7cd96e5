use std::collections::BTreeSet;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
#[cfg(feature = "idempotency-key")]
use portcullis_gateway_error::is_grpc;

use crate::Idempotent;

/// Which requests may be sent twice, though the upstream may have processed them (RFC 9110, section 9.2.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct Safety {
    /// All of them.
    pub(crate) assume_idempotent: bool,
    /// These gRPC methods: `/package.Service/Method`, or `/package.Service/*`. Sorted, so that two of the same are written the same.
    pub(crate) grpc_methods: Arc<BTreeSet<Box<str>>>,
}

// === impl Safety ===

impl Safety {
    /// Whether doing the request twice does no harm, by the caller's word, the method, the key or the list.
    pub(crate) fn is_idempotent(&self, request: &Parts) -> bool {
        match request.extensions.get() {
            Some(Idempotent(idempotent)) => *idempotent,
            None => {
                self.assume_idempotent
                    || is_idempotent_method(&request.method)
                    || has_idempotency_key(&request.headers)
                    || self.lists(request.uri.path())
            }
        }
    }

    fn lists(&self, path: &str) -> bool {
        if self.grpc_methods.is_empty() {
            return false;
        }
        let service = path
            .rsplit_once('/')
            .map(|(service, _)| format!("{service}/*"));
        self.grpc_methods.contains(path)
            || service.is_some_and(|all| self.grpc_methods.contains(all.as_str()))
    }
}

/// The methods of RFC 9110, section 9.2.2, and QUERY of RFC 10008.
fn is_idempotent_method(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" | "QUERY"
    )
}

/// A key makes the upstream answer for the second time what it answered the first time. An empty one makes nothing.
pub(crate) fn has_idempotency_key(headers: &HeaderMap) -> bool {
    headers
        .get(IDEMPOTENCY_KEY)
        .is_some_and(|key| !key.is_empty())
}

/// Gives a request that is neither idempotent nor has a key a key of its own: a UUID of version 4, quoted as a structured string.
#[cfg(feature = "idempotency-key")]
pub(crate) fn add_idempotency_key(request: &mut Parts) {
    if is_grpc(&request.headers)
        || is_idempotent_method(&request.method)
        || has_idempotency_key(&request.headers)
    {
        return;
    }
    if let Ok(key) = format!("\"{}\"", uuid::Uuid::new_v4()).try_into() {
        request.headers.insert(IDEMPOTENCY_KEY, key);
    }
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let builder = Request::builder().method(method).uri(path);
        let builder = headers.iter().fold(builder, |builder, (name, value)| {
            builder.header(*name, *value)
        });
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_is_idempotent_by_method_by_key_or_by_word() {
        for (method, headers, word, expected) in [
            ("GET", &[][..], None, true),
            ("HEAD", &[], None, true),
            ("OPTIONS", &[], None, true),
            ("TRACE", &[], None, true),
            ("PUT", &[], None, true),
            ("DELETE", &[], None, true),
            ("QUERY", &[], None, true),
            ("POST", &[], None, false),
            ("PATCH", &[], None, false),
            ("get", &[], None, false),
            ("POST", &[("idempotency-key", "\"8e03978e\"")], None, true),
            ("POST", &[("idempotency-key", "")], None, false),
            ("POST", &[], Some(true), true),
            ("GET", &[], Some(false), false),
            ("POST", &[("idempotency-key", "k")], Some(false), false),
        ] {
            let mut request = request(method, "/", headers);
            if let Some(word) = word {
                request.extensions.insert(Idempotent(word));
            }

            let found = Safety::default().is_idempotent(&request);

            assert_eq!(found, expected, "{method} {headers:?} {word:?}");
        }
        let all = Safety {
            assume_idempotent: true,
            ..Safety::default()
        };
        assert!(all.is_idempotent(&request("POST", "/", &[])));
    }

    #[test]
    fn a_grpc_method_is_idempotent_when_it_or_its_service_is_listed() {
        let methods = ["/shop.Orders/Get", "/shop.Catalogue/*"];
        let safety = Safety {
            grpc_methods: Arc::new(methods.into_iter().map(Into::into).collect()),
            ..Safety::default()
        };
        for (path, expected) in [
            ("/shop.Orders/Get", true),
            ("/shop.Orders/Put", false),
            ("/shop.Catalogue/List", true),
            ("/shop.CatalogueAdmin/List", false),
            ("/", false),
        ] {
            let grpc = request("POST", path, &[("content-type", "application/grpc")]);
            assert_eq!(safety.is_idempotent(&grpc), expected, "{path}");
        }
    }

    #[cfg(feature = "idempotency-key")]
    #[test]
    fn a_key_is_made_where_it_is_needed_and_not_there() {
        let key = |method, headers: &[_]| {
            let mut request = request(method, "/", headers);
            add_idempotency_key(&mut request);
            let key = request.headers.get(IDEMPOTENCY_KEY);
            key.map(|key| key.to_str().unwrap().to_owned())
        };

        let made = key("POST", &[]).unwrap();
        assert_eq!((made.len(), made.get(15..16)), (38, Some("4")), "{made}");
        assert!(made.starts_with('"') && made.ends_with('"'), "{made}");
        assert_ne!(key("PATCH", &[]), Some(made));
        assert_eq!(key("GET", &[]), None);
        assert_eq!(key("POST", &[("content-type", "application/grpc")]), None);
        assert_eq!(
            key("POST", &[("idempotency-key", "mine")]).as_deref(),
            Some("mine")
        );
    }
}
