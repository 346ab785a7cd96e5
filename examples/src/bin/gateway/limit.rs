//! Refuses request bodies that are too large, before they are sent where that is known, and in the middle where it is not.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use portcullis::gateway_error::{
    Answer, AnswerBody, Audience, Classified, Delivery, ErrorKind, Failure,
};

/// Limits the bodies of requests to this many bytes.
pub(crate) async fn limit(State(limit): State<u64>, request: Request, next: Next) -> Response {
    if axum::body::HttpBody::size_hint(request.body()).lower() > limit {
        let audience = Audience::of(&request);
        let answer =
            Answer::from_failure(too_large()).detail(format!("a request may have {limit} bytes"));
        return answer
            .into_response::<AnswerBody<Body>>(&audience)
            .map(Body::new)
            .into_response();
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let request = request.map(|body| {
        Body::new(Limited::new(body, limit).map_err(|error| {
            if error.is::<LengthLimitError>() {
                Classified::new(too_large().delivered(Delivery::MaybeProcessed), error).into()
            } else {
                error
            }
        }))
    });
    next.run(request).await
}

const fn too_large() -> Failure {
    Failure::new(ErrorKind::HttpRequestError).answer_with(StatusCode::PAYLOAD_TOO_LARGE)
}
