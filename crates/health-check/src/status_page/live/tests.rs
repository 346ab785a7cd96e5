use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::ServiceExt;

use crate::{Endpoints, Health, Override, PageEndpoint, State, StatusPage, StatusPageBody};

use super::*;

type Stream = StatusPageBody<String>;

/// A page of one endpoint that somebody turns by hand.
fn page() -> (StatusPage, Endpoints, Health) {
    let endpoints = Endpoints::new().details(|_| true);
    let health = Health::fixed(State::Up);
    let page = StatusPage::new(endpoints.clone());
    let page = page.endpoint("orders", PageEndpoint::new("a").health(health.clone()));
    (page, endpoints, health)
}

async fn ask(page: &StatusPage) -> Response<Stream> {
    let request = Request::get("/status/events").body(String::new()).unwrap();
    page.clone().oneshot(request).await.unwrap()
}

async fn listen(page: &StatusPage) -> Stream {
    let response = ask(page).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

/// What is said next; empty at the end.
async fn next(stream: &mut Stream) -> Bytes {
    let frame = stream.frame().await;
    frame.map_or_else(Bytes::new, |frame| frame.unwrap().into_data().unwrap())
}

fn is_said(events: &[u8], text: &str) -> bool {
    std::str::from_utf8(events).unwrap().contains(text)
}

#[tokio::test(start_paused = true)]
async fn who_comes_sees_the_table_and_then_its_changes_once_a_second_at_most() {
    let (page, _, health) = page();
    let mut stream = listen(&page).await;
    let first = next(&mut stream).await;
    assert!(is_said(
        &first,
        "event: summary\ndata: Calls go to 1 of 1 endpoint\n\nevent: rows\ndata: <div"
    ));
    assert!(
        is_said(&first, "\">up</span>") && first.ends_with(b"\n\n"),
        "{first:?}"
    );

    let turning = tokio::spawn(async move {
        for turn in 0..40 {
            tokio::time::sleep(Duration::from_millis(70)).await;
            health.force(if turn % 2 == 0 {
                Override::Up
            } else {
                Override::Down
            });
        }
    });
    let mut last = Instant::now();
    let mut told = 0;
    loop {
        let events = next(&mut stream).await;
        if events == HEARTBEAT {
            break;
        }
        told += 1;
        assert!(
            last.elapsed() >= Duration::from_secs(1),
            "{:?}",
            last.elapsed()
        );
        last = Instant::now();
        if turning.is_finished() {
            assert!(
                is_said(&events, "\">forced down</span>"),
                "the last one is told"
            );
        }
    }

    assert!(
        (2..=4).contains(&told),
        "40 turns in 2.8 s were told {told} times"
    );
}

#[tokio::test(start_paused = true)]
async fn accept_asks_for_events_too() {
    let (page, ..) = page();
    let request = Request::get("/status").header("accept", "text/event-stream");

    let response = page
        .oneshot(request.body(String::new()).unwrap())
        .await
        .unwrap();

    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.headers().get("content-length").is_none());
    assert!(is_said(
        &next(&mut response.into_body()).await,
        "event: rows"
    ));
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_comment() {
    let (page, ..) = page();
    let page = page.heartbeat(Duration::from_secs(5));
    let mut stream = listen(&page).await;
    next(&mut stream).await;

    for _ in 0..3 {
        let since = Instant::now();
        assert_eq!(next(&mut stream).await, ":\n\n");
        assert_eq!(since.elapsed(), Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_look_and_one_that_goes_leaves_its_place() {
    let (page, ..) = page();
    let page = page.listeners(2);
    let first = listen(&page).await;
    let _second = listen(&page).await;

    let refused = ask(&page.clone()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    let whole = Request::get("/status").body(String::new()).unwrap();
    assert_eq!(
        page.clone().oneshot(whole).await.unwrap().status(),
        StatusCode::OK
    );
    let head = Request::head("/status/events").body(String::new()).unwrap();
    drop(first);
    assert_eq!(
        page.clone().oneshot(head).await.unwrap().status(),
        StatusCode::OK
    );
    listen(&page).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_last_table_and_no_other() {
    let (page, _, health) = page();
    let (mut slow, mut fast) = (listen(&page).await, listen(&page).await);
    next(&mut slow).await;
    next(&mut fast).await;
    for turn in 0..100 {
        health.force(if turn % 2 == 0 {
            Override::Drain
        } else {
            Override::Up
        });
        next(&mut fast).await;
    }
    health.force(Override::Down);
    let latest = next(&mut fast).await;

    let events = next(&mut slow).await;

    assert!(is_said(&events, "\">forced down</span>"), "{events:?}");
    assert_eq!(events.as_ptr(), latest.as_ptr(), "drawn once for both");
    let since = Instant::now();
    assert_eq!(next(&mut slow).await, ":\n\n", "there is nothing between");
    assert!(since.elapsed() >= Duration::from_secs(14));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_it_after_its_delay() {
    let (page, endpoints, _) = page();
    let mut stream = listen(&page).await;
    next(&mut stream).await;
    let drain = endpoints.drain().delay(Duration::from_secs(3));

    let (end, since) = (tokio::spawn(drain.into_future()), Instant::now());
    assert_eq!(next(&mut stream).await, "", "the end");

    assert_eq!(since.elapsed(), Duration::from_secs(3));
    end.await.unwrap();
    assert_eq!(ask(&page).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(http_body::Body::is_end_stream(&stream));
    assert_eq!(next(&mut stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn names_end_no_line_of_the_stream() {
    let (page, ..) = page();
    let name = "a\n\nevent: rows\rdata: <b>\u{85}";
    let page = page.endpoint(
        "x\ny",
        PageEndpoint::new(name).health(Health::fixed(State::Down)),
    );
    let mut stream = listen(&page).await;
    advance(Duration::from_secs(1)).await;

    let events = next(&mut stream).await;

    let text = std::str::from_utf8(&events).unwrap();
    let lines: Vec<_> = text.split(['\n', '\r']).collect();
    for line in &lines {
        let known = line.is_empty() || line.starts_with("data: ");
        assert!(known || line.starts_with("event: "), "{line:?}");
    }
    let events: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("event: "))
        .collect();
    assert_eq!(events, [&"event: summary", &"event: rows"]);
}
