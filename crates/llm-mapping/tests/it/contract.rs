//! What the contract of `Service` asks, and what a stream does while it runs.

use std::future::{pending, poll_fn};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use portcullis_llm_mapping::{Caller, LlmMappingLayer, RequestBody, ResponseBody};
use portcullis_test_support::{BoxError, Probe, ProbeHandle, ScriptBody, Step};
use serde_json::Value;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};

use crate::exchange::layer;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]"#;
const REPLY: &str =
    r#"{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#;
const START: &str =
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"r\",\"model\":\"m\"}}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const DELTA: &str = "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";

fn chat(body: ScriptBody) -> Request<ScriptBody> {
    Request::post("/v1/chat/completions").body(body).unwrap()
}

fn whole(stream: bool) -> Request<ScriptBody> {
    let rest = format!(r#","stream":{stream}}}"#);
    chat(ScriptBody::new([Step::data(CHAT), Step::Data(rest.into())]))
}

/// A service behind the layer that answers with this body, of this type, and later with a short reply.
fn answering(
    layer: &LlmMappingLayer,
    content_type: &'static str,
    body: ScriptBody,
) -> (
    impl Service<
        Request<ScriptBody>,
        Response = Response<ResponseBody<ScriptBody>>,
        Error = BoxError,
        Future: Send,
    > + use<>,
    ProbeHandle,
) {
    let body = Arc::new(Mutex::new(Some(body)));
    let (probe, handle) = Probe::new(move |request: Request<RequestBody<ScriptBody>>| {
        let body = body.lock().unwrap().take();
        async move {
            request.into_body().collect().await?;
            let body = body.unwrap_or_else(|| ScriptBody::chunks([REPLY]));
            let response = Response::builder().header("content-type", content_type);
            Ok(response.body(body)?)
        }
    });
    (layer.layer(probe), handle)
}

async fn ready<S: Service<Request<ScriptBody>, Error = BoxError>>(service: &mut S) {
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
}

fn body(steps: impl IntoIterator<Item = Step>) -> ScriptBody {
    ScriptBody::new(steps)
}

#[tokio::test]
async fn the_ready_instance_is_called_after_the_body_was_read() {
    let reply = ScriptBody::chunks([REPLY]);
    let (mut service, upstream) = answering(&layer("anthropic"), "application/json", reply);

    for _ in 0..3 {
        // The probe panics where a clone that was not made ready is called.
        let steps = [Step::data(CHAT), Step::Pending, Step::data("}")];
        ready(&mut service).await;
        let response = service.call(chat(body(steps))).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn what_is_no_chat_passes_untouched() {
    let (mut service, upstream) = answering(
        &layer("anthropic"),
        "text/plain",
        ScriptBody::chunks(["as it is"]),
    );
    ready(&mut service).await;

    let request = Request::get("/v1/models").header("authorization", "Bearer k");
    let response = service.call(request.body(body([])).unwrap()).await.unwrap();

    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "as it is"
    );
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn pending_readiness_is_passed_on_and_wakes() {
    let (service, upstream) = answering(&layer("openai"), "application/json", body([]));
    upstream.block();
    let mut task = task::spawn(service);

    assert_pending!(task.enter(|cx, mut service| service.poll_ready(cx)));
    upstream.unblock();

    assert!(task.is_woken());
    assert_ready_ok!(task.enter(|cx, mut service| service.poll_ready(cx)));
}

#[test]
fn a_readiness_error_stays_what_it_was() {
    let (service, upstream) = answering(&layer("openai"), "application/json", body([]));
    upstream.fail_readiness("gone");

    let poll = task::spawn(service).enter(|cx, mut service| service.poll_ready(cx));

    assert_eq!(assert_ready_err!(poll).to_string(), "gone");
}

#[tokio::test]
async fn an_error_of_the_inner_service_stays_what_it_was() {
    let (probe, _upstream) = Probe::<_, &'static str>::new(|_: Request<RequestBody<_>>| async {
        Err::<Response<ScriptBody>, _>("gone")
    });
    let mut service = layer("anthropic").layer(probe);
    poll_fn(|cx| Service::<Request<ScriptBody>>::poll_ready(&mut service, cx))
        .await
        .unwrap();

    let result = service.call(whole(false)).await;

    assert_eq!(result.map(|_| ()), Err("gone"));
}

#[tokio::test]
async fn dropping_the_future_frees_the_body_and_the_instance() {
    let (mut service, upstream) = answering(&layer("anthropic"), "application/json", body([]));
    let request = body([Step::data(CHAT), Step::Stall]);
    let dropped = request.dropped();
    ready(&mut service).await;
    let mut future = task::spawn(service.call(chat(request)));
    assert_pending!(future.poll());
    assert_eq!((upstream.calls(), upstream.instances()), (0, 2));

    drop(future);

    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(upstream.instances(), 1);
}

#[tokio::test]
async fn dropping_the_future_cancels_the_inner_call() {
    let (probe, upstream) = Probe::<_, BoxError>::new(|_: Request<RequestBody<_>>| {
        pending::<Result<Response<ScriptBody>, _>>()
    });
    let mut service = layer("anthropic").layer(probe);
    poll_fn(|cx| Service::<Request<ScriptBody>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    let mut future = task::spawn(service.call(whole(false)));
    assert_pending!(future.poll());
    assert_eq!(upstream.in_flight(), 1);

    drop(future);

    assert_eq!(upstream.in_flight(), 0);
}

#[tokio::test]
async fn a_stream_that_waits_for_its_first_event_is_dropped_with_the_future() {
    let stream = body([Step::data("data: {\"ty"), Step::Stall]);
    let dropped = stream.dropped();
    let (mut service, _upstream) = answering(&layer("anthropic"), "text/event-stream", stream);
    ready(&mut service).await;
    let mut future = task::spawn(service.call(whole(true)));
    assert_pending!(future.poll());

    drop(future);

    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn events_leave_at_once_and_a_dropped_stream_frees_the_providers() {
    let stream = body([Step::data(START), Step::data(DELTA), Step::Stall]);
    let dropped = stream.dropped();
    let (mut service, _upstream) = answering(&layer("anthropic"), "text/event-stream", stream);
    ready(&mut service).await;

    let response = service.call(whole(true)).await.unwrap();

    let mut stream = task::spawn(response.into_body());
    for content in ["", "a"] {
        let frame = assert_ready!(stream.enter(|cx, body| body.poll_frame(cx)));
        let data = frame.unwrap().unwrap().into_data().unwrap();
        let data = data.strip_prefix(b"data: ").unwrap();
        let chunk: Value = serde_json::from_slice(data).unwrap();
        assert_eq!(chunk["choices"][0]["delta"]["content"], content);
    }
    assert_pending!(stream.enter(|cx, body| body.poll_frame(cx)));
    assert!(!stream.is_end_stream());
    drop(stream);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_head_leaves_before_the_first_event_where_nobody_waits_for_it() {
    let stream = body([Step::Stall]);
    let layer = layer("anthropic").wait_for_first_event(false);
    let (mut service, _upstream) = answering(&layer, "text/event-stream", stream);
    ready(&mut service).await;

    let response = service.call(whole(true)).await.unwrap();

    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
}

#[tokio::test]
async fn a_provider_is_let_go_with_its_last_event() {
    let end = "data: {\"type\":\"message_stop\"}\n\n";
    let stream = body([Step::data(START), Step::data(end), Step::Stall]);
    let dropped = stream.dropped();
    let (mut service, _upstream) = answering(&layer("anthropic"), "text/event-stream", stream);
    ready(&mut service).await;

    let response = service.call(whole(true)).await.unwrap();
    let told = response.into_body().collect().await.unwrap().to_bytes();

    assert!(told.ends_with(b"data: [DONE]\n\n"));
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_stream_that_begins_with_nothing_to_tell_lets_others_run() {
    let stream = body((0..1000).map(|_| Step::data(PING)));
    let (mut service, _upstream) = answering(&layer("anthropic"), "text/event-stream", stream);
    ready(&mut service).await;

    let mut call = task::spawn(service.call(whole(true)));

    assert_pending!(call.poll());
    assert!(call.is_woken());
    assert_eq!(call.await.unwrap().status(), 502);
}

/// While there is nothing to tell, the caller sees that the provider is there.
#[tokio::test]
async fn a_stream_that_goes_on_without_anything_to_tell_is_kept_alive() {
    let thought = "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n";
    let half = thought.split_at(9);
    for (caller, path, alive) in [
        (Caller::OpenAi, "/v1/chat/completions", ":\n\n"),
        (
            Caller::Anthropic,
            "/v1/messages",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        ),
    ] {
        let steps = [PING, START, PING, thought, half.0, half.1].map(Step::data);
        let stream = body(steps.into_iter().chain([Step::Stall]));
        let layer = layer("anthropic").caller(caller);
        let (mut service, _upstream) = answering(&layer, "text/event-stream", stream);
        ready(&mut service).await;
        let mut request = whole(true);
        *request.uri_mut() = path.parse().unwrap();

        let response = service.call(request).await.unwrap();

        let mut stream = task::spawn(response.into_body());
        let start = assert_ready!(stream.enter(|cx, body| body.poll_frame(cx)));
        assert!(start.unwrap().unwrap().into_data().unwrap().len() > alive.len());
        // The ping, the thought, and the whole of the other one.
        for _ in 0..3 {
            let frame = assert_ready!(stream.enter(|cx, body| body.poll_frame(cx)));
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), alive);
        }
        assert_pending!(stream.enter(|cx, body| body.poll_frame(cx)));
    }
}

#[test]
fn bodies_go_where_they_must_be_shared() {
    let _: fn(RequestBody<Full<Bytes>>) = |body| drop(body.boxed());
    let _: fn(ResponseBody<Full<Bytes>>) = |body| drop(body.boxed());
}
