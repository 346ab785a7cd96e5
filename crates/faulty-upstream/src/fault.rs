mod code;
mod grammar;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use http::StatusCode;

pub use grammar::BadFault;
pub(crate) use grammar::parse_list;

/// One way to misbehave, for one request or for several.
///
/// [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display) are the
/// text form, as in the header `x-fault`. See the [crate docs](crate) for the
/// grammar and for examples.
#[must_use = "a fault does nothing until a plan or a script holds it"]
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What happens on the wire.
    kind: FaultKind,
    /// How many requests get it; none: see `Fault::times`.
    times: Option<NonZeroU32>,
    /// The share of the requests that get it, 0 to 1.
    ratio: f64,
    /// What is read and done before it happens.
    when: When,
    /// Waits this long before the first byte of the answer.
    delay: Duration,
    /// How long the work takes, if it is done.
    work: Duration,
}

/// What a [`Fault`] does on the wire.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Answers as if nothing was wrong. Text: `ok`.
    Ok,
    /// Answers this status instead of doing the work. Text: `status=503;retry-after=2`.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// A `Retry-After` field for it.
        retry_after: Option<RetryAfter>,
    },
    /// Stops sending for a while, then goes on. Text: `stall=2s`, `stall=2s;after=10`.
    Stall {
        /// How long.
        wait: Duration,
        /// After this many bytes of the answer's body; none: before the head.
        after: Option<u64>,
    },
    /// Sends the body of the answer in small pieces. Text: `trickle=10ms;piece=1`.
    Trickle {
        /// The wait between two pieces.
        gap: Duration,
        /// Bytes in each piece.
        piece: NonZeroUsize,
    },
    /// Resets the connection (a TCP RST). Text: `reset`, `reset=head`, `reset=body;after=10`.
    Reset(Place),
    /// Closes the connection (a TCP FIN) too early. Text: `close`, `close=head`, `close=body;after=10`.
    Close(Place),
    /// Sends bytes that are not HTTP, then closes. Text: `garbage`.
    Garbage,
    /// Announces a longer chunk than it sends, then closes; HTTP/1.1 only. Text: `truncated-chunk`.
    TruncatedChunk,
    /// Is wrong by this much about `content-length`. Text: `wrong-length=5`, `wrong-length=-5`.
    ///
    /// Where it says more than there is, the connection closes after the body.
    WrongLength(i32),
    /// Answers well and closes the connection without having said so. Text: `unsaid-close`.
    UnsaidClose,
    /// Sends interim answers before the answer. Text: `interim=103;count=2`.
    Interim {
        /// Which.
        status: Interim,
        /// How many.
        count: NonZeroU32,
    },
    /// Answers well, with a head of at least this many bytes. Text: `large-head=100000`.
    ///
    /// No head is larger than 4 MiB.
    LargeHead(u32),
    /// Sends GOAWAY; HTTP/2 only. Text: `goaway`, `goaway=INTERNAL_ERROR;last=this`.
    GoAway {
        /// The error code.
        code: u32,
        /// Which stream it names as the last one that was seen.
        last: LastStream,
    },
    /// Sends RST_STREAM; HTTP/2 only. Text: `rst-stream=REFUSED_STREAM`, `rst-stream=CANCEL;after=0`.
    RstStream {
        /// The error code.
        code: u32,
        /// After this many bytes of the answer's body; none: before the head.
        after: Option<u64>,
    },
    /// Answers a gRPC status. Text: `grpc-status=14;message=try%20later;pushback=100ms;in=trailers`.
    Grpc {
        /// The status code.
        code: u32,
        /// The message, before percent-encoding.
        message: String,
        /// A `grpc-retry-pushback-ms` field for it.
        pushback: Option<Pushback>,
        /// Where the status stands.
        place: GrpcPlace,
    },
}

/// Where a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Before the first byte of the answer.
    BeforeHead,
    /// After half of the bytes of the head.
    InHead,
    /// After this many bytes of the body, but before its last one.
    InBody(u64),
}

/// The forms of `Retry-After` (RFC 9110, section 10.2.3), each in seconds from now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAfter {
    /// A number of seconds. Text: `retry-after=2`.
    Seconds(u32),
    /// `Sun, 06 Nov 1994 08:49:37 GMT`. Text: `retry-after=imf-fixdate+2`.
    ImfFixdate(u32),
    /// `Sunday, 06-Nov-94 08:49:37 GMT`. Text: `retry-after=rfc850+2`.
    Rfc850(u32),
    /// `Sun Nov  6 08:49:37 1994`. Text: `retry-after=asctime+2`.
    Asctime(u32),
}

/// An interim answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interim {
    /// 100 Continue.
    Continue,
    /// 102 Processing.
    Processing,
    /// 103 Early Hints, with a `link` field.
    EarlyHints,
}

/// The stream that a GOAWAY frame names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastStream {
    /// The one before this request: it was not processed and may be sent again.
    Previous,
    /// This request: with `NO_ERROR` it is still answered, with another code it is not.
    This,
}

/// The forms of `grpc-retry-pushback-ms` (gRFC A6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushback {
    /// Retry after this long. Text: `pushback=100ms`.
    After(Duration),
    /// Do not retry: a negative number. Text: `pushback=stop`.
    Stop,
}

