//! The text form of faults: `status=503;times=2, reset=body;after=10, ok`.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{
    Fault, FaultKind, GrpcPlace, Interim, LastStream, Place, Pushback, RetryAfter, When, code,
};

/// The text of a fault that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadFault {
    /// Where, in bytes from the start of the text.
    at: usize,
    /// The part of the text that is wrong.
    part: String,
    reason: &'static str,
}

/// The parameters of one fault; each is taken by who understands it.
struct Params<'a> {
    rest: Vec<Param<'a>>,
}

/// One `name` or `name=value`, and where it starts.
#[derive(Clone, Copy)]
struct Param<'a> {
    at: usize,
    text: &'a str,
    name: &'a str,
    value: Option<&'a str>,
}

// === impl BadFault ===

impl BadFault {
    /// Returns where the mistake is, in bytes from the start of the text.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for BadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, part, reason } = self;
        write!(f, "bad fault at byte {at}, {part:?}: {reason}")
    }
}

impl Error for BadFault {}

// === impl Fault ===

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        parse(text, 0)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if let Some(times) = self.times {
            write!(f, ";times={times}")?;
        }
        if self.ratio < 1.0 {
            write!(f, ";ratio={}", self.ratio)?;
        }
        match self.when {
            When::Read => {}
            When::Early(bytes) => write!(f, ";early={bytes}")?,
            When::Processed => f.write_str(";processed")?,
        }
        for (name, time) in [("delay", self.delay), ("work", self.work)] {
            if !time.is_zero() {
                write!(f, ";{name}={}", duration(time))?;
            }
        }
        Ok(())
    }
}

// === impl FaultKind ===

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Status {
                status,
                retry_after,
            } => {
                write!(f, "status={}", status.as_str())?;
                match retry_after {
                    None => Ok(()),
                    Some(RetryAfter::Seconds(seconds)) => write!(f, ";retry-after={seconds}"),
                    Some(RetryAfter::ImfFixdate(seconds)) => {
                        write!(f, ";retry-after=imf-fixdate+{seconds}")
                    }
                    Some(RetryAfter::Rfc850(seconds)) => {
                        write!(f, ";retry-after=rfc850+{seconds}")
                    }
                    Some(RetryAfter::Asctime(seconds)) => {
                        write!(f, ";retry-after=asctime+{seconds}")
                    }
                }
            }
            Self::Stall { wait, after } => {
                write!(f, "stall={}", duration(*wait))?;
                write_after(f, *after)
            }
            Self::Trickle { gap, piece } => {
                write!(f, "trickle={};piece={piece}", duration(*gap))
            }
            Self::Reset(place) => write_place(f, "reset", *place),
            Self::Close(place) => write_place(f, "close", *place),
            Self::Garbage => f.write_str("garbage"),
            Self::TruncatedChunk => f.write_str("truncated-chunk"),
            Self::WrongLength(by) => write!(f, "wrong-length={by}"),
            Self::UnsaidClose => f.write_str("unsaid-close"),
            Self::Interim { status, count } => {
                write!(f, "interim={};count={count}", status.status().as_str())
            }
            Self::LargeHead(bytes) => write!(f, "large-head={bytes}"),
            Self::GoAway { code, last } => {
                write!(f, "goaway={}", code::name(code::HTTP2, *code))?;
                match last {
                    LastStream::Previous => Ok(()),
                    LastStream::This => f.write_str(";last=this"),
                }
            }
            Self::RstStream { code, after } => {
                write!(f, "rst-stream={}", code::name(code::HTTP2, *code))?;
                write_after(f, *after)
            }
            Self::Grpc {
                code,
                message,
                pushback,
                place,
            } => {
                write!(f, "grpc-status={}", code::name(code::GRPC, *code))?;
                if !message.is_empty() {
                    write!(f, ";message={}", utf8_percent_encode(message, RESERVED))?;
                }
                match pushback {
                    None => {}
                    Some(Pushback::Stop) => f.write_str(";pushback=stop")?,
                    Some(Pushback::After(wait)) => write!(f, ";pushback={}", duration(*wait))?,
                }
                match place {
                    GrpcPlace::Headers => Ok(()),
                    GrpcPlace::Trailers => f.write_str(";in=trailers"),
                }
            }
        }
    }
}

// === impl Interim ===

impl Interim {
    /// Returns the status code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Continue => StatusCode::CONTINUE,
            Self::Processing => StatusCode::PROCESSING,
            Self::EarlyHints => StatusCode::EARLY_HINTS,
        }
    }
}

// === impl Params ===

