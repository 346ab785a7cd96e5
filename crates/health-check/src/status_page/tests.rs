use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use portcullis_gateway_error::ErrorKind;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{Admission, Member, Monitor, Observed, OutlierDetection, Override, ProbeError, State};

/// A page that everybody sees.
fn page() -> StatusPage {
    StatusPage::new(Endpoints::new().details(|_| true))
}

async fn ask(
    page: &StatusPage,
    method: Method,
    path: &str,
    accept: &str,
) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = page.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status, head.headers, body)
}

async fn html(page: &StatusPage) -> String {
    let (status, _, body) = ask(page, Method::GET, "/status", "text/html").await;
    assert_eq!(status, StatusCode::OK);
    body.replace('\u{a0}', " ")
}

async fn json(page: &StatusPage) -> serde_json::Value {
    let (status, _, body) = ask(page, Method::GET, "/status", "application/json").await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_str(&body).unwrap()
}

/// A monitor whose probes find what is told, once in ten seconds.
fn monitored(name: &str, result: Result<(), ProbeError>) -> Health {
    Monitor::new(move || {
        let result = result.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(12)).await;
            result
        }
    })
    .name(name)
    .interval(Duration::from_secs(10))
    .jitter(0.0)
    .fall(NonZeroU32::MIN)
    .start()
}

fn refused() -> ProbeError {
    ProbeError::new(ErrorKind::ConnectionRefused, "10.0.0.7:80 <refused>")
}

fn base64(bytes: &[u8]) -> String {
    let digits: Vec<_> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let digit = |bits: u32| digits[(bits & 63) as usize];
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut whole = [0; 4];
        whole[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(whole);
        let all = [18, 12, 6, 0].map(|shift| digit(bits >> shift));
        text.extend(&all[..=three.len()]);
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    text
}

#[tokio::test]
async fn the_policy_has_the_hashes_of_what_stands_on_the_page() {
    let (_, headers, body) = ask(&page(), Method::GET, "/status", "text/html").await;
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();

    let mut hashes = 0;
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
        for part in body.split(&begin).skip(1) {
            let text = part.split(&end).next().unwrap();
            let hash = base64(&Sha256::digest(text));
            let expected = format!("{directive} 'sha256-{hash}';");
            assert!(policy.contains(&expected), "{expected} in {policy}");
            hashes += 1;
        }
    }
    assert_eq!(
        policy.matches("sha256-").count(),
        hashes,
        "no other may run"
    );
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for word in [
        "style=", "onclick", "onload", "src=", "href=", "http:", "https:", "url(",
    ] {
        assert!(!body.contains(word), "{word} would load or run something");
    }
}

#[tokio::test]
async fn every_answer_is_kept_and_framed_by_nobody() {
    let withheld = StatusPage::new(Endpoints::new());
    for (page, method, path, accept, status) in [
        (&page(), Method::GET, "/status", "text/html", 200),
        (&page(), Method::GET, "/status/", "application/json", 200),
        (&page(), Method::HEAD, "/status", "*/*", 200),
        (&page(), Method::POST, "/status", "*/*", 405),
        (&page(), Method::GET, "/status/x", "*/*", 404),
        (&page(), Method::GET, "/statusx", "*/*", 404),
        (&withheld, Method::GET, "/status", "*/*", 403),
        (&withheld, Method::GET, "/status/events", "*/*", 403),
        (&withheld, Method::GET, "/status", "text/event-stream", 403),
        (&page(), Method::POST, "/status/events", "*/*", 405),
        (&page(), Method::GET, "/status/events/", "*/*", 404),
        (&withheld, Method::GET, "/status", "application/json", 403),
    ] {
        let (answered, headers, body) = ask(page, method.clone(), path, accept).await;

        assert_eq!(answered, status, "{method} {path}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("vary", "accept"),
        ] {
            assert_eq!(headers[name], value, "{method} {path}");
        }
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(body.is_empty(), method == Method::HEAD, "{method} {path}");
        assert_ne!(headers["content-length"], "0", "{method} {path}");
        assert!(status == 200 || !body.contains('<'), "{body}");
    }
}

