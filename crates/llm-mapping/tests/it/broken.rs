//! Providers that fail in forms of their own.

use serde_json::{Value, json};

use crate::exchange::{Scripted, exchange, layer};

fn asked() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true})
}

#[tokio::test]
async fn an_error_in_a_stream_is_known_by_its_word_and_by_the_name_of_its_event() {
    let flat = json!({"object": "error", "message": "too long", "type": "BadRequestError", "param": null, "code": 400});
    let bare = json!({"message": "too long", "code": "400"});
    for (event, status) in [
        (format!("data: {flat}\n\n"), 400),
        (format!("event: error\ndata: {bare}\n\n"), 400),
        (
            "event: error\ndata: {\"message\": \"too long\"}\n\n".to_owned(),
            502,
        ),
    ] {
        for provider in ["openai", "mistral"] {
            // Whoever writes the end behind an error means the end of the connection.
            let text = format!("{event}data: [DONE]\n\n");
            let stream = Scripted::typed("text/event-stream", text);

            let told = exchange(&layer(provider), &asked(), stream).await;

            assert_eq!(told.status, status, "{provider}: {event}");
            assert_eq!(
                told.json()["error"]["message"],
                "too long",
                "{provider}: {event}"
            );
        }
    }
}

#[tokio::test]
async fn a_stream_of_several_choices_ends_when_each_of_them_has() {
    let finish = |index| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": "stop"}]})
        )
    };
    let begin = format!(
        "data: {}\n\n",
        json!({"choices": [{"index": 1, "delta": {"content": "a"}}]})
    );
    for (last, is_whole) in [(finish(0), false), (finish(0) + &finish(1), true)] {
        let stream = Scripted::typed("text/event-stream", begin.clone() + &last);

        let told = exchange(&layer("mistral"), &asked(), stream).await;

        let text = String::from_utf8_lossy(&told.body).into_owned();
        assert_eq!(text.ends_with("data: [DONE]\n\n"), is_whole, "{text}");
        assert_eq!(text.contains("incomplete_stream"), !is_whole, "{text}");
    }
}
