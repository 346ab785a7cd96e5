use http_body_util::BodyExt;

use super::*;
use crate::State;

fn ask(
    endpoints: &Endpoints,
    method: &Method,
    path: &str,
    accept: &str,
) -> Option<(u16, HeaderMap, String)> {
    let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
    let response = endpoints.respond::<http_body_util::Empty<Bytes>>(
        method,
        &path.parse().unwrap(),
        &headers,
    )?;
    let (head, body) = response.into_parts();
    let body = tokio_test::block_on(body.collect()).unwrap().to_bytes();
    Some((
        head.status.as_u16(),
        head.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    ))
}

fn get(endpoints: &Endpoints, path: &str) -> (u16, String) {
    let (status, headers, body) = ask(endpoints, &Method::GET, path, "*/*").unwrap();
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
    (status, body)
}

fn endpoints() -> Endpoints {
    Endpoints::new()
        .required("orders", Health::fixed(State::Down))
        .required("users", Health::fixed(State::Up))
        .degraded("cache", Health::fixed(State::Down))
}

#[test]
fn readiness_is_that_of_the_required_checks() {
    let failed = "[-]orders failed: no result yet since 0s\n";
    let fine = "[+]users ok\n[~]cache degraded: no result yet since 0s\n[+]shutdown ok\n";
    for (path, status, body) in [
        ("/livez", 200, "ok\n".to_owned()),
        ("/livez?verbose", 200, "livez check passed\n".to_owned()),
        (
            "/readyz",
            503,
            format!("{failed}{fine}readyz check failed\n"),
        ),
        ("/readyz?exclude=orders", 200, "ok\n".to_owned()),
        (
            "/readyz?verbose&exclude=orders",
            200,
            format!("{fine}readyz check passed\n"),
        ),
        (
            "/readyz?exclude=cache&exclude=users&exclude=orders&verbose",
            200,
            "[+]shutdown ok\nreadyz check passed\n".to_owned(),
        ),
        ("/readyz/users", 200, "ok\n".to_owned()),
        (
            "/readyz/orders",
            503,
            format!("{failed}readyz check failed\n"),
        ),
        (
            "/readyz/cache?verbose",
            200,
            "[~]cache degraded: no result yet since 0s\nreadyz check passed\n".to_owned(),
        ),
        ("/readyz/none", 404, "no such check\n".to_owned()),
    ] {
        assert_eq!(get(&endpoints(), path), (status, body), "{path}");
    }
    assert!(ask(&endpoints(), &Method::GET, "/other", "*/*").is_none());
}

#[test]
fn draining_fails_readiness_and_not_liveness() {
    let endpoints = Endpoints::new();
    assert_eq!(get(&endpoints, "/readyz").0, 200);

    endpoints.drain();

    assert!(!endpoints.is_ready());
    assert_eq!(
        get(&endpoints, "/readyz"),
        (
            503,
            "[-]shutdown failed: draining\nreadyz check failed\n".into()
        )
    );
    assert_eq!(get(&endpoints, "/livez").0, 200);
}

#[test]
fn methods_and_forms_are_those_of_http() {
    let (status, headers, body) = ask(&endpoints(), &Method::POST, "/readyz", "*/*").unwrap();
    assert_eq!(
        (status, &headers[header::ALLOW]),
        (405, &"GET, HEAD".parse().unwrap()),
        "{body}"
    );

    let (status, headers, body) = ask(&endpoints(), &Method::HEAD, "/livez", "*/*").unwrap();
    assert_eq!(
        (status, &headers[header::CONTENT_LENGTH], body.as_str()),
        (200, &"3".parse().unwrap(), "")
    );

    let (status, headers, body) = ask(
        &endpoints(),
        &Method::GET,
        "/readyz",
        "application/health+json",
    )
    .unwrap();
    assert_eq!(
        (status, &headers[header::CONTENT_TYPE]),
        (503, &"application/health+json".parse().unwrap())
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["status"], "fail");
    assert_eq!(json["checks"]["cache"][0]["status"], "warn");
    assert_eq!(json["checks"]["users"][0]["status"], "pass");
}
