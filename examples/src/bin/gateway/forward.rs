//! What a gateway changes in a message that it forwards (RFC 9110, sections 7.2 and 7.6).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, Version};
use portcullis::health_check::Target;

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    prefix: String,
    host: HeaderValue,
}

// === impl Upstream ===

impl Upstream {
    /// Takes a base URL: `https://api.example.com/v1`. The path of a request is added to it.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("is not a URL: {error}"))?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let Some(target) = Target::new(uri).filter(|_| known) else {
            return Err("must start with http:// or https://, and a host".to_owned());
        };
        if target.host().as_str().contains('@') {
            return Err("must not hold credentials".to_owned());
        }
        if target.url().query().is_some() {
            return Err("must not hold a query".to_owned());
        }
        Ok(Self::of(&target))
    }

    /// Takes an endpoint of a pool.
    pub(crate) fn of(target: &Target) -> Self {
        let (url, host) = (target.url(), target.host());
        Self {
            scheme: url.scheme().cloned().unwrap_or(Scheme::HTTP),
            authority: url.authority().unwrap_or(host).clone(),
            prefix: url.path().trim_end_matches('/').to_owned(),
            host: HeaderValue::from_str(host.as_str())
                .expect("an authority is visible ASCII, which a field may hold"),
        }
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.prefix)
    }

    /// Gives a request the URL and the host of the upstream.
    pub(crate) fn address<B>(&self, mut request: Request<B>) -> Request<B> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        let path = format!("{}{path}", self.prefix);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        // What axum took apart goes together again; a path that does not is one that no server takes.
        uri.path_and_query = path.parse().ok();
        if let Ok(uri) = Uri::from_parts(uri) {
            *request.uri_mut() = uri;
        }
        let host = self.host.clone();
        request.headers_mut().insert(header::HOST, host);
        request
    }
}

/// Makes a request of ours of the caller's: without what was meant for this hop alone.
pub(crate) fn request<B>(mut request: Request<B>) -> Request<B> {
    let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    add_via(headers, version);
    request
}

/// Removes from an answer what was meant for the hop behind us alone, and says that it came through us.
pub(crate) fn answer<B>(mut response: Response<B>) -> Response<B> {
    let version = std::mem::replace(response.version_mut(), Version::HTTP_11);
    let headers = response.headers_mut();
    remove_hop_by_hop(headers);
    add_via(headers, version);
    response
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
    let known = [
        header::CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let trailers = headers
        .get(header::TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    for name in named.into_iter().chain(fixed).chain(known) {
        headers.remove(name);
    }
    if trailers {
        // gRPC asks for it on every hop.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn add_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_10 => "1.0 portcullis",
        Version::HTTP_2 => "2 portcullis",
        _ => "1.1 portcullis",
    };
    headers.append(header::VIA, HeaderValue::from_static(via));
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_request_is_addressed_to_the_upstream() {
        let upstream = Upstream::new("https://api.example.com:8443/v1/").unwrap();
        let request = Request::get("/chat?x=a%20b")
            .header("host", "gateway.local")
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("te", "trailers")
            .body(Body::empty())
            .unwrap();

        let request = upstream.address(super::request(request));

        assert_eq!(
            request.uri(),
            "https://api.example.com:8443/v1/chat?x=a%20b"
        );
        let headers = request.headers();
        assert_eq!(headers["host"], "api.example.com:8443");
        assert_eq!(headers["via"], "1.1 portcullis");
        assert_eq!(headers["te"], "trailers");
        assert!(
            !headers.contains_key("connection") && !headers.contains_key("x-hop"),
            "{headers:?}"
        );
    }

    #[test]
    fn a_url_that_is_no_base_is_refused() {
        for (url, expected) in [
            ("ftp://a", "must start with http:// or https://, and a host"),
            ("/path", "must start with http:// or https://, and a host"),
            ("http://u:p@a", "must not hold credentials"),
            ("http://a/?q=1", "must not hold a query"),
        ] {
            assert_eq!(
                Upstream::new(url).map(|_| ()),
                Err(expected.to_owned()),
                "{url}"
            );
        }
        assert!(Upstream::new("http://a b").is_err());
    }
}
