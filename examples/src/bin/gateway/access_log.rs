//! One line per exchange, with every attempt on it, as nginx's list variables and Envoy's upstream log have it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use portcullis::AnsweredBy;
use portcullis::gateway_error::{Failure, RetryOutcome};
use tokio::time::Instant;

/// Logs an exchange when its answer has a head.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // Without the query, which may hold keys.
    let path = request.uri().path().to_owned();

    let response = next.run(request).await;

    let extensions = response.extensions();
    tracing::info!(
        http.request.method = method.as_str(),
        url.path = path,
        http.response.status_code = response.status().as_u16(),
        duration_ms = started.elapsed().as_secs_f64() * 1e3,
        attempts = extensions
            .get::<RetryOutcome>()
            .map(tracing::field::display),
        target = extensions.get().map(AnsweredBy::name),
        error.r#type = extensions.get::<Failure>().map(Failure::error_type),
        "exchange",
    );
    response
}
