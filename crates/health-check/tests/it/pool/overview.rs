//! A pool as one check of `/readyz`, which tells of its endpoints.

use http::header;
use http_body_util::BodyExt;
use portcullis_health_check::{
    Admission, Endpoints, Health, Observed, OutlierDetection, Override, State,
};
use serde_json::{Value, json};

use super::*;
use crate::{Look, Script, monitor};

/// One endpoint that is up, one whose probe fails, one that is ejected, and one that is drained.
async fn mixed() -> Pool<Upstream> {
    let down = monitor(&Script::new(&[Look::Down])).start();
    down.wait_for(State::Down).await;
    let detection = OutlierDetection::new().ejection_jitter(Duration::ZERO);
    let ejected = detection.endpoint("c");
    for _ in 0..5 {
        let Admission::Pass(pass) = ejected.admit() else {
            unreachable!("it is not ejected yet")
        };
        pass.settle(Observed::GatewayFailure);
    }
    let drained = Health::fixed(State::Up);
    drained.force(Override::Drain);
    let pool = settings().pool();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Upstream::new);
    pool.insert_all([
        a.member(),
        b.member().health(down),
        c.member().passive(ejected),
        d.member().health(drained),
    ]);
    tokio::time::advance(Duration::from_secs(4)).await;
    pool
}

async fn readyz(endpoints: &Endpoints, path: &str, accept: &str) -> String {
    let request = Request::get(path).header(header::ACCEPT, accept);
    let request = request.body(Body::default()).unwrap();
    let answer = endpoints.clone().oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_may_see_it_sees_which_endpoints_are_down_and_why() {
    let pool = mixed().await;
    let endpoints = Endpoints::new()
        .check(pool.check("orders"))
        .details(|head| !head.headers.contains_key("x-forwarded-for"));

    let text = readyz(&endpoints, "/readyz?verbose", "*/*").await;

    assert_eq!(
        text,
        "[+]orders ok: 1 of 4 endpoints up\n    \
         b down: connection_refused: refused by the script, since 4s, next check in 6s\n    \
         c ejected: consecutive_gateway_failures, since 4s, next trial in 26s\n    \
         d down: destination_unavailable: draining, since 4s\n\
         [+]shutdown ok\nreadyz check passed\n"
    );
    let html = readyz(&endpoints, "/readyz", "text/html").await;
    let row = "<tr><th scope=\"row\">orders<td>pass<td>1 of 4 endpoints up<br>b down: connection_refused: refused";
    assert!(html.contains(row), "{html}");
    let json = readyz(&endpoints, "/readyz", "application/json").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["checks"]["orders"],
        json!([{
            "status": "pass",
            "details": {
                "since_seconds": 0,
                "next_check_seconds": 0,
                "endpoints": 4,
                "endpoints_up": 1,
                "endpoints_down": [
                    {"name": "b", "state": "down", "reason": "connection_refused: refused by the script", "since_seconds": 4, "next_check_seconds": 6},
                    {"name": "c", "state": "ejected", "reason": "consecutive_gateway_failures", "since_seconds": 4, "trial_in_seconds": 26},
                    {"name": "d", "state": "down", "reason": "destination_unavailable: draining", "since_seconds": 4},
                ],
            },
        }])
    );

    pool.remove("a");
    tokio::time::advance(Duration::from_secs(1)).await;
    let text = readyz(&endpoints, "/readyz", "*/*").await;
    assert!(
        text.starts_with("[-]orders failed: destination_unavailable: no calls may go to any of 3 endpoints, since 0s, next check in 0s\n    b down: "),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_else_sees_more_than_that_it_is_up() {
    let endpoints = Endpoints::new().check(mixed().await.check("orders"));

    let text = readyz(&endpoints, "/readyz?verbose", "*/*").await;
    let json = readyz(&endpoints, "/readyz", "application/json").await;

    assert_eq!(text, "[+]orders ok\n[+]shutdown ok\nreadyz check passed\n");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["checks"]["orders"], json!([{"status": "pass"}]));
}

#[tokio::test(start_paused = true)]
async fn of_many_endpoints_some_are_told() {
    let pool = settings().pool();
    let names: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    pool.insert_all(names.into_iter().map(|name| {
        let upstream = Upstream::new("a");
        Member::new(name, upstream).health(Health::fixed(State::Down))
    }));
    let endpoints = Endpoints::new()
        .check(pool.check("orders"))
        .details(|_| true);

    let text = readyz(&endpoints, "/readyz/orders", "*/*").await;

    assert!(
        text.contains("\n    31 down, since 0s\n    and 8 more\n"),
        "{text}"
    );
}
