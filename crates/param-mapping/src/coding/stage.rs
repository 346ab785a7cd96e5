use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
#[cfg(feature = "zstd")]
use compression_codecs::ZstdDecoder;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
#[cfg(feature = "zstd")]
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder};

use super::Coding;
use super::error::CodingError;

/// One coding of a body, taken off chunk by chunk.
pub(crate) struct Stage {
    coding: Coding,
    /// `None` until the first byte: it tells the zlib format from bare deflate.
    codec: Option<Codec>,
    input: Bytes,
    /// Zeroed, and not written yet.
    room: BytesMut,
    /// No input follows.
    is_finished: bool,
    /// The codec has nothing more to give without input.
    is_flushed: bool,
    /// The codec has seen the end of its data.
    is_ended: bool,
    read: u64,
    written: u64,
    max_ratio: u32,
}

/// What a stage has to give.
#[derive(Debug)]
pub(crate) enum Pulled {
    Data(Bytes),
    /// Nothing until there is more input.
    Pending,
    End,
}

enum Codec {
    Brotli(BrotliDecoder),
    Deflate(DeflateDecoder),
    Gzip(GzipDecoder),
    Zlib(ZlibDecoder),
    #[cfg(feature = "zstd")]
    Zstd(ZstdDecoder),
}

/// A window of 2^23 bytes: the most that RFC 9659 lets a sender use.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG: u32 = 23;

/// What is decoded at once.
const CHUNK: usize = 16 * 1024;
/// Less room than this is not worth another call.
const MIN_ROOM: usize = 1024;
/// Below this, no ratio is a bomb.
const FREE: u64 = 64 * 1024;

// === impl Stage ===

impl Stage {
    pub(crate) fn new(coding: Coding, max_ratio: u32) -> Self {
        Self {
            coding,
            codec: None,
            input: Bytes::new(),
            room: BytesMut::new(),
            is_finished: false,
            is_flushed: true,
            is_ended: false,
            read: 0,
            written: 0,
            max_ratio,
        }
    }

    pub(crate) const fn wants_input(&self) -> bool {
        self.input.is_empty() && !self.is_finished
    }

    pub(crate) fn push(&mut self, input: Bytes) {
        if self.input.is_empty() {
            self.input = input;
        } else {
            let mut joined = BytesMut::from(&self.input[..]);
            joined.extend_from_slice(&input);
            self.input = joined.freeze();
        }
    }

    pub(crate) const fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(crate) fn pull(&mut self) -> Result<Pulled, CodingError> {
        loop {
            let Some(&first) = self.input.first() else {
                if !self.is_flushed {
                    let data = self.decode(Call::Flush)?;
                    self.is_flushed = data.is_empty();
                    if !data.is_empty() {
                        return Ok(Pulled::Data(data));
                    }
                }
                if !self.is_finished {
                    return Ok(Pulled::Pending);
                }
                // No byte at all is an empty body, not a broken one.
                if self.is_ended || self.read == 0 {
                    return Ok(Pulled::End);
                }
                let data = self.decode(Call::Finish)?;
                if data.is_empty() && !self.is_ended {
                    return Err(CodingError::cut_off(self.coding));
                }
                if !data.is_empty() {
                    return Ok(Pulled::Data(data));
                }
                continue;
            };
            if self.is_ended {
                self.begin_again()?;
            }
            if self.codec.is_none() {
                self.codec = Some(Codec::new(self.coding, first));
            }
            let data = self.decode(Call::Decode)?;
            if !data.is_empty() {
                return Ok(Pulled::Data(data));
            }
        }
    }

    /// Goes on with another member of a gzip body, or another frame of a zstd one.
    fn begin_again(&mut self) -> Result<(), CodingError> {
        let has_members = match self.coding {
            Coding::Gzip => true,
            Coding::Deflate | Coding::Brotli => false,
            #[cfg(feature = "zstd")]
            Coding::Zstd => true,
        };
        let (true, Some(codec)) = (has_members, &mut self.codec) else {
            return Err(CodingError::trailing(self.coding));
        };
        self.is_ended = false;
        codec
            .inner()
            .reinit()
            .map_err(|_| CodingError::broken(self.coding))
    }

    fn decode(&mut self, call: Call) -> Result<Bytes, CodingError> {
        let Some(codec) = &mut self.codec else {
            return Ok(Bytes::new());
        };
        if self.room.len() < MIN_ROOM {
            self.room = BytesMut::zeroed(CHUNK);
        }
        let mut input = PartialBuffer::new(&self.input[..]);
        let mut output = WriteBuffer::new_initialized(&mut self.room);
        let codec = codec.inner();
        let result = match call {
            Call::Decode => codec.decode(&mut input, &mut output),
            Call::Flush => codec.flush(&mut output).map(|_| false),
            Call::Finish => codec.finish(&mut output),
        };
        let (read, written) = (input.written_len(), output.written_len());
        self.is_ended |= match (result, call) {
            (Ok(is_ended), _) => is_ended,
            (Err(_), Call::Finish) => return Err(CodingError::cut_off(self.coding)),
            (Err(_), Call::Decode | Call::Flush) => {
                return Err(CodingError::broken(self.coding));
            }
        };
        // A codec that neither reads nor writes nor ends would be asked for ever.
        if call == Call::Decode && read == 0 && written == 0 && !self.is_ended {
            return Err(CodingError::broken(self.coding));
        }
        self.input.advance(read);
        self.is_flushed &= call != Call::Decode;
        self.count(read, written)?;
        Ok(self.room.split_to(written.min(self.room.len())).freeze())
    }

    fn count(&mut self, read: usize, written: usize) -> Result<(), CodingError> {
        let as_count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        self.read = self.read.saturating_add(as_count(read));
        self.written = self.written.saturating_add(as_count(written));
        let most = self.read.saturating_mul(self.max_ratio.into());
        if self.written > most.max(FREE) {
            return Err(CodingError::ratio(self.max_ratio));
        }
        Ok(())
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("coding", &self.coding)
            .field("read", &self.read)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Decode,
    Flush,
    Finish,
}

// === impl Codec ===

impl Codec {
    fn new(coding: Coding, first: u8) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(GzipDecoder::new()),
            Coding::Brotli => Self::Brotli(BrotliDecoder::new()),
            // RFC 1950, section 2.2: method 8 and a window of at most 32 KiB. Bare deflate data does not begin so.
            Coding::Deflate if first & 0x0f == 8 && first >> 4 <= 7 => {
                Self::Zlib(ZlibDecoder::new())
            }
            Coding::Deflate => Self::Deflate(DeflateDecoder::new()),
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                Self::Zstd(ZstdDecoder::new_with_params(&[window]))
            }
        }
    }

    fn inner(&mut self) -> &mut dyn DecodeV2 {
        match self {
            Self::Brotli(codec) => codec,
            Self::Deflate(codec) => codec,
            Self::Gzip(codec) => codec,
            Self::Zlib(codec) => codec,
            #[cfg(feature = "zstd")]
            Self::Zstd(codec) => codec,
        }
    }
}