#[tokio::test]
async fn the_path_is_a_matter_of_choice() {
    for (path, page_at, other) in [
        ("/status", "/status", "/"),
        ("ops/state/", "/ops/state", "/status"),
        ("/", "/", "/status"),
    ] {
        let page = page().path(path);
        let layer = StatusPageLayer::new(page);
        let inner = service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::from("inner")))
        });
        for (asked, is_page) in [(page_at, true), (other, false)] {
            let request = Request::get(asked).body(String::new()).unwrap();
            let response = layer.layer(inner).oneshot(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();

            assert_eq!(
                body.starts_with(b"<!doctype html>"),
                is_page,
                "{path}: {asked}"
            );
            assert_eq!(&body[..] == b"inner", !is_page, "{path}: {asked}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn probes_and_changes_are_shown_with_their_reasons() {
    let (up, down) = (monitored("a", Ok(())), monitored("b", Err(refused())));
    let page = page()
        .health("orders", up.clone())
        .health("orders", down.clone());
    up.wait_for(State::Up).await;
    down.wait_for(State::Down).await;
    advance(Duration::from_secs(3)).await;

    let seen = json(&page).await;
    let text = html(&page).await;

    let [a, b] = [0, 1].map(|index| &seen["upstreams"][0]["endpoints"][index]);
    assert_eq!((&a["state"], &b["state"]), (&"up".into(), &"down".into()));
    assert_eq!((&a["usable"], &b["usable"]), (&true.into(), &false.into()));
    let reason =
        serde_json::json!({"type": "connection_refused", "details": "10.0.0.7:80 <refused>"});
    assert_eq!(b["reason"], reason);
    assert_eq!(b["last_probe"]["error"], reason);
    assert_eq!(b["since_seconds"], 3);
    assert_eq!(b["next_seconds"], 6);
    let change =
        serde_json::json!({"from": "unknown", "to": "down", "ago_seconds": 3, "reason": reason});
    assert_eq!(b["changes"], serde_json::json!([change]));
    assert_eq!(b["probes"]["failures"][59], 1);
    assert_eq!(a["probes"]["failures"][59], 0);
    assert!(
        (12.0..20.0).contains(&a["probes"]["slowest_ms"][59].as_f64().unwrap()),
        "{a}"
    );
    assert_eq!(a["probes"]["total"].as_array().unwrap().len(), 60);
    for part in [
        "<title>Calls go to 1 of 2 endpoints: orders / b is down</title>",
        "<caption><b>orders</b>: calls go to 1 of 2 endpoints</caption>",
        "<th scope=\"row\">b</th><td><span class=\"bad\">down</span><small>for <span data-ago=\"3\">3 s</span></small>",
        "<small>connection_refused: 10.0.0.7:80 &lt;refused&gt;</small>",
        "in <span data-in=\"6\">6 s</span>",
        "<summary>unknown to down <span data-ago=\"3\">3 s</span> ago</summary>",
        "aria-label=\"probes that failed of each 10 s in 10 min: 1 of 1\"",
        "<small>probes: 100.0 %, 1 of 1</small>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_calls_show_and_hands_decide_is_told_apart() {
    let outliers = OutlierDetection::new().seed(1).start();
    let (good, bad) = (outliers.endpoint("good"), outliers.endpoint("bad"));
    let health = Health::fixed(State::Up);
    let page = page()
        .endpoint("orders", PageEndpoint::new("good").passive(good.clone()))
        .endpoint(
            "orders",
            PageEndpoint::new("bad")
                .passive(bad.clone())
                .health(health.clone()),
        )
        .endpoint("orders", PageEndpoint::new("dark"));
    for (passive, observed, calls) in [
        (&good, Observed::Success, 9),
        (&bad, Observed::GatewayFailure, 5),
    ] {
        for _ in 0..calls {
            let Admission::Pass(pass) = passive.admit() else {
                panic!("a call goes through")
            };
            advance(Duration::from_millis(20)).await;
            pass.settle(observed);
        }
    }

    let states = |seen: &serde_json::Value| {
        let endpoints = seen["upstreams"][0]["endpoints"].as_array().unwrap();
        let states = endpoints
            .iter()
            .map(|endpoint| endpoint["state"].as_str().unwrap().to_owned());
        states.collect::<Vec<_>>()
    };
    let seen = json(&page).await;
    assert_eq!(states(&seen), ["up", "ejected", "not watched"]);
    let bad = &seen["upstreams"][0]["endpoints"][1];
    assert_eq!(bad["passive"]["detector"], "consecutive_gateway_failures");
    assert_eq!(bad["passive"]["ejections"], 1);
    assert_eq!(bad["calls"]["failures"][59], 5);
    assert_eq!(bad["calls"]["slowest_ms"][59], 20.0);
    assert_eq!(bad["usable"], false);
    assert!(
        html(&page)
            .await
            .contains("ejected now, ejected 1 time, last because of consecutive_gateway_failures")
    );

    for (decided, expected) in [
        (Override::Drain, "drained"),
        (Override::Down, "forced down"),
    ] {
        health.force(decided);
        assert_eq!(states(&json(&page).await)[1], expected);
    }
    health.force(Override::Up);
    assert_eq!(
        states(&json(&page).await)[1],
        "ejected",
        "calls show otherwise"
    );
    advance(Duration::from_secs(31)).await;
    assert!(matches!(good.admit(), Admission::Pass(_)));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_degraded_is_shown_with_its_reason() {
    let busy = ProbeError::new(ErrorKind::DestinationUnavailable, "busy");
    let health = monitored("orders", Err(busy.degraded()));
    health.wait_for(State::Up).await;
    let page = page().health("orders", health);

    let seen = json(&page).await;
    let html = html(&page).await;

    let endpoint = &seen["upstreams"][0]["endpoints"][0];
    assert_eq!(endpoint["state"], "degraded");
    assert_eq!(endpoint["usable"], true);
    assert_eq!(endpoint["reason"]["details"], "busy");
    assert_eq!(endpoint["last_probe"]["failures"], 0);
    let expected = "<span class=\"warning\">degraded</span>";
    assert!(html.contains(expected), "{html}");
}

#[tokio::test]
async fn a_call_that_is_drawn_allocates_nothing() {
    let calls = OutlierDetection::new().endpoint("a");
    let page = page().endpoint("orders", PageEndpoint::new("a").passive(calls.clone()));

    let info = allocation_counter::measure(|| {
        for _ in 0..1000 {
            let Admission::Pass(pass) = calls.admit() else {
                panic!("a call goes through")
            };
            pass.settle(Observed::Success);
        }
    });

    assert_eq!(info.count_total, 0);
    let seen = json(&page).await;
    let total = &seen["upstreams"][0]["endpoints"][0]["calls"]["total"];
    let total: u64 = total
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert_eq!(total, 1000);
}

#[tokio::test]
async fn a_gate_shows_what_opens_and_closes_it() {
    let calls = OutlierDetection::new().endpoint("10.0.0.7:80");
    let breaker = HealthCheckLayer::passive_only(calls.clone());
    let probed = HealthCheckLayer::new(monitored("users", Ok(())));
    let page = page().gate("orders", &breaker).gate("users", &probed);
    for _ in 0..5 {
        let Admission::Pass(pass) = calls.admit() else {
            panic!("a call goes through")
        };
        pass.settle(Observed::LocalFailure);
    }

    let seen = json(&page).await;

    let [orders, users] = [0, 1].map(|index| seen["upstreams"][index]["endpoints"][0].clone());
    assert_eq!(
        (&orders["name"], &orders["state"]),
        (&"10.0.0.7:80".into(), &"ejected".into())
    );
    assert_eq!(orders["calls"]["failures"][59], 5);
    assert!(orders.get("probes").is_none(), "nobody probes: {orders}");
    assert_eq!(
        (&users["name"], &users["usable"]),
        (&"users".into(), &true.into())
    );
    assert!(
        users.get("calls").is_none(),
        "nobody looks at calls: {users}"
    );
}

#[tokio::test]
async fn a_pool_shows_those_that_are_put_in_later_too() {
    let pool = Pool::new();
    let page = page()
        .pool("orders", &pool)
        .pool("none", &Pool::<()>::new());
    assert!(html(&page).await.contains("no endpoints"));
    let passive = OutlierDetection::new().endpoint("a");
    pool.insert(
        Member::new("a", ())
            .passive(passive.clone())
            .weight(NonZeroU32::new(3).unwrap()),
    );
    let Admission::Pass(pass) = passive.admit() else {
        panic!("a call goes through")
    };
    pass.settle(Observed::Success);

    let endpoint = json(&page).await["upstreams"][0]["endpoints"][0].clone();

    assert_eq!(endpoint["weight"], 3);
    assert_eq!(endpoint["in_flight"], 0);
    assert_eq!(
        endpoint["calls"]["total"][59], 1,
        "drawn since it was put in: {endpoint}"
    );
    assert!(
        html(&page)
            .await
            .contains("0 calls in flight, weight 3, priority 0")
    );
}

#[tokio::test]
async fn the_summary_names_a_few() {
    let mut page = page();
    for index in 0..8 {
        let down = Health::fixed(State::Down);
        page = page.endpoint("orders", PageEndpoint::new(index.to_string()).health(down));
    }
    let page = page.health("users", Health::fixed(State::Up));

    let text = html(&page).await;

    let expected = "Calls go to 1 of 9 endpoints: orders / 0 is down, orders / 1 is down, orders / 2 is down, orders / 3 is down, orders / 4 is down, and 3 more";
    assert!(text.contains(expected), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever names and reasons are, the page has the elements and attributes that it has without them.
    #[test]
    fn names_and_reasons_add_no_markup(upstream in any::<String>(), name in any::<String>(), reason in any::<String>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let shape = |upstream: &str, name: &str, reason: &str| runtime.block_on(async {
            let health = monitored(name, Err(ProbeError::new(ErrorKind::ConnectionRefused, reason)));
            health.wait_for(State::Down).await;
            let page = page().health(upstream, health);
            let text = html(&page).await;
            let marks: String = text.chars().filter(|character| "<>\"'\n\r\0".contains(*character)).collect();
            (marks, json(&page).await["upstreams"][0]["endpoints"][0]["reason"]["details"].clone())
        });

        let (marks, details) = shape(&upstream, &name, &reason);

        prop_assert_eq!(marks, shape("a", "b", "c").0);
        prop_assert_eq!(details, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_degraded_is_a_change() {
    let degraded = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&degraded);
    let health = Monitor::new(move || {
        let degraded = says.load(Ordering::SeqCst);
        std::future::ready(if degraded {
            Err(refused().degraded())
        } else {
            Ok(())
        })
    })
    .interval(Duration::from_secs(10))
    .jitter(0.0)
    .start();
    health.wait_for(State::Up).await;
    let page = page().health("orders", health);

    degraded.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let meanwhile = json(&page).await;
    degraded.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;

    let (html, json) = (html(&page).await, json(&page).await);
    for words in ["unknown to up", "up to degraded", "degraded to up"] {
        assert!(html.contains(words), "{words}: {html}");
    }
    let since = &meanwhile["upstreams"][0]["endpoints"][0]["since_seconds"];
    assert_eq!(since, 1, "since it is degraded, and not since it is up");
    let changes = json["upstreams"][0]["endpoints"][0]["changes"].as_array();
    let words: Vec<_> = changes
        .unwrap()
        .iter()
        .map(|change| (change["from"].as_str(), change["to"].as_str()))
        .collect();
    assert_eq!(
        words,
        [
            (Some("degraded"), Some("up")),
            (Some("up"), Some("degraded")),
            (Some("unknown"), Some("up")),
        ]
    );
}