impl<'a> Params<'a> {
    fn take(&mut self, name: &str) -> Option<Param<'a>> {
        let index = self.rest.iter().position(|param| param.name == name)?;
        Some(self.rest.remove(index))
    }

    /// The value of the parameter of this name, understood by `read`.
    fn get<T>(
        &mut self,
        name: &str,
        reason: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, BadFault> {
        self.take(name)
            .map(|param| param.read(reason, read))
            .transpose()
    }

    fn after(&mut self) -> Result<Option<u64>, BadFault> {
        self.get("after", A_NUMBER, |text| text.parse().ok())
    }

    fn place(&mut self, head: Param<'_>) -> Result<Place, BadFault> {
        let place = match head.value {
            None => Place::BeforeHead,
            Some(_) => head.read("wants head or body", |text| match text {
                "head" => Some(Place::InHead),
                "body" => Some(Place::InBody(1)),
                _ => None,
            })?,
        };
        match place {
            Place::InBody(default) => Ok(Place::InBody(self.after()?.unwrap_or(default))),
            Place::BeforeHead | Place::InHead => Ok(place),
        }
    }
}

// === impl Param ===

impl<'a> Param<'a> {
    fn new(at: usize, text: &'a str) -> Self {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (text, None),
        };
        Self {
            at,
            text,
            name,
            value,
        }
    }

    fn read<T>(
        self,
        reason: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, BadFault> {
        self.value
            .and_then(read)
            .ok_or_else(|| self.mistake(reason))
    }

    fn bare(self) -> Result<(), BadFault> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(self.mistake("takes no value")),
        }
    }

    fn mistake(self, reason: &'static str) -> BadFault {
        BadFault {
            at: self.at,
            part: self.text.to_owned(),
            reason,
        }
    }
}

/// Faults with commas or line ends between them; what is empty is passed over.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Fault>, BadFault> {
    let mut faults = Vec::new();
    for (at, part) in split(text, 0, &[',', '\n']) {
        if part.is_empty() {
            continue;
        }
        if faults.len() == LIST_LIMIT {
            return Err(Param::new(at, part).mistake("is one more than the limit of 1000 faults"));
        }
        faults.push(parse(part, at)?);
    }
    Ok(faults)
}

/// One fault, which starts at this byte of the whole text.
fn parse(text: &str, at: usize) -> Result<Fault, BadFault> {
    let mut parts = split(text, at, &[';']).map(|(at, part)| Param::new(at, part));
    // A split gives one part at least.
    let head = parts.next().unwrap_or(Param::new(at, text));
    let mut params = Params {
        rest: parts.collect(),
    };
    let mut fault = Fault::new(parse_kind(head, &mut params)?);

    fault.times = params.get("times", "wants a number from 1", |text| text.parse().ok())?;
    if let Some(ratio) = params.get("ratio", "wants a number from 0 to 1", |text| {
        text.parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
    })? {
        fault.ratio = ratio;
    }
    if let Some(early) = params.take("early") {
        if fault.kind.shows_answer() {
            return Err(early.mistake("does not fit: this fault needs the whole request"));
        }
        fault.when = When::Early(early.read(A_NUMBER, |text| text.parse().ok())?);
    }
    if let Some(processed) = params.take("processed") {
        processed.bare()?;
        if fault.when != When::Read {
            return Err(processed.mistake("does not fit with early"));
        }
        fault.when = When::Processed;
    }
    for (name, time) in [("delay", &mut fault.delay), ("work", &mut fault.work)] {
        if let Some(given) = params.get(name, A_DURATION, parse_duration)? {
            *time = given;
        }
    }
    match params.rest.first() {
        None => Ok(fault),
        Some(param) => Err(param.mistake("is unknown, said twice, or does not fit this fault")),
    }
}

