//! What a check tells of the brackets that it passes.

/// Is told where objects and arrays begin, and behind which byte they end.
pub(crate) trait Tape {
    fn open(&mut self, at: usize);
    fn close(&mut self, end: usize);
}

/// The objects and arrays of a text in the order in which they begin, so that nobody must look for their ends again.
#[derive(Debug, Default)]
pub struct Jumps {
    list: Vec<Jump>,
    /// Those that are open.
    open: Vec<usize>,
}

/// One object or array.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    /// How many bytes it has, with its brackets; while it is open, where it begins.
    pub len: usize,
    /// How many objects and arrays are in it.
    pub inner: usize,
}

// === impl Tape ===

impl Tape for () {
    fn open(&mut self, _: usize) {}

    fn close(&mut self, _: usize) {}
}

// === impl Jumps ===

impl Jumps {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            list: Vec::with_capacity(32),
            open: Vec::with_capacity(16),
        }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Jump] {
        &self.list
    }
}

impl Tape for Jumps {
    fn open(&mut self, at: usize) {
        self.open.push(self.list.len());
        self.list.push(Jump { len: at, inner: 0 });
    }

    fn close(&mut self, end: usize) {
        let count = self.list.len();
        if let Some(index) = self.open.pop()
            && let Some(jump) = self.list.get_mut(index)
        {
            jump.len = end - jump.len;
            jump.inner = count - index - 1;
        }
    }
}
