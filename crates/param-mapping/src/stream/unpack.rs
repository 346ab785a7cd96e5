//! Between the inner body and the parser: what takes the codings off.

use std::error::Error;

use bytes::Bytes;

use super::parser::EventParser;
#[cfg(feature = "codings")]
use crate::coding::Decoder;

/// Passes chunks on to a parser, decoded where there is a decoder.
#[derive(Debug, Default)]
pub(crate) struct Unpack {
    /// And whether no chunk follows.
    #[cfg(feature = "codings")]
    decoder: Option<(Decoder, bool)>,
}

// === impl Unpack ===

impl Unpack {
    #[cfg(feature = "codings")]
    pub(crate) const fn new(decoder: Decoder) -> Self {
        Self {
            decoder: Some((decoder, false)),
        }
    }

    pub(crate) fn push(&mut self, chunk: Bytes, parser: &mut EventParser) {
        #[cfg(feature = "codings")]
        if let Some((decoder, _)) = &mut self.decoder {
            decoder.push(chunk);
            return;
        }
        parser.push(chunk);
    }

    pub(crate) fn finish(&mut self, parser: &mut EventParser) {
        #[cfg(feature = "codings")]
        if let Some((decoder, is_finished)) = &mut self.decoder {
            *is_finished = true;
            decoder.finish();
            return;
        }
        parser.finish();
    }

    /// Gives the parser the next chunk that is decoded, or says that none follows. Returns whether it did either.
    #[cfg(feature = "codings")]
    pub(crate) fn unpack(&mut self, parser: &mut EventParser) -> Result<bool, Box<dyn Error>> {
        let Some((decoder, is_finished)) = &mut self.decoder else {
            return Ok(false);
        };
        if let Some(chunk) = decoder.next_chunk()? {
            parser.push(chunk);
            return Ok(true);
        }
        let is_finished = *is_finished;
        if is_finished {
            self.decoder = None;
            parser.finish();
        }
        Ok(is_finished)
    }

    /// There is no coding to take off.
    #[cfg(not(feature = "codings"))]
    pub(crate) fn unpack(&mut self, _: &mut EventParser) -> Result<bool, Box<dyn Error>> {
        Ok(false)
    }
}
