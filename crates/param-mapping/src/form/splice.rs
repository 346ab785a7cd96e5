use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Puts an output together of parts of an input and small pieces. Parts that follow each other stay one.
#[derive(Debug)]
pub(crate) struct Splice<'a> {
    input: &'a Bytes,
    chunks: Vec<Bytes>,
    run: Range<usize>,
    small: BytesMut,
}

// === impl Splice ===

impl<'a> Splice<'a> {
    pub(crate) fn new(input: &'a Bytes) -> Self {
        Self {
            input,
            chunks: Vec::new(),
            run: 0..0,
            small: BytesMut::new(),
        }
    }

    pub(crate) fn keep(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.small.is_empty() && self.run.end == range.start {
            self.run.end = range.end;
            return;
        }
        self.settle();
        self.run = range;
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        self.settle();
        self.chunks
    }

    /// What was kept comes first, then what was put after it.
    fn settle(&mut self) {
        let run = std::mem::replace(&mut self.run, 0..0);
        if !run.is_empty() && run.end <= self.input.len() {
            self.chunks.push(self.input.slice(run));
        }
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }
}
