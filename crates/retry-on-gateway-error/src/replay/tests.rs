use std::pin::pin;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use portcullis_test_support::{ScriptBody, Step};
use proptest::prelude::*;
use tokio_test::{assert_pending, assert_ready, task};

use super::*;

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, "t".parse().unwrap())])
}

/// Reads this many frames; what they hold, and whether the body ended.
async fn read<B>(body: &mut ReplayBody<B>, frames: usize) -> String
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut text = String::new();
    for _ in 0..frames {
        let frame = body.frame().await.unwrap().unwrap();
        if let Ok(data) = frame.into_data() {
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
    text
}

async fn all<B>(body: ReplayBody<B>) -> (String, Option<HeaderMap>)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (
        String::from_utf8(collected.to_bytes().to_vec()).unwrap(),
        trailers,
    )
}

#[tokio::test]
async fn nothing_read_yet_is_not_sent_twice() {
    let replay = Replay::new(ScriptBody::chunks(["AAA", "BBB"]), 100);
    drop(replay.start());

    let sent = all(replay.start()).await;

    assert_eq!(sent, ("AAABBB".to_owned(), None));
}

#[tokio::test]
async fn data_and_trailers_are_replayed() {
    let script = [
        Step::data("a"),
        Step::Pending,
        Step::data("b"),
        Step::Trailers(trailers()),
    ];
    let replay = Replay::new(ScriptBody::new(script), 100);
    let expected = ("ab".to_owned(), Some(trailers()));

    for attempt in 1..=3 {
        assert_eq!(all(replay.start()).await, expected, "attempt {attempt}");
        assert_eq!(replay.sent(), 2);
    }
    assert!(replay.is_replayable());
}

#[tokio::test]
async fn the_next_attempt_takes_over_the_unread_rest() {
    let replay = Replay::new(ScriptBody::chunks(["a", "b", "c"]), 100);
    let mut first = replay.start();
    assert_eq!(read(&mut first, 2).await, "ab");

    let second = replay.start();

    let error = first.frame().await.unwrap().unwrap_err();
    assert!(
        error.is::<ReplayError>(),
        "the first never sees an end: {error}"
    );
    assert!(first.frame().await.is_none());
    assert_eq!(all(second).await.0, "abc");
}

#[test]
fn an_attempt_that_waits_is_told_when_it_is_superseded() {
    let replay = Replay::new(ScriptBody::new([Step::data("a"), Step::Stall]), 100);
    let mut first = task::spawn(replay.start());
    assert!(assert_ready!(first.enter(|cx, body| body.poll_frame(cx))).is_some());
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));

    let _second = replay.start();

    assert!(first.is_woken());
    assert!(
        assert_ready!(first.enter(|cx, body| body.poll_frame(cx)))
            .unwrap()
            .is_err()
    );
}

#[tokio::test]
async fn over_the_limit_the_attempt_goes_on_and_is_the_last() {
    let script = [Step::data("ab"), Step::data("cd"), Step::data("ef")];
    // No exact hint: it is not known beforehand that the body is too large.
    let body = ScriptBody::new(script).hint(SizeHint::default());
    let replay = Replay::new(body, 3);
    let mut first = replay.start();
    assert_eq!(read(&mut first, 1).await, "ab");
    assert!(replay.is_replayable());

    assert_eq!(all(first).await.0, "cdef");

    assert!(!replay.is_replayable());
}

#[tokio::test]
async fn a_body_known_to_be_too_large_is_replayable_until_it_is_read() {
    let replay = Replay::new(ScriptBody::chunks(["abcd"]), 3);
    drop(replay.start());
    assert!(
        replay.is_replayable(),
        "a connection that was refused needs nothing kept"
    );

    assert_eq!(all(replay.start()).await.0, "abcd");

    assert!(!replay.is_replayable());
}

#[tokio::test]
async fn an_error_of_the_body_ends_it_and_all_attempts() {
    let replay = Replay::new(ScriptBody::new([Step::data("a"), Step::Error("gone")]), 100);
    let mut body = replay.start();
    assert_eq!(read(&mut body, 1).await, "a");

    let error = body.frame().await.unwrap().unwrap_err();

    assert_eq!(error.to_string(), "gone");
    assert!(body.frame().await.is_none());
    assert!(!replay.is_replayable());
}

