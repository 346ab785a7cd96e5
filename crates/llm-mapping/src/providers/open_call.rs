use crate::Chunks;
use crate::json::Text;

/// The call of a tool that a stream is about, where the arguments come in pieces and one call ends before the next begins.
#[derive(Debug, Default)]
pub(super) struct OpenCall(Option<Open>);

#[derive(Debug)]
struct Open {
    /// Its number among the calls; none where its arguments are the text.
    number: Option<u64>,
    has_arguments: bool,
}

// === impl OpenCall ===

impl OpenCall {
    pub(super) fn begin(&mut self, id: Option<Text<'_>>, name: Text<'_>, chunks: &mut Chunks) {
        self.0 = Some(Open {
            number: Some(chunks.begin_call(0, id, name)),
            has_arguments: false,
        });
    }

    /// Begins a call that the caller is not told of: its arguments are the text of the reply.
    pub(super) const fn begin_text(&mut self) {
        self.0 = Some(Open {
            number: None,
            has_arguments: false,
        });
    }

    pub(super) fn arguments(&mut self, piece: Text<'_>, chunks: &mut Chunks) {
        if let Some(call) = &mut self.0 {
            call.has_arguments |= !piece.is_empty();
            call.tell(piece, chunks);
        }
    }

    /// Ends it, if there is one. Where no arguments came they are an empty object.
    pub(super) fn end(&mut self, chunks: &mut Chunks) {
        if let Some(call) = self.0.take()
            && !call.has_arguments
        {
            call.tell(Text::of_escaped("{}"), chunks);
        }
    }
}

// === impl Open ===

impl Open {
    fn tell(&self, piece: Text<'_>, chunks: &mut Chunks) {
        match self.number {
            Some(number) => chunks.arguments(0, number, piece),
            None => chunks.text(0, piece),
        }
    }
}
