use portcullis_test_support::{Probe, Step};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::*;

async fn elapsed(discarded: ScriptBody, limit: Duration) -> (Duration, bool) {
    let dropped = discarded.dropped();
    let (handler, _) = upstream([answer_with(503, discarded), answer(200)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let layer = layer().drain(16, limit);
    let start = Instant::now();

    let response = layer
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
    (
        start.elapsed(),
        dropped.load(std::sync::atomic::Ordering::SeqCst),
    )
}

#[tokio::test(start_paused = true)]
async fn a_discarded_answer_is_read_while_the_wait_passes() {
    for (steps, expected, name) in [
        (vec![Step::data("gone")], 2000, "there at once"),
        (
            vec![Step::Wait(Duration::from_millis(1500)), Step::data("gone")],
            2000,
            "within the wait",
        ),
        (
            vec![Step::Wait(Duration::from_millis(2050)), Step::data("gone")],
            2050,
            "a little later",
        ),
        (
            vec![Step::Stall],
            2100,
            "never: the next attempt does not wait for it",
        ),
        (
            vec![Step::data("0123456789abcdef+"), Step::Stall],
            2000,
            "more than the limit",
        ),
    ] {
        let (elapsed, dropped) = elapsed(ScriptBody::new(steps), Duration::from_secs(9)).await;

        // The timer of the runtime counts in milliseconds, and rounds up.
        let late = elapsed
            .checked_sub(Duration::from_millis(expected))
            .expect(name);
        assert!(late <= Duration::from_millis(2), "{name}: {elapsed:?}");
        assert!(dropped, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_discarded_answer_is_held_in_the_wait() {
    let discarded = ScriptBody::chunks(["gone"]);
    let dropped = discarded.dropped();
    let (handler, _) = upstream([answer_with(503, discarded)]);
    let (probe, _handle) = Probe::<_, BoxError>::new(handler);
    let mut future = tokio_test::task::spawn(layer().layer(probe).oneshot(request("GET", [])));

    tokio_test::assert_pending!(future.poll());

    assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_answer_that_stalls_is_let_go_after_its_time() {
    let (elapsed, dropped) = elapsed(ScriptBody::new([Step::Stall]), Duration::from_secs(1)).await;

    assert!(dropped);
    assert_eq!(
        elapsed,
        Duration::from_secs(2),
        "nothing is left to wait for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_discarded_answer_is_read_on_beside_the_next_attempt() {
    let discarded = ScriptBody::new([Step::Wait(Duration::from_secs(5)), Step::data("gone")]);
    let dropped = discarded.dropped();
    let (probe, _handle) = Probe::<_, BoxError>::new({
        let discarded = Arc::new(Mutex::new(Some(discarded)));
        move |_: Request<ReplayBody<ScriptBody>>| {
            let first = discarded.lock().unwrap().take();
            let dropped = Arc::clone(&dropped);
            async move {
                if let Some(body) = first {
                    return answer_with(503, body);
                }
                tokio::time::sleep(Duration::from_millis(2800)).await;
                assert!(
                    !dropped.load(std::sync::atomic::Ordering::SeqCst),
                    "still read"
                );
                tokio::time::sleep(Duration::from_millis(200)).await;
                assert!(
                    dropped.load(std::sync::atomic::Ordering::SeqCst),
                    "read to its end"
                );
                answer(200)
            }
        }
    });

    let response = layer()
        .drain(16, Duration::from_secs(9))
        .layer(probe)
        .oneshot(request("GET", []))
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
}
