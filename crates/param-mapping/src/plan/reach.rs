//! Which parts of a message a step needs.

/// What a step is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reach {
    /// JSON, in the body.
    pub(crate) body: bool,
    /// A form, in the body.
    pub(crate) form: bool,
    pub(crate) var: bool,
    /// Something that is neither the body nor a header.
    pub(crate) other: bool,
    /// Its condition asks for what is known only once the body was read.
    pub(crate) late_in_when: bool,
    /// Its source is in the body.
    pub(crate) body_in_source: bool,
    pub(crate) form_in_source: bool,
}

// === impl Reach ===

impl Reach {
    /// Whether it is about the body.
    pub(crate) const fn is_in_body(self) -> bool {
        self.body || self.form
    }

    /// That of this and of what its condition asks for.
    pub(crate) const fn with_when(self, when: Self) -> Self {
        Self {
            body: self.body || when.body,
            form: self.form || when.form,
            var: self.var || when.var,
            other: self.other || when.other,
            late_in_when: when.is_in_body() || when.var,
            ..self
        }
    }
}
