use std::pin::pin;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use http_body_util::BodyExt;
use portcullis_test_support::{ScriptBody, Step};
use proptest::prelude::*;
use tokio_test::{assert_pending, assert_ready, task};

use super::*;

/// A body of which at most this many bytes are kept.
fn keep<B: Body<Data = Bytes>>(body: B, max_bytes: usize) -> Replay<B> {
    Replay::new(body, None, &limit(max_bytes))
}

fn limit(max_bytes: usize) -> ReplayLimit {
    ReplayLimit {
        max_bytes,
        memory: ReplayMemory::new(usize::MAX),
    }
}

/// The next attempt.
fn start<B: Body<Data = Bytes>>(replay: &Replay<B>) -> ReplayBody<B> {
    replay.start().0
}

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
    B: Body<Data = Bytes> + Unpin,
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
    let replay = keep(ScriptBody::chunks(["AAA", "BBB"]), 100);
    drop(start(&replay));

    let sent = all(start(&replay)).await;

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
    let replay = keep(ScriptBody::new(script), 100);
    let expected = ("ab".to_owned(), Some(trailers()));

    for attempt in 1..=3 {
        let (body, lane) = replay.start();
        assert_eq!(all(body).await, expected, "attempt {attempt}");
        assert_eq!(replay.sent(lane), 2);
    }
    assert!(replay.lost().is_none());
}

#[tokio::test]
async fn the_next_attempt_takes_over_the_unread_rest() {
    let replay = keep(ScriptBody::chunks(["a", "b", "c"]), 100);
    let mut first = start(&replay);
    assert_eq!(read(&mut first, 2).await, "ab");

    let second = start(&replay);

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
    let replay = keep(ScriptBody::new([Step::data("a"), Step::Stall]), 100);
    let mut first = task::spawn(start(&replay));
    assert!(assert_ready!(first.enter(|cx, body| body.poll_frame(cx))).is_some());
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));

    let _second = start(&replay);

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
    let replay = keep(body, 3);
    let mut first = start(&replay);
    assert_eq!(read(&mut first, 1).await, "ab");
    assert!(replay.lost().is_none());

    assert_eq!(all(first).await.0, "cdef");

    assert!(replay.lost().is_some());
}

#[tokio::test]
async fn a_body_known_to_be_too_large_is_replayable_until_it_is_read() {
    let replay = keep(ScriptBody::chunks(["abcd"]), 3);
    drop(start(&replay));
    assert!(
        replay.lost().is_none(),
        "a connection that was refused needs nothing kept"
    );

    assert_eq!(all(start(&replay)).await.0, "abcd");

    assert!(replay.lost().is_some());
}

#[tokio::test]
async fn an_error_of_the_body_ends_it_and_all_attempts() {
    let replay = keep(ScriptBody::new([Step::data("a"), Step::Error("gone")]), 100);
    let mut body = start(&replay);
    assert_eq!(read(&mut body, 1).await, "a");

    let error = body.frame().await.unwrap().unwrap_err();

    assert_eq!(error.to_string(), "gone");
    assert!(body.frame().await.is_none());
    assert!(replay.lost().is_some());
}

#[tokio::test]
async fn an_empty_body_is_replayable_and_ended() {
    let replay = keep(ScriptBody::chunks([]), 0);

    for _ in 0..2 {
        let body = start(&replay);
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(all(body).await.0, "");
    }
    assert!(replay.lost().is_none());
}

#[tokio::test]
async fn size_and_end_are_right_at_every_moment() {
    let replay = keep(ScriptBody::chunks(["ab", "c"]), 100);
    for attempt in 1..=2 {
        let mut body = start(&replay);
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
    let mut replay = keep(ScriptBody::chunks(["a", "b", "c"]), 100);
    read(&mut start(&replay), 2).await;
    let (mut second, lane) = replay.start();
    assert_eq!(read(&mut second, 1).await, "a");

    replay.commit(lane);

    assert!(replay.lost().is_some());
    assert_eq!(
        replay.shared.lock().kept_chunks(),
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
    let replay = keep(body, 100);
    let mut held = start(&replay);

    drop(replay);

    assert!(dropped.load(Ordering::SeqCst));
    assert!(
        held.frame().await.unwrap().is_err(),
        "whoever still holds it sees no clean end"
    );
}

#[tokio::test]
async fn two_attempts_beside_each_other_send_the_same() {
    let script = [Step::data("a"), Step::data("b"), Step::Trailers(trailers())];
    let replay = keep(ScriptBody::new(script), 100);
    let (mut first, _) = replay.start();
    assert_eq!(read(&mut first, 1).await, "a");

    let (mut second, _) = replay.start_beside();
    assert_eq!(
        read(&mut second, 2).await,
        "ab",
        "it catches up and goes on"
    );

    let expected = ("b".to_owned(), Some(trailers()));
    assert_eq!(all(first).await, expected);
    assert_eq!(all(second).await, (String::new(), Some(trailers())));
}

#[test]
fn attempts_that_wait_beside_each_other_are_both_woken() {
    let replay = keep(
        ScriptBody::new([Step::Pending, Step::data("a"), Step::Stall]),
        100,
    );
    let mut first = task::spawn(start(&replay));
    let mut second = task::spawn(replay.start_beside().0);
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));
    assert!(assert_ready!(second.enter(|cx, body| body.poll_frame(cx))).is_some());

    assert!(first.is_woken());
    assert!(assert_ready!(first.enter(|cx, body| body.poll_frame(cx))).is_some());

    // Both wait for the same frame, the second was the last to ask; when it goes, the first asks itself.
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));
    assert_pending!(second.enter(|cx, body| body.poll_frame(cx)));
    drop(second);
    assert!(first.is_woken());
}

