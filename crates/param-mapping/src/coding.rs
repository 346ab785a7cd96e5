//! Bodies with a `content-encoding`: what they decode to, within limits.

mod body;
mod decoder;
mod error;
mod stage;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

pub use body::{DecodeError, DecodedBody};
pub use decoder::{DEFAULT_MAX_RATIO, DecodeLimits, Decoder, decode};
pub use error::CodingError;

/// A content coding, after [RFC 9110, section 8.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip` and `x-gzip`, RFC 1952, of any number of members.
    Gzip,
    /// `deflate`: the zlib format, RFC 1950, or bare deflate data, RFC 1951, which some servers send under this name.
    Deflate,
    /// `br`, RFC 7932.
    Brotli,
    /// `zstd`, RFC 8878, with a window of at most 8 MiB as RFC 9659 says.
    #[cfg(feature = "zstd")]
    Zstd,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    applied: Vec<Coding>,
}

/// More codings than this, one upon another, have no use but to hide a bomb.
const MAX_CODINGS: usize = 3;

// === impl Coding ===

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let is = |other| name.eq_ignore_ascii_case(other);
        if is("gzip") || is("x-gzip") {
            return Some(Self::Gzip);
        } else if is("deflate") {
            return Some(Self::Deflate);
        } else if is("br") {
            return Some(Self::Brotli);
        }
        #[cfg(feature = "zstd")]
        if is("zstd") {
            return Some(Self::Zstd);
        }
        None
    }
}

// === impl Codings ===

impl Codings {
    /// Reads all lines of `content-encoding`. None, and `identity`, are no coding.
    ///
    /// # Errors
    /// Where a coding is unknown, or there are more than three.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, CodingError> {
        let mut applied = Vec::new();
        for line in headers.get_all(CONTENT_ENCODING) {
            let line = line.to_str().map_err(|_| CodingError::unsupported())?;
            for name in line.split(',').map(str::trim) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                let coding = Coding::from_name(name).ok_or_else(CodingError::unsupported)?;
                if applied.len() == MAX_CODINGS {
                    return Err(CodingError::unsupported());
                }
                applied.push(coding);
            }
        }
        Ok(Self { applied })
    }

    /// Whether the body is as it is.
    #[must_use]
    pub const fn is_identity(&self) -> bool {
        self.applied.is_empty()
    }
}

impl From<Coding> for Codings {
    fn from(coding: Coding) -> Self {
        Self {
            applied: vec![coding],
        }
    }
}

impl FromIterator<Coding> for Codings {
    /// The codings in the order in which they were applied.
    fn from_iter<I: IntoIterator<Item = Coding>>(codings: I) -> Self {
        let applied = codings.into_iter().collect();
        Self { applied }
    }
}

#[cfg(test)]
mod tests;