fn parse_kind(head: Param<'_>, params: &mut Params<'_>) -> Result<FaultKind, BadFault> {
    let bare = |kind| head.bare().map(|()| kind);
    match head.name {
        "ok" => bare(FaultKind::Ok),
        "status" => Ok(FaultKind::Status {
            status: head.read("wants a status from 200 to 599", |text| {
                let status: u16 = text.parse().ok()?;
                (200..600)
                    .contains(&status)
                    .then(|| StatusCode::from_u16(status).ok())?
            })?,
            retry_after: params.get("retry-after", A_RETRY_AFTER, parse_retry_after)?,
        }),
        "stall" => Ok(FaultKind::Stall {
            wait: head.read(A_DURATION, parse_duration)?,
            after: params.after()?,
        }),
        "trickle" => Ok(FaultKind::Trickle {
            gap: head.read(A_DURATION, parse_duration)?,
            piece: params
                .get("piece", "wants a number from 1", |text| text.parse().ok())?
                .unwrap_or(NonZeroUsize::MIN),
        }),
        "reset" => params.place(head).map(FaultKind::Reset),
        "close" => params.place(head).map(FaultKind::Close),
        "garbage" => bare(FaultKind::Garbage),
        "truncated-chunk" => bare(FaultKind::TruncatedChunk),
        "wrong-length" => head
            .read("wants a number that is not 0, as 5 or -5", |text| {
                text.parse().ok().filter(|by| *by != 0)
            })
            .map(FaultKind::WrongLength),
        "unsaid-close" => bare(FaultKind::UnsaidClose),
        "interim" => Ok(FaultKind::Interim {
            status: head.read("wants 100, 102 or 103", |text| match text {
                "100" => Some(Interim::Continue),
                "102" => Some(Interim::Processing),
                "103" => Some(Interim::EarlyHints),
                _ => None,
            })?,
            count: params
                .get("count", "wants a number from 1 to 1000", |text| {
                    text.parse()
                        .ok()
                        .filter(|count: &NonZeroU32| count.get() <= 1000)
                })?
                .unwrap_or(NonZeroU32::MIN),
        }),
        "large-head" => match head.value {
            None => Ok(FaultKind::LargeHead(LARGE_HEAD)),
            Some(_) => head
                .read(A_NUMBER, |text| text.parse().ok())
                .map(FaultKind::LargeHead),
        },
        "goaway" => Ok(FaultKind::GoAway {
            code: match head.value {
                None => 0,
                Some(_) => head.read(AN_HTTP2_CODE, |text| code::parse(code::HTTP2, text))?,
            },
            last: params
                .get("last", "wants previous or this", |text| match text {
                    "previous" => Some(LastStream::Previous),
                    "this" => Some(LastStream::This),
                    _ => None,
                })?
                .unwrap_or(LastStream::Previous),
        }),
        "rst-stream" => Ok(FaultKind::RstStream {
            code: head.read(AN_HTTP2_CODE, |text| code::parse(code::HTTP2, text))?,
            after: params.after()?,
        }),
        "grpc-status" => Ok(FaultKind::Grpc {
            code: head.read("wants a gRPC status by name or number", |text| {
                code::parse(code::GRPC, text)
            })?,
            message: params
                .get("message", "wants percent-encoded UTF-8", |text| {
                    let text = percent_decode_str(text).decode_utf8().ok()?;
                    Some(text.into_owned())
                })?
                .unwrap_or_default(),
            pushback: params.get("pushback", "wants a duration or stop", |text| match text {
                "stop" => Some(Pushback::Stop),
                _ => parse_duration(text).map(Pushback::After),
            })?,
            place: params
                .get("in", "wants headers or trailers", |text| match text {
                    "headers" => Some(GrpcPlace::Headers),
                    "trailers" => Some(GrpcPlace::Trailers),
                    _ => None,
                })?
                .unwrap_or(GrpcPlace::Headers),
        }),
        _ => Err(head.mistake("is no fault that there is")),
    }
}

fn parse_retry_after(text: &str) -> Option<RetryAfter> {
    let (make, seconds): (fn(u32) -> RetryAfter, _) = match text.split_once('+') {
        None => (RetryAfter::Seconds, text),
        Some(("imf-fixdate", seconds)) => (RetryAfter::ImfFixdate, seconds),
        Some(("rfc850", seconds)) => (RetryAfter::Rfc850, seconds),
        Some(("asctime", seconds)) => (RetryAfter::Asctime, seconds),
        Some(_) => return None,
    };
    seconds.parse().ok().map(make)
}

fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// `1s500ms`: humantime's words without the blanks.
fn duration(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

fn write_after(f: &mut fmt::Formatter<'_>, after: Option<u64>) -> fmt::Result {
    match after {
        None => Ok(()),
        Some(after) => write!(f, ";after={after}"),
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, name: &str, place: Place) -> fmt::Result {
    match place {
        Place::BeforeHead => f.write_str(name),
        Place::InHead => write!(f, "{name}=head"),
        Place::InBody(after) => write!(f, "{name}=body;after={after}"),
    }
}

/// Trimmed parts, each with its first byte's place; `at` is the place of the text itself.
fn split<'a>(
    text: &'a str,
    mut at: usize,
    separators: &'static [char],
) -> impl Iterator<Item = (usize, &'a str)> {
    text.split(separators).map(move |part| {
        let start = at + (part.len() - part.trim_start().len());
        at += part.len() + 1; // each separator is one byte
        (start, part.trim())
    })
}

const LIST_LIMIT: usize = 1000;
/// Over the limits that clients usually have.
const LARGE_HEAD: u32 = 1024 * 1024;
const A_NUMBER: &str = "wants a number";
const A_DURATION: &str = "wants a duration, as 250ms or 2s";
const A_RETRY_AFTER: &str = "wants seconds, as 2, imf-fixdate+2, rfc850+2 or asctime+2";
const AN_HTTP2_CODE: &str = "wants an HTTP/2 error code by name or number";
/// What would end a value, and what would end a header.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b',').add(b';').add(b' ');
