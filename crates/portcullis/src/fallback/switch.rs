use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_gateway_error::{AttemptLog, RetryOutcome};
use portcullis_retry_on_gateway_error::Attempt;
use tower_service::Service;

/// Which target an answer came from, in its extensions.
#[derive(Clone, Debug, PartialEq)]
pub struct AnsweredBy {
    name: Arc<str>,
    number: NonZeroU32,
    attempts: Option<RetryOutcome>,
}

/// The [`Attempt`] of a layer further out, kept from that of this layer.
#[derive(Clone, Debug)]
pub(crate) struct Outer(pub(crate) Attempt);

/// All targets as one service: the first call of an instance goes to the first, the second to the second.
///
/// Whoever makes the attempts calls one instance for all those of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Switch<S> {
    /// The target that was called last, or will be called next.
    current: S,
    /// The place of `current`.
    at: usize,
    /// The place of the target that is to be called.
    next: usize,
    targets: Arc<Targets<S>>,
}

#[derive(Debug)]
struct Targets<S> {
    names: Vec<Arc<str>>,
    /// Those after the first. Cloned when it is their turn.
    rest: Vec<S>,
}

pin_project! {
    /// The call of one target.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct TargetFuture<F> {
        #[pin]
        inner: F,
        // None once it is ready.
        name: Option<Arc<str>>,
        number: NonZeroU32,
    }
}

// === impl AnsweredBy ===

impl AnsweredBy {
    /// Returns the name of the target.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the place of the target, from 1.
    #[must_use]
    pub const fn number(&self) -> NonZeroU32 {
        self.number
    }

    /// Returns the attempts of the target, where a retry layer inside has left them.
    #[must_use]
    pub const fn attempts(&self) -> Option<&RetryOutcome> {
        self.attempts.as_ref()
    }
}

// === impl Switch ===

impl<S> Switch<S> {
    pub(crate) fn new((name, first): (Arc<str>, S), rest: Vec<(Arc<str>, S)>) -> Self {
        let (mut names, mut services) = (vec![name], Vec::with_capacity(rest.len()));
        for (name, service) in rest {
            names.push(name);
            services.push(service);
        }
        Self {
            current: first,
            at: 0,
            next: 0,
            targets: Arc::new(Targets {
                names,
                rest: services,
            }),
        }
    }
}

impl<S, B, ResBody> Service<Request<B>> for Switch<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TargetFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.at != self.next {
            // Behind the last there is none, and no attempt either.
            let place = self.next.checked_sub(1);
            if let Some(target) = place.and_then(|place| self.targets.rest.get(place)) {
                self.current = target.clone();
            }
            self.at = self.next;
        }
        let ready = ready!(self.current.poll_ready(cx));
        if ready.is_err() && self.next > 0 {
            // It was its turn, and that was it.
            self.next += 1;
        }
        Poll::Ready(ready)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let name = self.targets.names.get(self.at).cloned().unwrap_or_default();
        self.next = self.at + 1;
        let extensions = request.extensions_mut();
        if let Some(attempt) = extensions.remove::<Attempt>() {
            attempt.mark_tried(Arc::clone(&name));
        }
        if let Some(Outer(attempt)) = extensions.remove() {
            extensions.insert::<Attempt>(attempt);
        }
        // It is for the records of all targets. What a target has to say is in its answer.
        extensions.remove::<AttemptLog>();
        let number = u32::try_from(self.next).unwrap_or(u32::MAX);
        TargetFuture {
            inner: self.current.call(request),
            name: Some(name),
            number: NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX),
        }
    }
}

// === impl TargetFuture ===

impl<F, B, E> Future for TargetFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(name)) = (&mut result, this.name.take()) {
            let attempts = response.extensions().get::<RetryOutcome>().cloned();
            response.extensions_mut().insert(AnsweredBy {
                name,
                number: *this.number,
                attempts,
            });
        }
        Poll::Ready(result)
    }
}