#[tokio::test]
async fn over_the_limit_the_attempt_that_reads_on_is_alone() {
    let body = ScriptBody::chunks(["ab", "cd"]).hint(SizeHint::default());
    let replay = keep(body, 3);
    let (mut first, second) = (start(&replay), replay.start_beside().0);

    assert_eq!(all(second).await.0, "abcd");

    let error = first.frame().await.unwrap().unwrap_err();
    assert!(
        error.is::<ReplayError>(),
        "never a part for the whole: {error}"
    );
    assert_eq!(replay.lost(), Some(Lost::TooLarge));
}

#[tokio::test]
async fn all_requests_share_the_memory_for_replays() {
    let limit = ReplayLimit {
        max_bytes: 100,
        // The bytes of a chunk, and those of its place.
        memory: ReplayMemory::new(3 + size_of::<Bytes>()),
    };
    let (one, two) = (
        Replay::new(ScriptBody::chunks(["ab"]), None, &limit),
        Replay::new(ScriptBody::chunks(["cd"]), None, &limit),
    );
    assert_eq!(all(start(&one)).await.0, "ab");

    assert_eq!(all(start(&two)).await.0, "cd", "it goes on all the same");

    assert_eq!((one.lost(), two.lost()), (None, Some(Lost::MemoryFull)));
    drop((one, two));
    assert_eq!(limit.memory.used(), 0);
}

#[tokio::test]
async fn a_length_that_the_head_announces_is_believed_before_anything_is_kept() {
    let body = ScriptBody::chunks(["ab"]).hint(SizeHint::default());
    let replay = Replay::new(body, Some(1000), &limit(10));

    read(&mut start(&replay), 1).await;

    assert_eq!(replay.lost(), Some(Lost::TooLarge));
}

#[tokio::test]
async fn the_first_chunk_is_not_sent_twice_where_linkerd_sent_it_twice() {
    // Linkerd's body gave AAAAAABBB to the second attempt when the first had failed before it read anything.
    let replay = keep(ScriptBody::chunks(["AAA", "BBB"]), 100);
    drop(start(&replay));
    let mut second = start(&replay);
    assert_eq!(read(&mut second, 1).await, "AAA");

    assert_eq!(all(start(&replay)).await.0, "AAABBB");
}

#[tokio::test]
async fn handles_that_are_polled_at_once_do_not_panic_where_linkerds_did() {
    let replay = keep(ScriptBody::chunks(["a", "b"]), 100);
    let (first, second) = (start(&replay), start(&replay));

    let (first, second) = tokio::join!(first.collect(), all(second));

    assert!(first.is_err());
    assert_eq!(second.0, "ab");
}

#[tokio::test]
async fn a_body_is_sent_when_it_says_that_it_is_at_its_end() {
    let replay = keep(ScriptBody::chunks(["a"]), 100);
    assert!(!replay.is_sent());

    read(&mut start(&replay), 1).await;

    assert!(
        replay.is_sent(),
        "a client that sees the end does not ask for more"
    );
}

#[tokio::test]
async fn a_direct_body_passes() {
    let body = ReplayBody::direct(ScriptBody::chunks(["ab"]));

    assert_eq!(body.size_hint().exact(), Some(2));
    assert!(!body.is_end_stream());
    assert_eq!(all(body).await.0, "ab");
}

#[tokio::test]
async fn an_attempt_that_is_over_is_told_at_once_and_reads_nothing_more() {
    let body = ScriptBody::chunks(["ab", "cd", "ef"]).hint(SizeHint::default());
    let replay = keep(body, 3);
    let (mut first, lane) = replay.start();
    assert_eq!(read(&mut first, 1).await, "ab");

    replay.supersede(lane);

    assert_eq!(replay.standing(lane), Standing::Superseded);
    let error = first.frame().await.unwrap().unwrap_err();
    assert!(error.is::<ReplayError>(), "{error}");
    assert!(!first.is_end_stream());
    assert!(replay.lost().is_none(), "nothing passed the limit");
    assert_eq!(all(start(&replay)).await.0, "abcdef");
}

