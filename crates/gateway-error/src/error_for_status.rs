use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

mod error;
mod future;

pub use self::error::{StatusError, StatusOr};
pub use self::future::ErrorForStatusFuture;

/// Turns answers of 4xx and 5xx into errors, as `raise_for_status` does in Python.
///
/// It is the one layer of this project that changes the error type, and it belongs at the caller's edge, outside of all others: what stands outside of it
/// sees no answer to retry or to judge health by. Every other answer passes untouched.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use portcullis_gateway_error::{ErrorForStatusLayer, StatusOr};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let client = service_fn(async |_: Request<()>| {
///     let mut response = Response::new("no such order".to_owned());
///     *response.status_mut() = StatusCode::NOT_FOUND;
///     Ok::<_, std::convert::Infallible>(response)
/// });
///
/// let result = ErrorForStatusLayer::new().layer(client).oneshot(Request::new(())).await;
///
/// let Err(StatusOr::Status(error)) = result else { unreachable!() };
/// assert_eq!(error.status(), StatusCode::NOT_FOUND);
/// assert_eq!(error.body(), "no such order");
/// assert_eq!(error.to_string(), "the upstream answered 404 Not Found");
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone, Copy, Debug)]
pub struct ErrorForStatusLayer {
    body_limit: usize,
    is_error: fn(StatusCode) -> bool,
}

/// The service that [`ErrorForStatusLayer`] makes.
///
/// See [`ErrorForStatusLayer`] for an example.
#[derive(Clone, Debug)]
pub struct ErrorForStatus<S> {
    inner: S,
    settings: ErrorForStatusLayer,
}

// === impl ErrorForStatusLayer ===

impl ErrorForStatusLayer {
    /// A layer that makes an error of every 4xx and 5xx and keeps the first 4 KiB of its body.
    pub const fn new() -> Self {
        Self {
            body_limit: 4096,
            is_error: |status| status.is_client_error() || status.is_server_error(),
        }
    }

    /// Replaces how many bytes of the body an error keeps. Default: 4096.
    ///
    /// When they are there, the rest of the body is dropped, and on HTTP/1.1 its connection with it; 0 reads nothing.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Replaces which statuses are errors. Default: 400 to 599.
    pub const fn is_error(mut self, is_error: fn(StatusCode) -> bool) -> Self {
        self.is_error = is_error;
        self
    }
}

impl Default for ErrorForStatusLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ErrorForStatusLayer {
    type Service = ErrorForStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorForStatus {
            inner,
            settings: *self,
        }
    }
}

// === impl ErrorForStatus ===

impl<S> ErrorForStatus<S> {
    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the rest.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ErrorForStatus<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Response = Response<ResBody>;
    type Error = StatusOr<S::Error>;
    type Future = ErrorForStatusFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(StatusOr::Inner)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let ErrorForStatusLayer {
            body_limit,
            is_error,
        } = self.settings;
        ErrorForStatusFuture::new(self.inner.call(request), body_limit, is_error)
    }
}
