use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use portcullis_gateway_error::ErrorKind;
use tokio::time::{Instant, advance};
use tower::ServiceExt;

use super::*;
use crate::health_proto::ServingStatus;
use crate::{Initial, Monitor, Override, Probe, ProbeError, ProbeLimit, State};

mod checks;

async fn ask(
    endpoints: &Endpoints,
    method: &Method,
    path: &str,
    accept: &str,
) -> (u16, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = endpoints.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), head.headers, body)
}

async fn get(endpoints: &Endpoints, path: &str) -> (u16, String) {
    let (status, headers, body) = ask(endpoints, &Method::GET, path, "*/*").await;
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
    (status, body)
}

fn refused() -> ProbeError {
    ProbeError::new(ErrorKind::ConnectionRefused, "10.0.0.7:5432 refused")
}

fn endpoints() -> Endpoints {
    Endpoints::new()
        .required("orders", Health::fixed(State::Down))
        .required("users", Health::fixed(State::Up))
        .degraded("cache", Health::fixed(State::Down))
        .check(Check::live("loop", || async { Ok(()) }))
        .check(Check::health("warm", Health::fixed(State::Up)).startup())
}

#[tokio::test]
async fn the_text_is_that_of_the_apiserver() {
    let failed = "[-]orders failed: reason withheld\n";
    let fine = "[+]users ok\n[~]cache degraded: reason withheld\n[+]warm ok\n[+]shutdown ok\n";
    for (path, status, body) in [
        ("/livez", 200, "ok".to_owned()),
        ("/livez?verbose", 200, "[+]loop ok\nlivez check passed\n".to_owned()),
        ("/livez/loop", 200, "ok".to_owned()),
        ("/livez/orders", 404, "no such check\n".to_owned()),
        ("/startupz?verbose", 200, "[+]warm ok\nstartupz check passed\n".to_owned()),
        ("/readyz", 503, format!("{failed}{fine}readyz check failed\n")),
        ("/readyz?exclude=orders", 200, "ok".to_owned()),
        (
            "/readyz?verbose&exclude=orders",
            200,
            format!("[+]orders excluded: ok\n{fine}readyz check passed\n"),
        ),
        (
            "/readyz?exclude=cache&exclude=users&exclude=orders&exclude=warm&verbose",
            200,
            "[+]orders excluded: ok\n[+]users excluded: ok\n[+]cache excluded: ok\n[+]warm excluded: ok\n[+]shutdown ok\nreadyz check passed\n".to_owned(),
        ),
        (
            "/livez?verbose&exclude=no%22ne&exclude=b+c",
            200,
            "[+]loop ok\nwarn: some health checks cannot be excluded: no matches for \"no\\\"ne\", \"b c\"\nlivez check passed\n".to_owned(),
        ),
        ("/healthz?exclude=orders&exclude=cache", 200, "ok".to_owned()),
        ("/healthz", 503, format!("{failed}[+]users ok\n[~]cache degraded: reason withheld\n[+]loop ok\n[+]warm ok\n[+]shutdown ok\nhealthz check failed\n")),
        ("/readyz/users", 200, "ok".to_owned()),
        ("/readyz/orders", 503, format!("{failed}readyz check failed\n")),
        (
            "/readyz/cache?verbose",
            200,
            "[~]cache degraded: reason withheld\nreadyz check passed\n".to_owned(),
        ),
        ("/readyz/none", 404, "no such check\n".to_owned()),
        ("/other", 404, "not found\n".to_owned()),
        ("/readyzz", 404, "not found\n".to_owned()),
    ] {
        assert_eq!(get(&endpoints(), path).await, (status, body), "{path}");
    }
}