/// Where a gRPC status stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrpcPlace {
    /// In the headers of an answer without a body ("trailers-only"). Text: `in=headers`.
    Headers,
    /// In the trailers, after the messages. Text: `in=trailers`.
    Trailers,
}

/// What is read and done before a fault happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum When {
    /// The body of the request was read.
    Read,
    /// This many bytes of the body were read, or all that there are.
    Early(u64),
    /// The work was done.
    Processed,
}

// === impl Fault ===

impl Fault {
    /// Makes a fault of this kind.
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            times: None,
            ratio: 1.0,
            when: When::Read,
            delay: Duration::ZERO,
            work: Duration::ZERO,
        }
    }

    /// Makes a step of a script at which nothing goes wrong.
    pub const fn ok() -> Self {
        Self::new(FaultKind::Ok)
    }

    /// Makes a fault that answers this status instead of doing the work.
    pub const fn status(status: StatusCode) -> Self {
        Self::new(FaultKind::Status {
            status,
            retry_after: None,
        })
    }

    /// Makes a fault that answers this status with a `Retry-After` field.
    pub const fn status_retry_after(status: StatusCode, retry_after: RetryAfter) -> Self {
        Self::new(FaultKind::Status {
            status,
            retry_after: Some(retry_after),
        })
    }

    /// Makes a fault that does the work and waits before the head of the answer.
    pub const fn stall(wait: Duration) -> Self {
        Self::new(FaultKind::Stall { wait, after: None })
    }

    /// Makes a fault that resets the connection at this place.
    pub const fn reset(place: Place) -> Self {
        Self::new(FaultKind::Reset(place))
    }

    /// Makes a fault that closes the connection at this place.
    pub const fn close(place: Place) -> Self {
        Self::new(FaultKind::Close(place))
    }

    /// Replaces how many requests get this fault.
    ///
    /// Default: each request if it is the last of its script, one if others follow.
    pub const fn times(mut self, times: NonZeroU32) -> Self {
        self.times = Some(times);
        self
    }

    /// Replaces the share of the requests that get this fault, drawn from the seed of the plan.
    ///
    /// What is not in 0 to 1 is moved there, and not-a-number is 0. Default: 1.
    /// A request that the draw spares is answered plainly and does not count for
    /// [`times`](Self::times).
    pub const fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = if ratio >= 0.0 { ratio.min(1.0) } else { 0.0 };
        self
    }

    /// Lets the fault happen when this many bytes of the request's body were
    /// read, while the rest is still being sent.
    ///
    /// Without effect on a fault that sends a part of the plain answer, because
    /// that needs the whole request. Default: the whole body is read.
    pub const fn early(mut self, bytes: u64) -> Self {
        self.when = When::Early(bytes);
        self
    }

    /// Lets the fault happen after the work was done and its answer was stored.
    ///
    /// Default: a fault that sends nothing of the plain answer happens instead
    /// of the work; one that sends a part of it always happens afterwards.
    pub const fn processed(mut self) -> Self {
        self.when = When::Processed;
        self
    }

    /// Replaces the wait before the first byte of what is sent. Default: none.
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Replaces how long the work takes. Default: no time.
    ///
    /// Until it is over, the idempotency key is "still being processed". Once
    /// begun, the work ends even when the client is gone.
    pub const fn work(mut self, work: Duration) -> Self {
        self.work = work;
        self
    }

    /// Returns what happens on the wire.
    #[must_use]
    pub const fn kind(&self) -> &FaultKind {
        &self.kind
    }

    /// Whether the work is done before it happens.
    #[must_use]
    pub const fn is_processed(&self) -> bool {
        self.kind.shows_answer() || matches!(self.when, When::Processed)
    }

    pub(crate) const fn limit(&self) -> Option<NonZeroU32> {
        self.times
    }

    pub(crate) const fn share(&self) -> f64 {
        self.ratio
    }

    /// How many bytes of the request's body to read; none: all.
    pub(crate) const fn reads(&self) -> Option<u64> {
        match self.when {
            When::Early(bytes) if !self.kind.shows_answer() => Some(bytes),
            When::Early(_) | When::Read | When::Processed => None,
        }
    }

    pub(crate) const fn wait_before(&self) -> Duration {
        self.delay
    }

    pub(crate) const fn work_time(&self) -> Duration {
        self.work
    }
}

// === impl FaultKind ===

impl FaultKind {
    /// Whether a part of the plain answer is sent, so that the work must be done before.
    pub(crate) const fn shows_answer(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::Reset(Place::BeforeHead)
            | Self::Close(Place::BeforeHead)
            | Self::Garbage
            | Self::GoAway {
                last: LastStream::Previous,
                ..
            }
            | Self::RstStream { after: None, .. }
            | Self::Grpc {
                place: GrpcPlace::Headers,
                ..
            } => false,
            Self::Ok
            | Self::Stall { .. }
            | Self::Trickle { .. }
            | Self::Reset(_)
            | Self::Close(_)
            | Self::TruncatedChunk
            | Self::WrongLength(_)
            | Self::UnsaidClose
            | Self::Interim { .. }
            | Self::LargeHead(_)
            | Self::GoAway { .. }
            | Self::RstStream { .. }
            | Self::Grpc { .. } => true,
        }
    }
}
