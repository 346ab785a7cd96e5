use std::future::poll_fn;
use std::pin::pin;

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http_body::Body;

/// What was read of an answer to a probe.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Whether it ended with an error.
    pub(crate) failed: bool,
}

/// Reads an answer, so that its connection can be used again, but not more than so many bytes; `keep` says whether somebody wants to see them.
pub(crate) async fn read<B: Body>(body: B, most: usize, keep: bool) -> Read {
    let mut read = Read::default();
    let mut body = pin!(body);
    let mut left = most;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else {
            read.failed = true;
            return read;
        };
        match frame.into_data() {
            Ok(data) => {
                let length = data.remaining();
                if keep {
                    read.bytes.put(data.take(left));
                }
                if length > left {
                    return read;
                }
                left -= length;
            }
            Err(frame) => read.trailers = frame.into_trailers().ok(),
        }
    }
    read
}
