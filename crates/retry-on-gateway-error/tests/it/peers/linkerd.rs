//! linkerd2-proxy, which has the best design and some edges.

use std::sync::atomic::Ordering;

use http::{HeaderMap, Version};
use portcullis_test_support::Step;

use super::*;

fn trailers(code: &str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])
}

fn grpc_answer(steps: Vec<Step>, version: Version) -> Outcome {
    let outcome = answer_with(200, ScriptBody::new(steps));
    let mut response = with(outcome, "content-type", "application/grpc")?;
    *response.version_mut() = version;
    Ok(response)
}

#[tokio::test(start_paused = true)]
async fn no_decision_depends_on_how_frames_fall_into_segments_as_linkerds_peek_does() {
    let message = || Step::data("message");
    let unavailable = || Step::Trailers(trailers("14"));
    let later = || Step::Wait(Duration::from_millis(300));
    for version in [Version::HTTP_2, Version::HTTP_11] {
        for (steps, attempts, name) in [
            (vec![unavailable()], 2, "trailers with the head"),
            (
                vec![Step::Pending, unavailable()],
                2,
                "trailers in the next poll",
            ),
            (vec![later(), unavailable()], 2, "trailers later"),
            (
                vec![message(), unavailable()],
                1,
                "all at once after a message",
            ),
            (
                vec![message(), Step::Pending, unavailable()],
                1,
                "after a message",
            ),
            (
                vec![later(), message(), later(), unavailable()],
                1,
                "both later",
            ),
        ] {
            let script = [grpc_answer(steps, version), answer(200)];

            let (outcome, seen, _) = send(layer(), script, grpc_call()).await;

            assert_eq!(outcome.unwrap().status(), 200, "{name}");
            assert_eq!(seen.bodies().len(), attempts, "{version:?}: {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_of_12_kb_that_were_looked_at_pass_whole_unlike_in_linkerd_15199() {
    let mut large = trailers("3");
    large.insert(
        "grpc-status-details-bin",
        "x".repeat(12 * 1024).parse().unwrap(),
    );
    for steps in [
        vec![Step::Trailers(large.clone())],
        vec![Step::Pending, Step::Trailers(large.clone())],
        vec![Step::data("message"), Step::Trailers(large.clone())],
    ] {
        let script = [grpc_answer(steps, Version::HTTP_2)];

        let (outcome, ..) = send(layer(), script, grpc_call()).await;

        let body = outcome.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.trailers(), Some(&large));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_gone_before_the_next_attempt_where_linkerd_keeps_it_to_the_end() {
    let discarded = ScriptBody::new([Step::data("old"), Step::Stall]);
    let dropped = discarded.dropped();
    let script = Mutex::new(Some(answer_with(503, discarded)));
    let script = Arc::new(script);
    let (probe, handle) = Probe::<_, BoxError>::new(move |_: Attempted| {
        let first = script.lock().unwrap().take();
        let gone = dropped.load(Ordering::SeqCst);
        std::future::ready(first.unwrap_or_else(|| {
            assert!(gone, "dropped before the next attempt is sent");
            answer(200)
        }))
    });

    let response = layer().layer(probe).oneshot(request("GET", [])).await;

    assert_eq!(
        (response.unwrap().status().as_u16(), handle.calls()),
        (200, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_request_are_sent_again() {
    let sums = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "1".parse().unwrap())]);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (probe, _handle) = Probe::<_, BoxError>::new({
        let sent = Arc::clone(&sent);
        move |request: Attempted| {
            let sent = Arc::clone(&sent);
            async move {
                let body = request.into_body().collect().await?;
                sent.lock().unwrap().push(body.trailers().cloned());
                let first = sent.lock().unwrap().len() == 1;
                answer(if first { 502 } else { 200 })
            }
        }
    });
    let body = ScriptBody::new([Step::data("a"), Step::Trailers(sums.clone())]);
    let put = Request::put("http://upstream.test/").body(body).unwrap();

    let response = layer().layer(probe).oneshot(put).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(*sent.lock().unwrap(), [Some(sums.clone()), Some(sums)]);
}