#[tokio::test]
async fn the_checks_of_a_tag_are_a_group() {
    let check = |name: &str, state| Check::health(name, Health::fixed(state)).tag("orders.v1");
    let endpoints = Endpoints::new()
        .required("users", Health::fixed(State::Down))
        .check(check("db", State::Up))
        .check(check("cache", State::Down).degraded())
        .check(check("db2", State::Down).tag("db"))
        .check(Check::live("loop", || async { Ok(()) }).tag("orders.v1"));
    for (path, status, body) in [
        (
            "/readyz/orders.v1?verbose&exclude=db2",
            200,
            "[+]db ok\n[~]cache degraded: reason withheld\n[+]db2 excluded: ok\n[+]shutdown ok\nreadyz check passed\n",
        ),
        (
            "/readyz/orders.v1",
            503,
            "[+]db ok\n[~]cache degraded: reason withheld\n[-]db2 failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n",
        ),
        (
            "/livez/orders.v1?verbose",
            200,
            "[+]loop ok\nlivez check passed\n",
        ),
        ("/readyz/db?verbose", 200, "[+]db ok\nreadyz check passed\n"),
        ("/startupz/orders.v1", 404, "no such check\n"),
        ("/readyz/orders", 404, "no such check\n"),
    ] {
        assert_eq!(
            get(&endpoints, path).await,
            (status, body.to_owned()),
            "{path}"
        );
    }

    endpoints.drain();

    let (status, body) = get(&endpoints, "/readyz/orders.v1?exclude=db2").await;
    assert!(
        status == 503 && body.contains("[-]shutdown failed"),
        "{body}"
    );
    assert_eq!(
        get(&endpoints, "/readyz/db").await.0,
        200,
        "one check alone"
    );
}

#[tokio::test(start_paused = true)]
async fn each_path_has_its_own_mapping() {
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let unknown = Monitor::new(hangs).start();
    let teapot = StatusMapping::new().down(StatusCode::IM_A_TEAPOT);
    let endpoints = || {
        Endpoints::new()
            .required("up", Health::fixed(State::Up))
            .mapping(HealthPath::Health, teapot)
    };
    let degraded = endpoints().degraded("cache", Health::fixed(State::Down));
    let unknown = endpoints().required("orders", unknown);
    let down = endpoints().required("orders", Health::fixed(State::Down));
    let mapped = StatusMapping::new();
    for (row, endpoints, mapping, expected) in [
        ("degraded", &degraded, mapped, [200, 200]),
        (
            "degraded is down",
            &degraded,
            mapped.degraded_is_down(true),
            [503, 200],
        ),
        ("unknown", &unknown, mapped, [200, 200]),
        (
            "unknown is down",
            &unknown,
            mapped.unknown_is_down(true),
            [503, 200],
        ),
        ("down", &down, mapped, [503, 418]),
        (
            "another status",
            &down,
            mapped.down(StatusCode::GONE),
            [410, 418],
        ),
        (
            "no failure",
            &down,
            mapped.down(StatusCode::NO_CONTENT),
            [503, 418],
        ),
    ] {
        let endpoints = endpoints.clone().mapping(HealthPath::Ready, mapping);
        for (path, expected) in ["/readyz", "/healthz"].into_iter().zip(expected) {
            assert_eq!(get(&endpoints, path).await.0, expected, "{row}: {path}");
        }
        assert_eq!(endpoints.is_ready(), expected[0] == 200, "{row}");
        let serving = endpoints.serving("").await == ServingStatus::Serving;
        assert_eq!(serving, expected[0] == 200, "{row}");
    }
    let strict = unknown.mapping(HealthPath::Ready, mapped.unknown_is_down(true));
    let (_, body) = get(&strict.details(|_| true), "/readyz/orders").await;
    assert!(
        body.starts_with("[-]orders failed: no result yet"),
        "{body}"
    );
}

#[tokio::test]
async fn an_answer_may_be_kept_where_that_was_said() {
    let cached = endpoints().cache_for(Duration::from_millis(2500));
    let detailed = cached.clone().details(|_| true);
    for (row, endpoints, path, expected) in [
        ("nothing said", &endpoints(), "/readyz", "no-store"),
        ("down", &cached, "/readyz", "max-age=2"),
        ("up", &cached, "/livez", "max-age=2"),
        ("no check", &cached, "/livez/none", "no-store"),
        ("for one alone", &detailed, "/readyz", "private, max-age=2"),
        (
            "less than a second",
            &endpoints().cache_for(Duration::from_millis(900)),
            "/livez",
            "no-store",
        ),
    ] {
        let (_, headers, _) = ask(endpoints, &Method::GET, path, "*/*").await;
        assert_eq!(headers[header::CACHE_CONTROL], expected, "{row}");
    }
}

