use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::AnsweredBy;

fn chats(config: Value) -> Result<Chats, InvalidConfig> {
    serde_json::from_value::<ChatsConfig>(config)
        .unwrap()
        .try_into()
}

fn three() -> Value {
    json!({
        "openai": {"base_url": "http://openai"},
        "anthropic": {"base_url": "http://anthropic"},
        "near": {"provider": "mistral", "base_url": "http://near", "model": "small"},
    })
}

/// Who answers a chat with this model where these hosts are down, and what is it asked for.
async fn asked(
    chats: &Chats,
    model: &str,
    down: &'static [&str],
) -> (u16, Vec<String>, Option<String>) {
    let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&log);
    let client = service_fn(move |request: Request<Bytes>| {
        let host = request.uri().host().unwrap().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let model = body["model"].as_str().unwrap();
        seen.lock().unwrap().push(format!("{host} {model}"));
        let status = if down.contains(&&*host) { 503 } else { 418 };
        let response = Response::builder().status(status);
        async move { Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap()) }
    });
    let router = chats.router(|_, layer| {
        let client = client.clone();
        BoxCloneSyncService::new(layer.layer(service_fn(move |request: Request<_>| {
            let client = client.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = BodyExt::collect(body).await.map_err(drop);
                let body = body.unwrap().to_bytes();
                client.oneshot(Request::from_parts(parts, body)).await
            }
        })))
    });
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/v1/chat/completions").body(Full::from(body.to_string()));
    let response = router.oneshot(request.unwrap()).await.unwrap();
    let by = response.extensions().get::<AnsweredBy>();
    let by = by.map(|answered| answered.name().to_owned());
    let log = log.lock().unwrap().clone();
    (response.status().as_u16(), log, by)
}

#[tokio::test]
async fn a_model_chooses_a_provider_and_those_after_it() {
    let chats = chats(json!({"providers": three(), "routes": [
        {"model": "*", "targets": ["near"]},
        {"model": "openai/o*", "targets": ["openai", "anthropic/claude"]},
    ]}))
    .unwrap();
    for (model, down, status, went, by) in [
        (
            "openai/gpt-4o",
            &[][..],
            418,
            &["openai gpt-4o"][..],
            "openai",
        ),
        (
            "openai/gpt-4o",
            &["openai"],
            503,
            &["openai gpt-4o"],
            "openai",
        ),
        (
            "openai/o1",
            &["openai"],
            418,
            &["openai o1", "anthropic claude"],
            "anthropic/claude",
        ),
        ("anthropic/a/b", &[], 418, &["anthropic a/b"], "anthropic"),
        ("near/x", &[], 418, &["near small"], "near"),
        ("whatever", &[], 418, &["near small"], "near"),
        ("unknown/x", &[], 418, &["near small"], "near"),
    ] {
        let (found, log, name) = asked(&chats, model, down).await;

        assert_eq!(
            (found, &*log, name.as_deref()),
            (
                status,
                &went.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()[..],
                Some(by)
            ),
            "{model}"
        );
    }
}

#[tokio::test]
async fn without_routes_only_prefixes_are_known_and_one_provider_gets_all() {
    let prefixes = chats(json!({"providers": three()})).unwrap();
    assert_eq!(asked(&prefixes, "gpt-4o", &[]).await.0, 404);

    let mut provider = portcullis_llm_mapping::Config::default();
    provider.provider = "anthropic".to_owned();
    provider.base_url = Some("http://one".to_owned());
    let one = Chats::try_from(ChatsConfig::one(provider)).unwrap();
    assert_eq!(asked(&one, "claude", &[]).await.1, ["one claude"]);
    assert_eq!(asked(&one, "anthropic/claude", &[]).await.1, ["one claude"]);
}

#[test]
fn data_and_code_say_the_same() {
    let layer = || FallbackLayer::new("a", ());
    let config = json!({"on": ["timeouts", 402, "500-503"], "max_replay_bytes": 9});
    let config: FallbackConfig = serde_json::from_value(config).unwrap();

    let data = config.apply(layer()).unwrap();

    let statuses = StatusCodes::from([402]).and(500..=503);
    let code = layer()
        .on(FallbackOn::nothing().timeouts(true).statuses(statuses))
        .max_replay_bytes(9);
    assert_eq!(format!("{data:?}"), format!("{code:?}"));
    let default = FallbackConfig {
        on: Some(
            ["failures", "timeouts", "429", "500-599"]
                .map(str::to_owned)
                .into(),
        ),
        ..FallbackConfig::default()
    };
    let default = default.apply(layer()).unwrap();
    assert_eq!(format!("{default:?}"), format!("{:?}", layer()));
}

#[test]
fn every_mistake_has_the_path_of_its_field() {
    let with = |routes: Value| json!({"providers": three(), "routes": routes});
    for (config, expected) in [
        (
            json!({}),
            "providers: must hold at least one, and holds none",
        ),
        (
            json!({"max_request_bytes": 0}),
            "max_request_bytes: must be at least 1, is 0",
        ),
        (
            json!({"providers": {"openai": {}}}),
            "providers.openai.base_url: is missing",
        ),
        (
            json!({"providers": {"mine": {"base_url": "http://a"}}}),
            "providers.mine.provider: `mine` is not a provider",
        ),
        (
            json!({"providers": {"a/b": {"base_url": "http://a"}}}),
            "providers.a/b: the name of a provider must not be empty",
        ),
        (
            json!({"providers": {"openai": {"base_url": "http://a", "api_key": {"env": "PORTCULLIS_NOT_SET"}}}}),
            "providers.openai.api_key: the environment variable `PORTCULLIS_NOT_SET` is not set",
        ),
        (
            with(json!([{"model": "", "targets": ["openai"]}])),
            "routes[0].model: must not be empty",
        ),
        (
            with(json!([{"model": "*", "targets": []}])),
            "routes[0].targets: must hold at least one",
        ),
        (
            with(json!([{"model": "*", "targets": ["openai", "mistral/x"]}])),
            "routes[0].targets[1]: `mistral` is not one of the providers",
        ),
        (
            with(json!([{"model": "*", "targets": ["openai/"]}])),
            "routes[0].targets[0]: must have a model behind its `/`",
        ),
        (
            with(json!([{"model": "*", "targets": ["openai"], "fallback": {"on": [429, "5xx"]}}])),
            "routes[0].fallback.on[1]: `5xx` is no status",
        ),
    ] {
        let mistake = chats(config.clone()).unwrap_err().to_string();

        assert!(mistake.starts_with(expected), "{config}: {mistake}");
    }
}
