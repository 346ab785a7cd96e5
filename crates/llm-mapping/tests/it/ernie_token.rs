//! The access token of ERNIE's first API: one fetch for all, in time, and never shown.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_llm_mapping::providers::{Ernie, ErnieToken, ErnieTokenLayer};
use portcullis_llm_mapping::{ApiKey, LlmMapping, LlmMappingLayer, RequestBody};
use portcullis_test_support::{BoxError, Log, Probe, ScriptBody, Step};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt};

const MONTH: u64 = 2_592_000;
const CHAT: &str = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions";

/// The server of tokens and of chats, as far as it is told what to say.
#[derive(Clone)]
struct Server {
    state: Arc<Mutex<State>>,
    /// Each answer with a token takes one.
    gate: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    /// What was asked for, in order.
    uris: Vec<String>,
    bodies: Vec<Bytes>,
    fetches: usize,
    /// What comes instead of a token.
    failures: VecDeque<Result<(u16, Value), &'static str>>,
    /// Tokens that are invalid, and the number that says so.
    invalid: BTreeSet<String>,
    code: u64,
    is_stream: bool,
    type_of_errors: Option<&'static str>,
}

// === impl Server ===

impl Server {
    fn new() -> Self {
        Self {
            state: Arc::default(),
            gate: Arc::new(Semaphore::new(1000)),
        }
    }

    async fn answer(
        self,
        request: Request<RequestBody<Full<Bytes>>>,
    ) -> Result<Response<ScriptBody>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let is_token = parts.uri.path().ends_with("/oauth/2.0/token");
        let (number, failure) = {
            let mut state = self.state.lock().unwrap();
            state.uris.push(parts.uri.to_string());
            if is_token {
                state.fetches += 1;
            } else {
                state.bodies.push(body);
            }
            let failure = if is_token {
                state.failures.pop_front()
            } else {
                None
            };
            (state.fetches, failure)
        };
        if is_token {
            self.gate.acquire().await?.forget();
            let token = json!({"access_token": format!("24.token-{number}"), "expires_in": MONTH});
            let (status, body) = failure.unwrap_or(Ok((200, token)))?;
            return Ok(said(status, "application/json", &body.to_string()));
        }
        let state = self.state.lock().unwrap();
        let query = parts.uri.query().unwrap_or_default();
        let token = query.strip_prefix("access_token=").unwrap_or_default();
        if state.invalid.contains(token) {
            let error = json!({"error_code": state.code, "error_msg": format!("bad {token}")});
            return Ok(match state.type_of_errors {
                None => said(200, "application/json; charset=utf-8", &error.to_string()),
                Some(other) => said(200, other, &format!("data: {error}\n\n")),
            });
        }
        let reply = json!({"id": "as-1", "result": "a", "is_end": true});
        Ok(if state.is_stream {
            said(200, "text/event-stream", &format!("data: {reply}\n\n"))
        } else {
            said(200, "application/json", &reply.to_string())
        })
    }

    fn fetches(&self) -> usize {
        self.state.lock().unwrap().fetches
    }

    fn uris(&self) -> Vec<String> {
        self.state.lock().unwrap().uris.clone()
    }

    fn refuse(&self, token: &str, code: u64) {
        let mut state = self.state.lock().unwrap();
        state.invalid.insert(token.to_owned());
        state.code = code;
    }

    fn fail(&self, failure: Result<(u16, Value), &'static str>) {
        self.state.lock().unwrap().failures.push_back(failure);
    }

    /// A chat through the layer, each time a service of its own.
    fn chat(
        &self,
        layer: &ErnieTokenLayer,
        is_stream: bool,
    ) -> impl Future<Output = (StatusCode, String)> + use<> {
        let service = service(layer, self.clone());
        async move {
            let body = json!({"model": "ERNIE-Bot", "messages": [{"role": "user", "content": "Hi"}], "stream": is_stream});
            let request = Request::post("/v1/chat/completions").body(Full::from(body.to_string()));
            let response = service.oneshot(request.unwrap()).await;
            match response {
                Ok(response) => {
                    let status = response.status();
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    (status, String::from_utf8(body.to_vec()).unwrap())
                }
                Err(error) => (StatusCode::IM_A_TEAPOT, error.to_string()),
            }
        }
    }
}

fn said(status: u16, content_type: &str, body: &str) -> Response<ScriptBody> {
    let (one, two) = body.split_at(body.len() / 2);
    let [one, two] = [one, two].map(|part| Bytes::copy_from_slice(part.as_bytes()));
    let body = ScriptBody::new([Step::Data(one), Step::Pending, Step::Data(two)]);
    let response = Response::builder().status(status);
    response
        .header("content-type", content_type)
        .body(body)
        .unwrap()
}

type Inner =
    tower::util::BoxCloneService<Request<RequestBody<Full<Bytes>>>, Response<ScriptBody>, BoxError>;

