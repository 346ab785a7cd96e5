//! What a `Watch` that stays open tells.

use http::{Request, Response};
use portcullis_health_check::{GrpcProbe, ProbeBody, State};
use portcullis_test_support::{ScriptBody, Step};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::*;

fn message(status: &'static [u8; 7]) -> Step {
    Step::Data(bytes::Bytes::from_static(status))
}

const SERVING: &[u8; 7] = b"\0\0\0\0\x02\x08\x01";
const NOT_SERVING: &[u8; 7] = b"\0\0\0\0\x02\x08\x02";

#[tokio::test(start_paused = true)]
async fn each_message_and_each_end_is_a_check_with_its_time() {
    let (millis, seconds) = (Duration::from_millis, Duration::from_secs);
    let client = service_fn(move |_: Request<ProbeBody>| async move {
        sleep(millis(300)).await;
        let script = ScriptBody::new([
            Step::Wait(millis(200)),
            message(SERVING),
            Step::Wait(seconds(5)),
            message(NOT_SERVING),
            Step::Wait(seconds(5)),
            message(SERVING),
            Step::Wait(seconds(5)),
            Step::Error("gone"),
        ]);
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, std::io::Error>(response.body(script).unwrap())
    });
    let start = Instant::now();
    let health = GrpcProbe::new(client, "http://orders".parse().unwrap())
        .watch()
        .start();
    sleep(millis(100)).await;
    assert_eq!(health.last_check(), None);

    let broken = "the answer broke off";
    for (after, checks, failures, at, latency, error) in [
        (1_000, 1, 0, 0, 500, None),
        (6_000, 2, 1, 5_500, 0, Some("NOT_SERVING")),
        (11_000, 3, 1, 10_500, 0, None),
        (16_000, 4, 2, 15_500, 0, Some(broken)),
    ] {
        sleep(millis(after) - start.elapsed()).await;
        let last = health.last_check().unwrap();

        assert_eq!((last.checks, last.failures), (checks, failures), "{after}");
        assert_eq!(last.at - start, millis(at), "{after}");
        assert_eq!(last.latency, millis(latency), "{after}");
        let said = last.error.map(|error| error.to_string());
        assert_eq!(said.as_deref(), error, "{after}");
        let expected = if error.is_none() {
            State::Up
        } else {
            State::Down
        };
        assert_eq!(health.state(), expected, "{after}");
    }
}

/// A server that starts slower than who watches it is not down meanwhile.
#[cfg(feature = "config")]
#[tokio::test(start_paused = true)]
async fn the_first_stream_waits_for_its_delay_and_a_check_in_its_place_does_not_wait_again() {
    use portcullis_health_check::{Config, Settings};

    let settings = serde_json::json!({"initial_delay": "10s"});
    let settings: Config = serde_json::from_value(settings).unwrap();
    let settings = Settings::try_from(&settings).unwrap();
    let day = Duration::from_secs(24 * 3600);
    for has_watch in [true, false] {
        let client = service_fn(move |request: Request<ProbeBody>| async move {
            let is_watch = request.uri().path().ends_with("Watch");
            let code = if is_watch { "12" } else { "0" };
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            let script = match is_watch {
                true if has_watch => ScriptBody::new([message(SERVING), Step::Wait(day)]),
                true => ScriptBody::new([Step::Trailers(trailers)]),
                false => ScriptBody::new([message(SERVING), Step::Trailers(trailers)]),
            };
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, std::io::Error>(response.body(script).unwrap())
        });
        let probe = GrpcProbe::new(client, "http://orders".parse().unwrap());
        let health = probe.watch().settings(settings.clone()).start();

        sleep(Duration::from_secs(9)).await;
        assert_eq!(health.state(), State::Unknown, "Watch: {has_watch}");
        let next = health.next_check().map(|next| next.as_secs());
        assert_eq!(next, Some(1), "Watch: {has_watch}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(health.state(), State::Up, "Watch: {has_watch}");
    }
}
