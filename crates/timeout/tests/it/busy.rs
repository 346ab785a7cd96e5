//! Limits that hold although what is inside never lets its task rest.

use std::convert::Infallible;
use std::error::Error;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use portcullis_gateway_error::Classified;
use portcullis_timeout::{Deadline, Phase, TimeoutError, TimeoutLayer};
use tokio::task::{coop, yield_now};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// Always has a frame, until the task has used up what tokio lets it do in one poll.
struct Busy;

impl Body for Busy {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(pin!(coop::consume_budget()).poll(cx));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
    }
}

async fn never_rests() -> Outcome {
    loop {
        coop::consume_budget().await;
    }
}

/// What a task comes to once so much time has passed; `None` where it still runs.
async fn after<T: Send + 'static>(
    time: Duration,
    task: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let task = tokio::spawn(task);
    yield_now().await;
    advance(time).await;
    for _ in 0..20 {
        yield_now().await;
    }
    if !task.is_finished() {
        task.abort();
        return None;
    }
    Some(task.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_inner_future_that_never_rests_is_cut() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| never_rests()));
    let call = async move { service.oneshot(request()).await.unwrap().status().as_u16() };

    assert_eq!(after(ms(200), call).await, Some(504));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_always_has_a_frame_is_cut_by_the_total() {
    let service = TimeoutLayer::new(ms(100)).layer(service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Busy))
    }));
    let read = async move {
        let mut body = service.oneshot(request()).await.unwrap().into_body();
        while let Some(frame) = body.frame().await {
            if let Err(error) = frame {
                let source = error.downcast_ref::<Classified>().unwrap().source();
                let struck: &TimeoutError = source.unwrap().downcast_ref().unwrap();
                return Some(struck.phase());
            }
        }
        None
    };

    assert_eq!(after(ms(200), read).await, Some(Some(Phase::Total)));
}

#[tokio::test(start_paused = true)]
async fn what_a_deadline_runs_is_cut_although_it_never_rests() {
    let run = Deadline::after(ms(100)).run(never_rests());
    let phase = async move { run.await.map(|_| ()).unwrap_err().phase() };

    assert_eq!(after(ms(200), phase).await, Some(Phase::Total));
}
