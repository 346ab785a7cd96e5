//! The server's own paths, below `/__faulty/`: nothing goes wrong there, and the ledger does not see them.

use http::request::Parts;
use http::{Method, StatusCode};

use crate::answer::Answer;
use crate::script::Script;
use crate::server::State;

pub(crate) fn is_admin(head: &Parts) -> bool {
    head.uri.path().starts_with(ROOT)
}

/// Answers a request for one of the paths.
pub(crate) fn answer(state: &State, head: &Parts, body: &[u8]) -> Answer {
    let path = head.uri.path().strip_prefix(ROOT).unwrap_or_default();
    let name = |name: &str| {
        percent_encoding::percent_decode_str(name)
            .decode_utf8_lossy()
            .into_owned()
    };
    let found = |entry: Option<crate::Entry>| match entry {
        Some(entry) => Answer::json(StatusCode::OK, &entry.to_json()),
        None => Answer::problem(StatusCode::NOT_FOUND, "nothing was seen under this name"),
    };
    match (&head.method, path) {
        (&Method::GET | &Method::HEAD, "health") => Answer::text(StatusCode::OK, "ok\n"),
        (&Method::GET, "ledger") => Answer::json(StatusCode::OK, &state.ledger.to_json()),
        (&Method::GET, path) => {
            if let Some(id) = path.strip_prefix("ledger/tests/") {
                found(state.ledger.test(&name(id)))
            } else if let Some(key) = path.strip_prefix("ledger/keys/") {
                found(state.ledger.key(&name(key)))
            } else {
                Answer::problem(StatusCode::NOT_FOUND, "no such path")
            }
        }
        (&Method::PUT, path) => {
            let Some(id) = path.strip_prefix("scripts/") else {
                return Answer::problem(StatusCode::NOT_FOUND, "no such path");
            };
            match std::str::from_utf8(body)
                .map_err(|_| "is not UTF-8".to_owned())
                .and_then(|text| {
                    text.parse::<Script>()
                        .map_err(|mistake| mistake.to_string())
                }) {
                Ok(script) => {
                    state.script(&name(id), script);
                    Answer::text(StatusCode::OK, "ok\n")
                }
                Err(mistake) => Answer::problem(StatusCode::BAD_REQUEST, &mistake),
            }
        }
        _ => Answer::problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
    }
}

const ROOT: &str = "/__faulty/";
