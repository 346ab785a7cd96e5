//! Which service gets a chat, with probes that panic where one is called that was not made ready.

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_gateway_error::{Answer, AnswerBody, Audience, ErrorKind};
use portcullis_llm_mapping::{
    Caller, ChatModel, LlmMappingLayer, ModelRouter, RequestBody, providers,
};
use portcullis_test_support::{BoxError, Probe, ScriptBody, Step};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};

type Sent = Request<RequestBody<ScriptBody>>;
type Outcome = Result<Response<Full<Bytes>>, BoxError>;

/// Answers with its name, the model that it is told and the body that came.
fn echo(
    name: &'static str,
) -> impl Fn(Sent) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Clone {
    move |request: Sent| {
        Box::pin(async move {
            let model = request.extensions().get::<ChatModel>();
            let model = model.map_or("its own", ChatModel::as_str).to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8(body.to_vec())?;
            let echo = json!({"name": name, "model": model, "body": body});
            let body = Full::from(echo.to_string());
            Ok(Response::builder()
                .header("content-type", "application/json")
                .body(body)?)
        })
    }
}

fn chat(model: &str) -> Request<ScriptBody> {
    let body =
        format!(r#"{{"messages": [{{"role": "user", "content": "Hi"}}], "model": "{model}" }}"#);
    let middle = body.len() / 2;
    let body = Bytes::from(body);
    let steps = [body.slice(..middle), body.slice(middle..)].map(Step::Data);
    let request = Request::post("/v1/chat/completions");
    request.body(ScriptBody::new(steps)).unwrap()
}

async fn json(response: Response<impl http_body::Body<Error = BoxError>>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_chat_goes_where_its_model_says_and_arrives_as_it_was() {
    let (probe, handle) = Probe::<_, BoxError>::new(echo("a"));
    let router = ModelRouter::new().prefix("anthropic", probe);

    let response = router.oneshot(chat("anthropic/claude-sonnet-4-5")).await;

    let (status, told) = json(response.unwrap().map(|body| body.map_err(Into::into))).await;
    assert_eq!(status, 200);
    assert_eq!(told["model"], "claude-sonnet-4-5");
    let sent = chat("anthropic/claude-sonnet-4-5")
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(
        told["body"].as_str().unwrap().as_bytes(),
        sent.to_bytes(),
        "byte for byte"
    );
    assert_eq!(handle.instances(), 0);
}

#[tokio::test]
async fn what_cannot_be_routed_is_refused_in_the_form_of_the_callers_api() {
    let (probe, handle) = Probe::<_, BoxError>::new(echo("a"));
    let router = ModelRouter::new()
        .model("known", probe)
        .max_request_bytes(100);
    let post = |body: &'static str| {
        let request = Request::post("/v1/chat/completions");
        request.body(ScriptBody::chunks([body])).unwrap()
    };
    let long = Box::leak(format!(r#"{{"model": "{}"}}"#, "x".repeat(100)).into_boxed_str());
    for (request, status, kind, code) in [
        (
            chat("other"),
            404,
            "invalid_request_error",
            json!("model_not_found"),
        ),
        (post("{"), 400, "invalid_request_error", Value::Null),
        (post("[]"), 400, "invalid_request_error", Value::Null),
        (
            post(r#"{"messages": [{}]}"#),
            400,
            "invalid_request_error",
            Value::Null,
        ),
        (post(long), 413, "invalid_request_error", Value::Null),
        (
            Request::get("/v1/models")
                .body(ScriptBody::chunks([]))
                .unwrap(),
            404,
            "not_found_error",
            Value::Null,
        ),
    ] {
        let response = router.clone().oneshot(request).await.unwrap();

        let local = response.headers()["proxy-status"]
            .to_str()
            .unwrap()
            .to_owned();
        let (found, told) = json(response.map(|body| body.map_err(Into::into))).await;
        assert_eq!(found, status, "{told}");
        assert_eq!(
            (&told["error"]["type"], &told["error"]["code"]),
            (&json!(kind), &code),
            "{told}"
        );
        assert!(
            local.starts_with("portcullis;error=http_request_error"),
            "{local}"
        );
    }
    assert_eq!(handle.calls(), 0);
    let anthropic = ModelRouter::<Probe<fn(Sent) -> std::future::Ready<Outcome>>>::new();
    let request = Request::post("/v1/messages");
    let body =
        r#"{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}"#;
    let request = request.body(ScriptBody::chunks([body])).unwrap();
    let response = anthropic.caller(Caller::Anthropic).oneshot(request).await;
    let (_, told) = json(response.unwrap().map(|body| body.map_err(Into::into))).await;
    assert_eq!(told["error"]["type"], "not_found_error", "{told}");
    assert_eq!(told["type"], "error");
}

#[tokio::test]
async fn whatever_is_no_chat_is_others_untouched() {
    let (chats, chat_handle) = Probe::<_, BoxError>::new(echo("chats"));
    let other = chats.clone();
    let router = ModelRouter::new().model("*", chats).other(other);
    let body = ScriptBody::chunks(["no json"]);

    let response = router
        .oneshot(Request::post("/v1/embeddings").body(body).unwrap())
        .await;

    let (_, told) = json(response.unwrap().map(|body| body.map_err(Into::into))).await;
    assert_eq!(told["body"], "no json");
    assert_eq!(chat_handle.calls(), 1);
}

#[tokio::test]
async fn a_service_is_made_ready_once_it_is_chosen_and_dropping_lets_all_go() {
    let (probe, handle) = Probe::<_, BoxError>::new(|_: Sent| pending::<Outcome>());
    handle.block();
    let mut router = ModelRouter::new().model("*", probe);
    let request = chat("m");
    let dropped = request.body().dropped();
    let call = router.ready().await.unwrap().call(request);
    let mut call = tokio_test::task::spawn(call);
    tokio_test::assert_pending!(call.poll());
    assert_eq!(handle.calls(), 0);

    handle.unblock();
    assert!(call.is_woken());
    tokio_test::assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.in_flight()), (1, 1));
    drop((call, router));

    assert_eq!((handle.in_flight(), handle.instances()), (0, 0));
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_error_passes_and_an_answer_of_ours_gets_the_form_of_a_chats() {
    let refused =
        service_fn(|_: Sent| async { Err::<Response<Full<Bytes>>, BoxError>("refused".into()) });
    let error = ModelRouter::new()
        .model("*", refused)
        .oneshot(chat("m"))
        .await;
    assert_eq!(error.err().unwrap().to_string(), "refused");

    let gate = service_fn(|request: Sent| async move {
        let answer =
            Answer::new(ErrorKind::DestinationUnavailable).retry_after(Duration::from_secs(7));
        Ok::<_, BoxError>(answer.into_response::<Full<Bytes>>(&Audience::of(&request)))
    });
    let response = ModelRouter::new()
        .model("*", gate)
        .oneshot(chat("m"))
        .await
        .unwrap();

    assert_eq!(
        response.headers()["proxy-status"],
        "portcullis;error=destination_unavailable"
    );
    let response = response
        .map(|body: portcullis_llm_mapping::ResponseBody<AnswerBody<_>>| body.map_err(Into::into));
    let (status, told) = json(response).await;
    assert_eq!(status, 503);
    assert_eq!(told["error"]["code"], "destination_unavailable", "{told}");
    assert_eq!(told["error"]["type"], "server_error");
}

#[tokio::test]
async fn the_model_of_a_layer_goes_before_that_of_a_router_and_of_the_request() {
    for (provider, set, expected) in [
        ("anthropic", None, "routed"),
        ("anthropic", Some("set"), "set"),
        ("openai", None, "routed"),
        ("openai", Some("set"), "set"),
    ] {
        let mut layer = LlmMappingLayer::shared(providers::by_name(provider).unwrap()).unwrap();
        if let Some(model) = set {
            layer = layer.model(model);
        }
        let seen = Arc::new(Mutex::new(Value::Null));
        let tap = Arc::clone(&seen);
        let client = service_fn(
            move |request: Request<RequestBody<RequestBody<ScriptBody>>>| {
                let tap = Arc::clone(&tap);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    *tap.lock().unwrap() = serde_json::from_slice(&body)?;
                    Ok::<_, BoxError>(
                        Response::builder()
                            .status(418)
                            .body(Full::<Bytes>::default())?,
                    )
                }
            },
        );
        let router = ModelRouter::new().prefix("p", layer.layer(client));

        let response = router.oneshot(chat("p/routed")).await.unwrap();

        assert_eq!(response.status(), 418);
        assert_eq!(
            seen.lock().unwrap()["model"],
            expected,
            "{provider} {set:?}"
        );
    }
}
