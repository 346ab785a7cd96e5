use std::fmt;

use bytes::{Bytes, BytesMut};

/// What a [`Mapping`](crate::Mapping) made of a document: the same bytes, or slices of them between new pieces.
///
/// See [`Mapping::apply`](crate::Mapping::apply) for an example.
#[must_use = "the document itself is not changed"]
#[derive(Clone, Debug)]
pub struct Mapped {
    chunks: Chunks,
    is_changed: bool,
}

#[derive(Clone, Debug)]
enum Chunks {
    One(Bytes),
    Many(Vec<Bytes>),
}

/// The chunks of a body, taken one by one.
#[derive(Default)]
pub(crate) enum ChunkQueue {
    #[default]
    Empty,
    One(Bytes),
    Many(std::vec::IntoIter<Bytes>),
}

// === impl Mapped ===

impl Mapped {
    pub(crate) const fn unchanged(bytes: Bytes) -> Self {
        Self {
            chunks: Chunks::One(bytes),
            is_changed: false,
        }
    }

    pub(crate) const fn one(bytes: Bytes) -> Self {
        Self {
            chunks: Chunks::One(bytes),
            is_changed: true,
        }
    }

    pub(crate) const fn many(chunks: Vec<Bytes>) -> Self {
        Self {
            chunks: Chunks::Many(chunks),
            is_changed: true,
        }
    }

    /// Returns whether the bytes are others than those that came in.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Returns how many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks().map(Bytes::len).sum()
    }

    /// Returns whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks().all(Bytes::is_empty)
    }

    /// Returns the bytes in order, as slices of the input and pieces between them. None is copied.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        match &self.chunks {
            Chunks::One(bytes) => std::slice::from_ref(bytes).iter(),
            Chunks::Many(chunks) => chunks.iter(),
        }
    }

    /// Returns the bytes in one piece; this copies them if there are several.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let length = self.len();
        match self.chunks {
            Chunks::One(bytes) => bytes,
            Chunks::Many(chunks) => {
                let mut whole = BytesMut::with_capacity(length);
                for chunk in &chunks {
                    whole.extend_from_slice(chunk);
                }
                whole.freeze()
            }
        }
    }

    pub(crate) fn into_queue(self) -> ChunkQueue {
        match self.chunks {
            Chunks::One(bytes) => ChunkQueue::One(bytes),
            Chunks::Many(chunks) => ChunkQueue::Many(chunks.into_iter()),
        }
    }
}

// === impl ChunkQueue ===

impl ChunkQueue {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(chunks) => chunks.as_slice().iter().map(Bytes::len).sum(),
        }
    }

    /// The next chunk that has bytes.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        match self {
            Self::Empty => None,
            Self::One(_) => match std::mem::take(self) {
                Self::One(bytes) if !bytes.is_empty() => Some(bytes),
                _ => None,
            },
            Self::Many(chunks) => chunks.find(|chunk| !chunk.is_empty()),
        }
    }
}

impl fmt::Debug for ChunkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: there may be secrets in them.
        write!(f, "ChunkQueue({})", self.len())
    }
}