#[tokio::test]
async fn an_attempt_that_has_sent_all_is_not_disturbed_when_it_is_over() {
    let replay = keep(ScriptBody::chunks(["ab"]), 3);
    let (mut first, lane) = replay.start();
    assert_eq!(read(&mut first, 1).await, "ab");

    replay.supersede(lane);

    assert!(
        first.frame().await.is_none(),
        "its connection can be used again"
    );
}

#[test]
fn an_attempt_that_is_over_wakes_those_that_wait_for_the_same_frame() {
    let replay = keep(ScriptBody::new([Step::Stall]), 100);
    let mut first = task::spawn(start(&replay));
    let (second, lane) = replay.start_beside();
    let mut second = task::spawn(second);
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));
    // The body knows of this one alone.
    assert_pending!(second.enter(|cx, body| body.poll_frame(cx)));

    replay.supersede(lane);

    assert!(first.is_woken() && second.is_woken());
}

#[test]
fn the_attempt_that_is_chosen_asks_the_body_itself_again() {
    let mut replay = keep(ScriptBody::new([Step::Stall]), 100);
    let (first, lane) = replay.start();
    let mut first = task::spawn(first);
    let mut second = task::spawn(replay.start_beside().0);
    assert_pending!(first.enter(|cx, body| body.poll_frame(cx)));
    // The body knows of this one alone.
    assert_pending!(second.enter(|cx, body| body.poll_frame(cx)));

    replay.commit(lane);

    assert!(first.is_woken(), "or nobody polls the body for it again");
}

/// What is done with attempts beside each other.
#[derive(Clone, Copy, Debug)]
enum Act {
    Start,
    StartBeside,
    /// Reads one frame.
    Read(usize),
    Supersede(usize),
    Drop(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Start),
        3 => Just(Act::StartBeside),
        6 => (0_usize..12).prop_map(Act::Read),
        1 => (0_usize..12).prop_map(Act::Supersede),
        1 => (0_usize..12).prop_map(Act::Drop),
    ]
}

proptest! {
    /// Whatever runs beside what, and whatever of it is over: an attempt sends all that the caller sent, or a part of it and then an error.
    #[test]
    fn attempts_beside_each_other_send_all_or_fail(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
        acts in prop::collection::vec(act(), 0..40),
        limit in 0_usize..120,
        committed in any::<prop::sample::Index>(),
    ) {
        let expected: Vec<u8> = chunks.concat();
        let script = chunks.into_iter().map(|chunk| Step::Data(chunk.into()));
        let mut replay = keep(ScriptBody::new(script).hint(SizeHint::default()), limit);
        let (first, lane) = replay.start();
        let mut attempts = vec![(Some(first), lane, Vec::new(), None)];
        let read = async |(body, _, sent, end): &mut (Option<ReplayBody<_>>, u32, Vec<u8>, Option<bool>)| {
            let Some(handle) = body.as_mut().filter(|_| end.is_none()) else {
                return false;
            };
            match handle.frame().await {
                Some(Ok(frame)) => sent.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => *end = Some(false),
                None => *end = Some(true),
            }
            true
        };

        tokio_test::block_on(async {
            for act in acts {
                let allowed = replay.lost().is_none();
                match act {
                    Act::Start if allowed => {
                        let (body, lane) = replay.start();
                        attempts.push((Some(body), lane, Vec::new(), None));
                    }
                    Act::StartBeside if replay.is_kept() => {
                        let (body, lane) = replay.start_beside();
                        attempts.push((Some(body), lane, Vec::new(), None));
                    }
                    Act::Start | Act::StartBeside => {}
                    Act::Read(number) => {
                        let number = number % attempts.len();
                        read(&mut attempts[number]).await;
                    }
                    Act::Supersede(number) => replay.supersede(attempts[number % attempts.len()].1),
                    Act::Drop(number) => {
                        let number = number % attempts.len();
                        attempts[number].0 = None;
                    }
                }
            }
            let chosen = attempts[committed.index(attempts.len())].1;
            let stood = replay.standing(chosen);
            replay.commit(chosen);
            for attempt in &mut attempts {
                while read(attempt).await {}
                let (body, lane, sent, end) = attempt;
                assert!(expected.starts_with(sent));
                if body.is_some() {
                    assert!(*end == Some(false) || *sent == expected, "a part is not the whole");
                }
                if *lane == chosen && body.is_some() && stood != Standing::Superseded {
                    assert_eq!(*end, Some(true), "the one that was chosen sends all");
                }
            }
        });
    }
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
        let replay = keep(ScriptBody::new(script), limit);

        tokio_test::block_on(async {
            for cut in cuts {
                if replay.lost().is_some() {
                    return;
                }
                let mut body = start(&replay);
                for _ in 0..cut {
                    let Some(frame) = body.frame().await else { break };
                    frame.unwrap();
                }
            }
            if replay.lost().is_none() {
                let mut body = pin!(start(&replay));
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
