use bytes::{Bytes, BytesMut};

use super::Codings;
use super::error::CodingError;
use super::stage::{Pulled, Stage};

/// How much a body may decode to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    max_bytes: usize,
    max_ratio: u32,
}

/// Decodes a body chunk by chunk.
///
/// It keeps what was pushed and not decoded yet, and for each coding its window (32 KiB for gzip and deflate, at most 16 MiB for br, at
/// most 8 MiB for zstd). What it gives comes in chunks of at most 16 KiB, so a bomb meets a limit before it takes memory.
#[derive(Debug)]
pub struct Decoder {
    /// The coding that was applied last comes first.
    stages: Vec<Stage>,
    limits: DecodeLimits,
    written: usize,
    error: Option<CodingError>,
}

/// How many times its own size a body may decode to unless another limit is set.
///
/// Text compresses to a tenth, repetitive JSON to a fiftieth; a bomb to a thousandth.
pub const DEFAULT_MAX_RATIO: u32 = 200;

// === impl DecodeLimits ===

impl DecodeLimits {
    /// At most this many decoded bytes, and [`DEFAULT_MAX_RATIO`].
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            max_ratio: DEFAULT_MAX_RATIO,
        }
    }

    /// For a body that is not kept but passed on: as long as it likes, within [`DEFAULT_MAX_RATIO`].
    #[must_use]
    pub const fn streaming() -> Self {
        Self::new(usize::MAX)
    }

    /// Replaces how many times its own size a body, or what one of its codings decodes to, may have. The first 64 KiB are free.
    #[must_use]
    pub const fn max_ratio(mut self, max_ratio: u32) -> Self {
        self.max_ratio = max_ratio;
        self
    }
}

// === impl Decoder ===

impl Decoder {
    /// A decoder at the beginning of a body.
    #[must_use]
    pub fn new(codings: &Codings, limits: DecodeLimits) -> Self {
        let stage = |coding: &_| Stage::new(*coding, limits.max_ratio);
        Self {
            stages: codings.applied.iter().rev().map(stage).collect(),
            limits,
            written: 0,
            error: None,
        }
    }

    /// Takes the next chunk. Call [`next_chunk`](Self::next_chunk) until it has no more before, or what is left is copied.
    ///
    /// Without a coding there is nothing to decode, and it takes nothing.
    pub fn push(&mut self, chunk: Bytes) {
        if let Some(first) = self.stages.first_mut() {
            first.push(chunk);
        }
    }

    /// Says that no chunk follows.
    pub fn finish(&mut self) {
        if let Some(first) = self.stages.first_mut() {
            first.finish();
        }
    }

    /// Gives the next decoded chunk; `None` until there is another chunk, and at the end.
    ///
    /// # Errors
    /// Where the data is broken, is cut off, goes on after its end, or is more than the limits allow. The error stays.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, CodingError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let pulled = self.pull();
        if let Err(error) = &pulled {
            self.error = Some(error.clone());
            self.stages.clear();
        }
        pulled
    }

    fn pull(&mut self) -> Result<Option<Bytes>, CodingError> {
        let Pulled::Data(data) = pull(&mut self.stages)? else {
            return Ok(None);
        };
        self.written = self.written.saturating_add(data.len());
        if self.written > self.limits.max_bytes {
            return Err(CodingError::too_large(self.limits.max_bytes));
        }
        Ok(Some(data))
    }
}

/// Decodes a whole body. Without a coding, it is the body itself.
///
/// # Errors
/// Where the data is broken, is cut off, goes on after its end, or is more than the limits allow.
///
/// ```
/// # use bytes::Bytes;
/// # use portcullis_param_mapping::{Coding, DecodeLimits, decode};
/// // `{}` as a gzip member with one stored block
/// let body = Bytes::from_static(&[
///     31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 1, 2, 0, 253, 255, 123, 125, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0,
/// ]);
/// let limits = DecodeLimits::new(1024);
/// assert_eq!(decode(&Coding::Gzip.into(), body.clone(), limits)?, "{}");
///
/// let error = decode(&Coding::Gzip.into(), body.slice(..20), limits).unwrap_err();
/// assert_eq!(error.to_string(), "the gzip body breaks off");
/// # Ok::<_, portcullis_param_mapping::CodingError>(())
/// ```
pub fn decode(codings: &Codings, body: Bytes, limits: DecodeLimits) -> Result<Bytes, CodingError> {
    if codings.is_identity() {
        if body.len() > limits.max_bytes {
            return Err(CodingError::too_large(limits.max_bytes));
        }
        return Ok(body);
    }
    let mut decoder = Decoder::new(codings, limits);
    decoder.push(body);
    decoder.finish();
    let Some(first) = decoder.next_chunk()? else {
        return Ok(Bytes::new());
    };
    let mut decoded = BytesMut::new();
    let mut next = Some(first);
    while let Some(chunk) = next {
        decoded.extend_from_slice(&chunk);
        next = decoder.next_chunk()?;
    }
    Ok(decoded.freeze())
}

/// Pulls a chunk out of the last of these stages, which takes what it needs from those before it.
fn pull(stages: &mut [Stage]) -> Result<Pulled, CodingError> {
    let Some((stage, before)) = stages.split_last_mut() else {
        return Ok(Pulled::End);
    };
    loop {
        match stage.pull()? {
            Pulled::Pending if stage.wants_input() && !before.is_empty() => match pull(before)? {
                Pulled::Data(data) => stage.push(data),
                Pulled::Pending => return Ok(Pulled::Pending),
                Pulled::End => stage.finish(),
            },
            pulled => return Ok(pulled),
        }
    }
}