#[tokio::test]
async fn an_empty_body_is_replayable_and_ended() {
    let replay = Replay::new(ScriptBody::chunks([]), 0);

    for _ in 0..2 {
        let body = replay.start();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(all(body).await.0, "");
    }
    assert!(replay.is_replayable());
}

#[tokio::test]
async fn size_and_end_are_right_at_every_moment() {
    let replay = Replay::new(ScriptBody::chunks(["ab", "c"]), 100);
    for attempt in 1..=2 {
        let mut body = replay.start();
        for (size, ended) in [(3, false), (1, false)] {
            assert_eq!(body.size_hint().exact(), Some(size), "attempt {attempt}");
            assert_eq!(body.is_end_stream(), ended, "attempt {attempt}");
            read(&mut body, 1).await;
        }
        assert_eq!(body.size_hint().exact(), Some(0), "attempt {attempt}");
        assert!(body.is_end_stream(), "attempt {attempt}");
    }
}

#[tokio::test]
async fn a_committed_attempt_goes_on_and_keeps_nothing() {
    let mut replay = Replay::new(ScriptBody::chunks(["a", "b", "c"]), 100);
    read(&mut replay.start(), 2).await;
    let mut second = replay.start();
    assert_eq!(read(&mut second, 1).await, "a");

    replay.commit();

    assert!(!replay.is_replayable());
    assert_eq!(
        replay.shared.lock().kept.len(),
        1,
        "only what is still to be sent again"
    );
    drop(replay);
    assert_eq!(all(second).await.0, "bc");
}

#[tokio::test]
async fn dropping_the_exchange_lets_go_of_the_callers_body() {
    let body = ScriptBody::new([Step::data("a"), Step::Stall]);
    let dropped = body.dropped();
    let replay = Replay::new(body, 100);
    let mut held = replay.start();

    drop(replay);

    assert!(dropped.load(Ordering::SeqCst));
    assert!(
        held.frame().await.unwrap().is_err(),
        "whoever still holds it sees no clean end"
    );
}

#[tokio::test]
async fn a_direct_body_passes() {
    let body = ReplayBody::direct(ScriptBody::chunks(["ab"]));

    assert_eq!(body.size_hint().exact(), Some(2));
    assert!(!body.is_end_stream());
    assert_eq!(all(body).await.0, "ab");
}

proptest! {
    /// Any framing, any cut, any limit: where an attempt is allowed, it sends what the caller sent.
    #[test]
    fn every_allowed_attempt_sends_what_the_caller_sent(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
        with_trailers in any::<bool>(),
        cuts in prop::collection::vec(0_usize..10, 0..4),
        limit in 0_usize..120,
    ) {
        let expected: Vec<u8> = chunks.concat();
        let mut script: Vec<_> = chunks.into_iter().map(|chunk| Step::Data(chunk.into())).collect();
        if with_trailers {
            script.push(Step::Trailers(trailers()));
        }
        let replay = Replay::new(ScriptBody::new(script), limit);

        tokio_test::block_on(async {
            for cut in cuts {
                if !replay.is_replayable() {
                    return;
                }
                let mut body = replay.start();
                for _ in 0..cut {
                    let Some(frame) = body.frame().await else { break };
                    frame.unwrap();
                }
            }
            if replay.is_replayable() {
                let mut body = pin!(replay.start());
                let mut sent = Vec::new();
                let mut seen_trailers = false;
                loop {
                    let (hint, ended) = (body.size_hint(), body.is_end_stream());
                    let Some(frame) = body.frame().await else { break };
                    assert!(!ended, "an ended body gives no frame");
                    let frame = frame.unwrap();
                    match frame.into_data() {
                        Ok(data) => {
                            assert!(hint.lower() >= data.len() as u64 || hint.exact().is_none());
                            sent.extend_from_slice(&data);
                        }
                        Err(frame) => seen_trailers = frame.is_trailers(),
                    }
                }
                assert_eq!(sent, expected);
                assert_eq!(seen_trailers, with_trailers);
            }
        });
    }
}
