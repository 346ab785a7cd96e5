//! Signatures, compared with those that botocore's `SigV4Auth` makes of the same requests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body_util::Full;
use portcullis_llm_mapping::{AwsCredentials, RequestBody, SigV4Layer};
use portcullis_test_support::{BoxError, Probe};
use serde_json::{Value, json};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use crate::exchange::layer;

type ChatBody = RequestBody<Full<Bytes>>;

fn credentials() -> AwsCredentials {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    AwsCredentials::new("AKIDEXAMPLE", secret).unwrap()
}

fn signing(credentials: AwsCredentials) -> SigV4Layer {
    SigV4Layer::new(credentials, "eu-west-1")
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

/// The head that a client is given by this provider's mapping, at this place, with signatures.
async fn signed(
    provider: &str,
    base: &str,
    signing: &SigV4Layer,
    request: Request<Full<Bytes>>,
) -> request::Parts {
    let seen = Arc::new(Mutex::new(None));
    let head = Arc::clone(&seen);
    let client = tower::service_fn(move |request: Request<ChatBody>| {
        *head.lock().unwrap() = Some(request.into_parts().0);
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("{}"))) }
    });
    let layer = layer(provider).base_url(base).unwrap();
    let service = layer.layer(signing.layer(client));
    service.oneshot(request).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

fn chat(request: &Value) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer caller-key")
        .header("user-agent", "somebody")
        .body(Full::from(request.to_string()))
        .unwrap()
}

fn hello(model: &str) -> Request<Full<Bytes>> {
    chat(&json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn signatures_are_those_that_botocore_makes() {
    let plain = "content-type;host;x-amz-content-sha256;x-amz-date";
    let with_token = "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    let hash = "53a5ea73282629b769d98221379112efb5cc8d8c6b0817c37c76e835b071126d";
    let real = "https://bedrock-runtime.eu-west-1.amazonaws.com";
    for (provider, base, model, token, headers, hash, signature) in [
        (
            "bedrock",
            real,
            "meta.llama2-13b-chat-v1",
            None,
            plain,
            hash,
            "795132288a73e242e71ff4acf6422d902ee1908681b3e5a9dea0aa31dccb3ce6",
        ),
        (
            // What is encoded in the path is encoded once more in what is signed.
            "bedrock-converse",
            real,
            "anthropic.claude-3-haiku-20240307-v1:0",
            Some("a/token+="),
            with_token,
            "45e583fed2564dc00e823303d7609f8587af7f685b993cb0f998afc0d480b01d",
            "d957e4d73f507743a03fb86f65d7eb08f6ef02c52b944793d1f7343fc6717bc7",
        ),
        (
            "bedrock",
            "http://localhost:8080",
            "arn:aws:x/y",
            None,
            plain,
            hash,
            "8897aa55cdabc3d467f5ab9e96fb7b8c0c04786c8f4162b490b6c723bbc01049",
        ),
    ] {
        let credentials = match token {
            Some(token) => credentials().session_token(token).unwrap(),
            None => credentials(),
        };

        let parts = signed(provider, base, &signing(credentials), hello(model)).await;

        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/eu-west-1/bedrock/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        );
        let told = &parts.headers;
        assert_eq!(header(told, "x-amz-content-sha256"), Some(hash), "{model}");
        assert_eq!(header(told, "x-amz-date"), Some("20231114T221320Z"));
        assert_eq!(header(told, "x-amz-security-token"), token, "{model}");
        assert_eq!(header(told, "authorization"), Some(&*expected), "{model}");
    }
}

#[tokio::test]
async fn what_is_signed_changes_with_everything_that_it_is_about() {
    let base = "https://bedrock.test";
    let authorization = async |base, layer: &SigV4Layer, request| {
        let parts = signed("bedrock", base, layer, request).await;
        parts.headers["authorization"].clone()
    };
    let layer = signing(credentials());
    let first = authorization(base, &layer, hello("m")).await;
    let hi = json!({"model": "m", "messages": [{"role": "user", "content": "Ho"}]});

    assert_eq!(first, authorization(base, &layer, hello("m")).await);
    assert_eq!(
        first,
        authorization("https://bedrock.test:443", &layer, hello("m")).await
    );
    for other in [
        authorization(base, &layer, hello("n")).await,
        authorization(base, &layer, chat(&hi)).await,
        authorization("https://bedrock.test:444", &layer, hello("m")).await,
        authorization(base, &layer.clone().service("other"), hello("m")).await,
        authorization(
            base,
            &layer.clone().clock(|| SystemTime::UNIX_EPOCH),
            hello("m"),
        )
        .await,
    ] {
        assert_ne!(first, other);
    }
}

#[tokio::test]
async fn a_body_that_is_not_known_is_not_signed_and_none_is() {
    let layer = signing(credentials());
    let passing = |body: &'static str| {
        Request::post("https://bedrock.test/other")
            .header("authorization", "Bearer caller-key")
            .body(Full::from(body))
            .unwrap()
    };

    let unknown = signed("bedrock", "https://bedrock.test", &layer, passing("x")).await;
    let empty = signed("bedrock", "https://bedrock.test", &layer, passing("")).await;

    let told = header(&unknown.headers, "authorization");
    assert_eq!(told, Some("Bearer caller-key"));
    assert_eq!(header(&unknown.headers, "x-amz-date"), None);
    let told = header(&empty.headers, "authorization").unwrap();
    assert!(
        told.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"),
        "{told}"
    );
}

#[tokio::test]
async fn credentials_are_asked_for_each_request() {
    let count = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&count);
    let layer = signing(credentials()).credentials(move || {
        let key = format!("KEY{}", asked.fetch_add(1, Ordering::Relaxed));
        AwsCredentials::new(key, "secret").unwrap()
    });
    for number in 0..2 {
        let parts = signed("bedrock", "https://bedrock.test", &layer, hello("m")).await;

        let told = header(&parts.headers, "authorization").unwrap();
        assert!(told.contains(&format!("Credential=KEY{number}/")), "{told}");
    }
}

#[test]
fn wrong_credentials_are_refused_and_none_are_shown() {
    for (mistake, message) in [
        (
            AwsCredentials::new(" ", "s").unwrap_err(),
            "access_key_id: is empty or cannot stand in a header",
        ),
        (
            AwsCredentials::new("k", "").unwrap_err(),
            "secret_access_key: is empty or cannot stand in a header",
        ),
        (
            credentials().session_token("a\nb").unwrap_err(),
            "session_token: is empty or cannot stand in a header",
        ),
    ] {
        assert_eq!(mistake.to_string(), message);
    }
    let shown = format!("{:?} {:?}", credentials(), signing(credentials()));
    assert!(
        !shown.contains("AKID") && !shown.contains("wJal"),
        "{shown}"
    );
}

#[test]
fn readiness_and_its_errors_are_those_of_the_client() {
    let (probe, client) = Probe::<_, BoxError>::new(|_: Request<ChatBody>| async {
        Ok::<_, BoxError>(Response::new(()))
    });
    client.block();
    let mut task = task::spawn(signing(credentials()).layer(probe));

    assert_pending!(task.enter(|cx, mut service| service.poll_ready(cx)));
    client.unblock();
    assert!(task.is_woken());
    assert_ready_ok!(task.enter(|cx, mut service| service.poll_ready(cx)));
    client.fail_readiness("gone");
    let poll = task.enter(|cx, mut service| service.poll_ready(cx));
    assert_eq!(assert_ready_err!(poll).to_string(), "gone");
}