fn service(layer: &ErnieTokenLayer, server: Server) -> LlmMapping<ErnieToken<Inner>> {
    // The probe panics where an instance is called that was not made ready.
    let (probe, _) = Probe::new(move |request| server.clone().answer(request));
    let mapping = LlmMappingLayer::new(Ernie::new()).unwrap();
    let mapping = mapping.base_url("https://aip.baidubce.com").unwrap();
    mapping.layer(layer.layer(Inner::new(probe)))
}

fn layer() -> ErnieTokenLayer {
    let [access, secret] = ["the-ak", "the/sk"].map(|key| ApiKey::new(key).unwrap());
    ErnieTokenLayer::new(access, secret)
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_shortly_before_it_expires() {
    let (layer, server) = (layer(), Server::new());

    for (advance, fetches) in [(0, 1), (MONTH - 61, 1), (1, 2), (MONTH - 61, 2), (1, 3)] {
        tokio::time::advance(Duration::from_secs(advance)).await;
        let (status, _) = server.chat(&layer, false).await;
        assert_eq!(status, 200);
        assert_eq!(server.fetches(), fetches, "{advance} s later");
    }

    let uris = server.uris();
    assert_eq!(
        uris[0],
        "https://aip.baidubce.com/oauth/2.0/token?grant_type=client_credentials&client_id=the-ak&client_secret=the%2Fsk"
    );
    assert_eq!(
        uris[1],
        format!("https://aip.baidubce.com{CHAT}?access_token=24.token-1")
    );
    assert_eq!(
        uris[4],
        format!("https://aip.baidubce.com{CHAT}?access_token=24.token-2")
    );
}

#[tokio::test(start_paused = true)]
async fn many_chats_share_one_fetch() {
    let (layer, server) = (layer(), Server::new());
    server.gate.forget_permits(1000);
    let chats: Vec<_> = (0..50)
        .map(|_| tokio::spawn(server.chat(&layer, false)))
        .collect();
    tokio::task::yield_now().await;

    server.gate.add_permits(1);

    for chat in chats {
        assert_eq!(chat.await.unwrap().0, 200);
    }
    assert_eq!(server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_one_that_asks_is_dropped_another_one_asks() {
    let (layer, server) = (layer(), Server::new());
    server.gate.forget_permits(1000);
    let mut first = task::spawn(server.chat(&layer, false));
    let mut others: Vec<_> = (0..3)
        .map(|_| task::spawn(server.chat(&layer, false)))
        .collect();
    assert_pending!(first.poll());
    others
        .iter_mut()
        .for_each(|other| assert_pending!(other.poll()));
    assert_eq!(server.fetches(), 1);

    drop(first);

    assert!(
        others.iter().all(task::Spawn::is_woken),
        "nobody takes over"
    );
    others
        .iter_mut()
        .for_each(|other| assert_pending!(other.poll()));
    assert_eq!(server.fetches(), 2, "one of the others asks");
    server.gate.add_permits(1);
    for other in others {
        assert_eq!(other.await.0, 200);
    }
    assert_eq!(server.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_one_that_waits_is_dropped_the_others_do_not_notice() {
    let (layer, server) = (layer(), Server::new());
    server.gate.forget_permits(1000);
    let [mut first, mut second, mut third] =
        [(); 3].map(|()| task::spawn(server.chat(&layer, false)));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());

    drop(second);
    server.gate.add_permits(1);

    assert_eq!(first.await.0, 200);
    assert_eq!(third.await.0, 200);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_short_lived_to_be_kept_serves_those_that_wait() {
    let (layer, server) = (layer(), Server::new());
    let layer = layer.renew_before(Duration::from_secs(MONTH));
    server.gate.forget_permits(1000);
    let mut chats: Vec<_> = (0..3)
        .map(|_| task::spawn(server.chat(&layer, false)))
        .collect();
    chats
        .iter_mut()
        .for_each(|chat| assert_pending!(chat.poll()));

    server.gate.add_permits(1000);

    for chat in chats {
        assert_eq!(chat.await.0, 200);
    }
    assert_eq!(server.fetches(), 1);
    server.chat(&layer, false).await;
    assert_eq!(server.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_renewed_once_and_the_same_chat_sent_again() {
    for (code, is_stream, type_of_errors) in [
        (110, false, None),
        (111, false, None),
        (110, true, None),
        (111, true, Some("text/event-stream")),
    ] {
        let (layer, server) = (layer(), Server::new());
        server.state.lock().unwrap().is_stream = is_stream;
        server.state.lock().unwrap().type_of_errors = type_of_errors;
        server.chat(&layer, is_stream).await;
        server.refuse("24.token-1", code);

        let (status, body) = server.chat(&layer, is_stream).await;

        assert_eq!(status, 200, "{code}: {body}");
        assert!(body.contains("as-1"), "{code}: {body}");
        assert_eq!(server.fetches(), 2, "{code}");
        let bodies = server.state.lock().unwrap().bodies.clone();
        assert_eq!(bodies.len(), 3, "{code}");
        assert_eq!(bodies[1], bodies[2], "{code}: the same once more");
        assert!(!bodies[2].is_empty(), "{code}");
        server.chat(&layer, is_stream).await;
        assert_eq!(server.fetches(), 2, "{code}: the new one is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_again_is_an_error_that_does_not_show_it() {
    let (layer, server) = (layer(), Server::new());
    server.refuse("24.token-1", 110);
    server.refuse("24.token-2", 110);

    let (status, body) = server.chat(&layer, false).await;

    assert_eq!(status, 401);
    let body: Value = serde_json::from_str(&body).unwrap();
    let error = json!({"message": "bad [redacted]", "type": "authentication_error", "param": null, "code": "110"});
    assert_eq!(body["error"], error);
    assert_eq!(server.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_errors_do_not_renew_the_token() {
    let (layer, server) = (layer(), Server::new());
    server.refuse("24.token-1", 18);

    let (status, _) = server.chat(&layer, false).await;

    assert_eq!(status, 429);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn why_there_is_no_token_is_told_to_all_that_wait() {
    let (layer, server) = (layer(), Server::new());
    server.gate.forget_permits(1000);
    server.fail(Ok((
        401,
        json!({"error": "invalid_client", "error_description": "unknown the-ak with the/sk"}),
    )));
    let mut chats: Vec<_> = (0..3)
        .map(|_| task::spawn(server.chat(&layer, false)))
        .collect();
    chats
        .iter_mut()
        .for_each(|chat| assert_pending!(chat.poll()));

    server.gate.add_permits(1000);

    for chat in chats {
        let (status, body) = chat.await;
        assert_eq!(status, 401);
        let body: Value = serde_json::from_str(&body).unwrap();
        let message = "unknown [redacted] with [redacted]";
        let error = json!({"message": message, "type": "authentication_error", "param": null, "code": "invalid_client"});
        assert_eq!(body["error"], error);
    }
    assert_eq!(server.fetches(), 1);
    assert_eq!(
        server.chat(&layer, false).await.0,
        200,
        "the next one asks again"
    );
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_token_are_errors() {
    for (status, body, expected) in [
        (200, json!({}), 502),
        (200, json!({"access_token": ""}), 502),
        (200, json!({"error_code": 18, "error_msg": "qps"}), 429),
        (500, json!("down"), 500),
        (302, json!({}), 502),
    ] {
        let (layer, server) = (layer(), Server::new());
        server.fail(Ok((status, body.clone())));

        let (status, text) = server.chat(&layer, false).await;

        assert_eq!(status, expected, "{body}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_stays_what_it_was_for_the_one_that_asked() {
    let (layer, server) = (layer(), Server::new());
    server.gate.forget_permits(1000);
    server.fail(Err("reset"));
    let [mut first, mut second] = [(); 2].map(|()| task::spawn(server.chat(&layer, false)));
    assert_pending!(first.poll());
    assert_pending!(second.poll());

    server.gate.add_permits(1000);

    assert_eq!(first.await, (StatusCode::IM_A_TEAPOT, "reset".to_owned()));
    let (status, body) = second.await;
    assert_eq!(status, 502);
    assert!(
        body.contains("the server of access tokens could not be asked"),
        "{body}"
    );
    assert_eq!(server.chat(&layer, false).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn tokens_can_be_asked_for_elsewhere() {
    let (layer, server) = (layer(), Server::new());
    let layer = layer.token_url("http://tokens.internal/baidu/").unwrap();

    server.chat(&layer, false).await;

    let uris = server.uris();
    assert!(
        uris[0].starts_with("http://tokens.internal/baidu/oauth/2.0/token?"),
        "{uris:?}"
    );
    for (url, mistake) in [
        ("ftp://x", "token_url"),
        ("/x", "token_url"),
        ("http://a@b/", "password"),
    ] {
        let error = layer.clone().token_url(url).unwrap_err().to_string();
        assert!(error.contains(mistake), "{url}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_chat_passes_without_a_token() {
    let (layer, server) = (layer(), Server::new());
    let request = Request::get("/v1/models").body(Full::default()).unwrap();

    let response = service(&layer, server.clone())
        .oneshot(request)
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(server.uris(), ["/v1/models"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_shown_holds_a_key_or_a_token() {
    let (layer, server) = (layer(), Server::new());
    let log = Log::get();
    let span = log.span("keeps_secrets");
    let mut service = service(&layer, server.clone());
    let request = Request::post("/v1/chat/completions");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let request = request.body(Full::from(body)).unwrap();
    server.refuse("24.token-1", 110);
    server.fail(Ok((200, json!({"access_token": "24.token-1"}))));

    let mut shown = format!("{layer:?} {:?}", layer.layer(()));
    let future = service.ready().await.unwrap().call(request);
    shown += &format!("{future:?}");
    let response = tracing::Instrument::instrument(future, span).await.unwrap();
    shown += &format!("{response:?}");

    shown += &log.lines("keeps_secrets").join("\n");
    assert!(shown.contains("access token fetched"), "{shown}");
    assert!(shown.contains("access token refused"), "{shown}");
    for secret in ["24.token", "the-ak", "the/sk", "the%2Fsk"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
