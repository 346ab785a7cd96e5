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

#[tokio::test]
async fn what_the_end_of_a_stream_cut_is_no_event() {
    let chunk = json!({"choices": [{"delta": {"content": "a"}}]}).to_string();
    let half = chunk.get(..9).unwrap();
    for (text, passes) in [
        ("dat".to_owned(), ""),
        ("data".to_owned(), ""),
        (format!("data: {half}"), ""),
        (format!("data: {half}\n"), ""),
        (format!("data: {chunk}\n"), &*chunk),
        (format!("data: {chunk}"), &*chunk),
    ] {
        let stream = Scripted::typed("text/event-stream", format!("data: 1\n\n{text}"));

        let told = exchange(&layer("openai"), &asked(), stream).await;

        let body = String::from_utf8_lossy(&told.body).into_owned();
        let rest = body.strip_prefix("data: 1\n\n").unwrap();
        let (event, error) = rest.split_once("data: {\"error\":").unwrap();
        let event = event.trim_start_matches("data: ").trim_end();
        assert_eq!(event, passes, "{text}");
        assert!(error.contains("incomplete_stream"), "{text}: {error}");
    }
    // The end is the end, whether or not a line follows.
    let stream = Scripted::typed("text/event-stream", "data: 1\n\ndata: [DONE]");
    let told = exchange(&layer("openai"), &asked(), stream).await;
    assert_eq!(told.body, "data: 1\n\ndata: [DONE]\n\n");
}
