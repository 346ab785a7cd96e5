//! What is measured with: an upstream that answers at once, and calls of whatever stands before it.

use std::hint::black_box;
use std::io;
use std::iter;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use tower::Service;

/// Does it so many times, and says how long that took.
pub(crate) type Sample = Box<dyn FnMut() -> Duration>;

/// How often a sample does it.
pub(crate) const TURNS: usize = 200;

/// The inner service: answers at once.
#[derive(Clone, Copy)]
pub(crate) struct Upstream;

/// The future of [`Upstream`].
pub(crate) struct Answering;

// === impl Upstream ===

impl Service<Request<()>> for Upstream {
    type Response = Response<()>;
    type Error = io::Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        Answering
    }
}

// === impl Answering ===

impl Future for Answering {
    type Output = io::Result<Response<()>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(())))
    }
}

/// Calls a service so many times with such a request, and polls each call until it is ready.
pub(crate) fn calls<S>(mut service: S, request: impl Fn() -> Request<()> + 'static) -> Sample
where
    S: Service<Request<()>> + 'static,
{
    Box::new(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut requests: Vec<Request<()>> = Vec::new();
        allocation_counter::opt_out(|| {
            requests = iter::repeat_with(&request).take(TURNS).collect();
        });
        let started = Instant::now();
        for request in requests.drain(..) {
            assert!(service.poll_ready(&mut cx).is_ready());
            let mut call = pin!(service.call(request));
            let answer = loop {
                if let Poll::Ready(answer) = call.as_mut().poll(&mut cx) {
                    break answer;
                }
            };
            // In memory, as for a caller that looks at it.
            let _ = black_box(answer);
        }
        started.elapsed()
    })
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