/// As Envoy's `/healthcheck/fail` and `/healthcheck/ok`, and HAProxy's `maint` and `ready`.
#[tokio::test]
async fn somebody_can_take_the_service_out_and_put_it_back() {
    let by_hand = Health::fixed(State::Up);
    let endpoints = Endpoints::new().required("operator", by_hand.clone());

    for (decided, ready) in [
        (Some(Override::Drain), 503),
        (None, 200),
        (Some(Override::Down), 503),
    ] {
        match decided {
            Some(decided) => by_hand.force(decided),
            None => by_hand.release(),
        }
        assert_eq!(get(&endpoints, "/readyz").await.0, ready, "{decided:?}");
        assert_eq!(get(&endpoints, "/livez").await.0, 200, "{decided:?}");
    }
}

#[tokio::test]
async fn draining_fails_readiness_and_not_liveness() {
    let db = Health::fixed(State::Up);
    let endpoints = Endpoints::new().check(Check::health("db", db.clone()).tag("orders.v1"));
    assert_eq!(get(&endpoints, "/readyz").await.0, 200);

    endpoints.drain();

    assert!(!endpoints.is_ready());
    let (status, headers, body) = ask(&endpoints, &Method::GET, "/readyz", "").await;
    let said = "[+]db ok\n[-]shutdown failed: draining\nreadyz check failed\n";
    assert_eq!((status, body.as_str()), (503, said));
    assert_eq!(headers["x-envoy-immediate-health-check-fail"], "true");
    assert_eq!(get(&endpoints, "/livez").await.0, 200);
    // For good, whatever is said of a check later.
    db.force(Override::Up);
    assert!(!endpoints.is_ready());
    for service in ["", "orders.v1"] {
        let status = endpoints.serving(service).await;
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
}

#[tokio::test]
async fn a_start_is_waited_for_where_that_was_said() {
    let endpoints = Endpoints::new().starting();
    for (path, expected) in [("/livez", 200), ("/startupz", 503), ("/readyz", 503)] {
        assert_eq!(get(&endpoints, path).await.0, expected, "{path}");
    }

    endpoints.started();

    for path in ["/livez", "/startupz", "/readyz", "/healthz"] {
        assert_eq!(get(&endpoints, path).await.0, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_yet_has_not_started_though_it_may_be_called() {
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let health = Monitor::new(hangs).initial(Initial::Optimistic).start();
    let endpoints = Endpoints::new().check(Check::health("orders", health).startup());

    assert_eq!(get(&endpoints, "/readyz").await.0, 200);
    assert_eq!(get(&endpoints, "/startupz").await.0, 503);
}

#[tokio::test]
async fn methods_and_forms_are_those_of_http() {
    let (status, headers, body) = ask(&endpoints(), &Method::POST, "/readyz", "*/*").await;
    assert_eq!(
        (status, &headers[header::ALLOW]),
        (405, &"GET, HEAD".parse().unwrap()),
        "{body}"
    );

    let (status, headers, body) = ask(&endpoints(), &Method::HEAD, "/livez", "*/*").await;
    assert_eq!(
        (status, &headers[header::CONTENT_LENGTH], body.as_str()),
        (200, &"2".parse().unwrap(), "")
    );

    let accept = "application/health+json";
    let (status, headers, body) =
        ask(&endpoints(), &Method::GET, "/readyz?exclude=none", accept).await;
    assert_eq!(
        (status, &headers[header::CONTENT_TYPE]),
        (503, &accept.parse().unwrap())
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["status"], "fail");
    assert_eq!(
        json["checks"]["cache"],
        serde_json::json!([{"status": "warn"}])
    );
    assert_eq!(json["checks"]["users"][0]["status"], "pass");
    assert_eq!(
        json["notes"][0],
        "some health checks cannot be excluded: no matches for \"none\""
    );

    let strange = Endpoints::new().required("<b>&", Health::fixed(State::Up));
    let (status, headers, body) = ask(&strange, &Method::GET, "/readyz", "text/html").await;
    assert_eq!(status, 200);
    assert_eq!(headers[header::VARY], "accept");
    assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert!(
        body.contains("<th scope=\"row\">&lt;b&gt;&amp;<td>pass"),
        "{body}"
    );
}

#[tokio::test]
async fn json_says_which_instance_of_which_version_it_is() {
    let accept = "application/health+json";
    let json = async |endpoints: &Endpoints, path: &str| {
        let (_, _, body) = ask(endpoints, &Method::GET, path, accept).await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };

    let said = endpoints().service_id("orders-7").version("2");

    for path in ["/livez", "/readyz"] {
        let json = json(&said, path).await;
        assert_eq!(
            (&json["serviceId"], &json["version"]),
            (&"orders-7".into(), &"2".into())
        );
    }
    let unsaid = json(&endpoints(), "/livez").await;
    assert_eq!(unsaid.get("serviceId"), None);
    assert_eq!(unsaid.get("version"), None);
    let (_, text) = get(&said, "/livez?verbose").await;
    assert!(
        !text.contains("orders-7"),
        "the text stays that of the apiserver: {text}"
    );
}

#[tokio::test(start_paused = true)]
async fn details_are_for_whom_the_predicate_lets_see_them() {
    let health = Monitor::new(|| async { Err(refused()) })
        .interval(Duration::from_secs(10))
        .jitter(0.0)
        .start();
    health.wait_for(State::Down).await;
    let endpoints = Endpoints::new()
        .required("db", health)
        .details(|head| head.uri.query() == Some("verbose"));
    advance(Duration::from_secs(4)).await;

    let (_, body) = get(&endpoints, "/readyz/db?verbose").await;
    assert_eq!(
        body,
        "[-]db failed: connection_refused: 10.0.0.7:5432 refused, since 4s, next check in 6s\nreadyz check failed\n"
    );
    let accept = "application/json";
    let (_, _, json) = ask(&endpoints, &Method::GET, "/readyz/db?verbose", accept).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["checks"]["db"][0],
        serde_json::json!({
            "status": "fail",
            "output": "connection_refused: 10.0.0.7:5432 refused",
            "details": {"since_seconds": 4, "next_check_seconds": 6},
        })
    );
    let (_, body) = get(&endpoints, "/readyz/db").await;
    assert_eq!(body, "[-]db failed: reason withheld\nreadyz check failed\n");
}

/// Ages pass without a look where probes wait for their turn, or where one on demand does not end in the time of the report.
#[tokio::test(start_paused = true)]
async fn the_drain_waits_for_its_delay_and_for_what_is_in_flight() {
    let endpoints = Endpoints::new();
    let first = endpoints.lifecycle.enter();
    let second = endpoints.lifecycle.enter();
    let start = Instant::now();
    let ends = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(second);
    };
    let seconds = Duration::from_secs;

    let drain = endpoints.drain().delay(seconds(10)).in_flight(seconds(30));
    assert!(!endpoints.is_ready(), "at once");
    let (left, ()) = tokio::join!(drain.into_future(), ends);
    assert_eq!((left, start.elapsed()), (0, seconds(15)));

    let _hangs = endpoints.lifecycle.enter();
    let start = Instant::now();
    let left = endpoints.drain().in_flight(seconds(30)).await;
    assert_eq!((left, start.elapsed()), (1, seconds(30)));
}

#[test]
fn a_check_is_replaced_by_one_of_its_name_and_told_by_debug() {
    let twice = Endpoints::new()
        .required("db", Health::fixed(State::Down))
        .required("db", Health::fixed(State::Up));

    assert!(twice.is_ready());
    assert_eq!(twice.checks.len(), 1);
    assert!(format!("{twice:?}").contains("required: true"));
}
