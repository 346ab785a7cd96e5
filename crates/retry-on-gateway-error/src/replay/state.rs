use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use portcullis_gateway_error::StopReason;

use super::memory::Reservation;
use super::{BoxError, ReplayLimit};

/// The caller's body, what was kept of it, and how far each attempt has sent it.
pub(super) struct State<B> {
    /// The caller's body; `None` once it has ended or failed.
    rest: Option<B>,
    kept: Kept,
    /// Few requests have any.
    trailers: Option<Box<HeaderMap>>,
    pub(super) max_bytes: usize,
    kept_bytes: usize,
    /// What `kept` has of the memory that all requests share: its bytes, and for each chunk what its place costs.
    reserved: Reservation,
    /// Whether what is read is kept.
    keep: bool,
    /// Why there can be no further attempt, if so: something was read that is not kept.
    pub(super) lost: Option<Lost>,
    /// Attempts are numbered on; those before this one are superseded.
    first_live: u32,
    last: u32,
    /// The only one that is not superseded, where it was chosen.
    only: Option<u32>,
    lane: Lane,
    /// Those of the attempts that run beside the first live one, in their order.
    lanes_beside: Vec<Lane>,
    waiting: Wakers,
}

/// Why a body cannot be sent again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// More was sent than one request may keep.
    TooLarge,
    /// More was sent than there was memory for.
    MemoryFull,
    /// The caller's body failed, or gave something that cannot be copied.
    Failed,
    /// The running attempt was said to be the last.
    Committed,
}

/// The data frames from the start of the body, by reference. The first stands alone, as most bodies have but one.
#[derive(Default)]
struct Kept {
    first: Option<Bytes>,
    more: Vec<Bytes>,
    /// How many chunks at the start were let go.
    gone: usize,
}

/// How far an attempt is.
#[derive(Default)]
struct Lane {
    /// How many of the chunks it has sent.
    cursor: usize,
    trailers_sent: bool,
    /// The data bytes that it has sent.
    sent: u64,
    /// It was answered or has failed, and its answer is not the one that counts.
    over: bool,
}

/// The tasks of attempts that wait for the caller's body. There is none most of the time, and more than one only beside each other.
#[derive(Default)]
pub(super) struct Wakers {
    one: Option<(u32, Waker)>,
    more: Vec<(u32, Waker)>,
}

/// What the place of a chunk costs beside its bytes.
const CHUNK: usize = size_of::<Bytes>();

// === impl State ===

impl<B: Body<Data = Bytes>> State<B> {
    pub(super) fn new(body: B, announced: Option<u64>, limit: &ReplayLimit) -> Self {
        let ended = body.is_end_stream();
        // What is known to be too large is not worth keeping in part.
        let size = announced.unwrap_or(0).max(body.size_hint().lower());
        Self {
            rest: (!ended).then_some(body),
            kept: Kept::default(),
            trailers: None,
            keep: size <= limit.max_bytes.try_into().unwrap_or(u64::MAX),
            kept_bytes: 0,
            reserved: limit.memory.reservation(),
            max_bytes: limit.max_bytes,
            lost: None,
            first_live: 0,
            last: 0,
            only: None,
            lane: Lane::default(),
            lanes_beside: Vec::new(),
            waiting: Wakers::default(),
        }
    }

    pub(super) fn is_end_stream(&self, attempt: u32) -> bool {
        let lane = self.lane(attempt);
        let trailers = self.trailers.is_some() && !lane.trailers_sent;
        self.kept.after(lane.cursor) == 0
            && !trailers
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Whether the caller's body was read to its end. Who saw that it is at its end does not ask for more.
    pub(super) fn is_sent(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Supersedes an attempt that is over while others go on or will start: its connection may still be sending. One that has sent all has nothing to be told.
    pub(super) fn supersede(&mut self, attempt: u32) -> Wakers {
        if !self.is_live(attempt) || self.is_end_stream(attempt) {
            return Wakers::default();
        }
        self.lane_mut(attempt).over = true;
        self.take_wakers()
    }

    pub(super) fn size_hint(&self, attempt: u32) -> SizeHint {
        let unsent = self.kept.after(self.lane(attempt).cursor);
        let rest = self
            .rest
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unsent));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unsent)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> State<B> {
    /// Starts an attempt from the start of the body, and supersedes all others.
    pub(super) fn start(&mut self) -> (u32, Wakers) {
        let wakers = self.take_wakers();
        self.last = self.last.wrapping_add(1);
        self.first_live = self.last;
        self.lane = Lane::default();
        self.lanes_beside.clear();
        (self.last, wakers)
    }

    /// Starts an attempt from the start of the body, beside those that run.
    pub(super) fn start_beside(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.lanes_beside.push(Lane::default());
        self.last
    }

    pub(super) fn is_live(&self, attempt: u32) -> bool {
        attempt >= self.first_live
            && self.only.is_none_or(|only| only == attempt)
            && !self.lane(attempt).over
    }

    /// Whether all other attempts are superseded.
    pub(super) fn is_only(&self, attempt: u32) -> bool {
        self.only == Some(attempt)
    }

    /// Whether all that passes is kept, so that an attempt can start beside another.
    pub(super) const fn is_kept(&self) -> bool {
        self.keep
    }

    pub(super) fn sent(&self, attempt: u32) -> u64 {
        self.lane(attempt).sent
    }

    /// Says that this attempt is the last: it goes on, what it has sent is let go, and all others are superseded.
    pub(super) fn commit(&mut self, attempt: u32) -> Wakers {
        if !self.is_live(attempt) {
            return Wakers::default();
        }
        self.only = Some(attempt);
        // All, its own too: the body may have been told to wake another that waited for it.
        let wakers = self.take_wakers();
        self.lost = self.lost.or(Some(Lost::Committed));
        self.keep = false;
        let cursor = self.lane(attempt).cursor;
        let freed = self.kept.let_go(cursor);
        self.reserved.shrink(freed);
        wakers
    }

    /// Ends the exchange: all attempts are superseded. What is returned is to be dropped without the lock.
    pub(super) fn end(&mut self) -> (Wakers, Option<B>) {
        let wakers = self.take_wakers();
        self.first_live = self.last.wrapping_add(1);
        self.only = None;
        self.lose(Lost::Committed);
        (wakers, self.rest.take())
    }

    /// The handle of this attempt is gone: others that wait for the caller's body must ask it themselves.
    pub(super) fn leave(&mut self, attempt: u32) -> Wakers {
        if self.waiting.remove(attempt).is_none() {
            return Wakers::default();
        }
        self.take_wakers()
    }

    fn lose(&mut self, lost: Lost) {
        self.keep = false;
        self.lost = self.lost.or(Some(lost));
        self.kept.let_go(usize::MAX);
        self.reserved.shrink(usize::MAX);
    }

    fn take_wakers(&mut self) -> Wakers {
        std::mem::take(&mut self.waiting)
    }

    fn lane(&self, attempt: u32) -> &Lane {
        self.place_beside(attempt)
            .and_then(|place| self.lanes_beside.get(place))
            .unwrap_or(&self.lane)
    }

    fn lane_mut(&mut self, attempt: u32) -> &mut Lane {
        self.place_beside(attempt)
            .and_then(|place| self.lanes_beside.get_mut(place))
            .unwrap_or(&mut self.lane)
    }

    /// The place of an attempt among those that run beside the first live one; None for that one.
    fn place_beside(&self, attempt: u32) -> Option<usize> {
        let beside = attempt.checked_sub(self.first_live)?.checked_sub(1)?;
        usize::try_from(beside).ok()
    }
}

impl<B> State<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        &mut self,
        attempt: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(chunk) = self.next_kept(attempt) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(
                self.next_trailers(attempt)
                    .map(|map| Ok(Frame::trailers(map))),
            );
        };
        let Poll::Ready(frame) = Pin::new(rest).poll_frame(cx) else {
            self.waiting.put(attempt, cx.waker());
            return Poll::Pending;
        };

        let frame = self.read(attempt, frame);
        // Whoever waits for the same frame finds it kept, or is superseded.
        let mut wakers = self.take_wakers();
        wakers.remove(attempt);
        wakers.wake();
        Poll::Ready(frame)
    }

    /// Keeps what was just read and is being sent by this attempt.
    fn read(
        &mut self,
        attempt: u32,
        frame: Option<Result<Frame<Bytes>, B::Error>>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        let frame = match frame {
            None => {
                self.rest = None;
                return None;
            }
            Some(Err(error)) => {
                self.rest = None;
                self.lose_for(attempt, Lost::Failed);
                return Some(Err(error.into()));
            }
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            self.keep(attempt, data);
        } else if let Some(trailers) = frame.trailers_ref() {
            if self.keep {
                self.trailers = Some(Box::new(trailers.clone()));
            } else {
                self.lose_for(attempt, Lost::TooLarge);
            }
            self.lane_mut(attempt).trailers_sent = true;
            self.rest = None;
        } else {
            // A frame of a kind that is not known cannot be sent again.
            self.lose_for(attempt, Lost::Failed);
        }
        Some(Ok(frame))
    }

    fn keep(&mut self, attempt: u32, data: &Bytes) {
        let lane = self.lane_mut(attempt);
        lane.sent = lane.sent.saturating_add(data.len() as u64);
        if data.is_empty() {
            return;
        }
        let kept_bytes = self.kept_bytes.saturating_add(data.len());
        if !self.keep || kept_bytes > self.max_bytes {
            self.lose_for(attempt, Lost::TooLarge);
        } else if !self.reserved.grow(data.len().saturating_add(CHUNK)) {
            self.lose_for(attempt, Lost::MemoryFull);
        } else {
            self.kept_bytes = kept_bytes;
            self.kept.push(data.clone());
            self.lane_mut(attempt).cursor = self.kept.end();
        }
    }

    /// Something is read that is not kept: the attempt that read it goes on alone.
    fn lose_for(&mut self, attempt: u32, lost: Lost) {
        if self.lost.is_none() {
            self.only = Some(attempt);
        }
        self.lose(lost);
    }

    /// The next chunk to send again, if the attempt has not sent all that is kept.
    fn next_kept(&mut self, attempt: u32) -> Option<Bytes> {
        let cursor = self.lane(attempt).cursor;
        let chunk = self.kept.get(cursor)?;
        if self.lost.is_some() {
            // Nobody needs it again.
            let freed = self.kept.let_go(cursor + 1);
            self.reserved.shrink(freed);
        }
        let lane = self.lane_mut(attempt);
        lane.cursor = cursor + 1;
        lane.sent = lane.sent.saturating_add(chunk.len() as u64);
        Some(chunk)
    }

    fn next_trailers(&mut self, attempt: u32) -> Option<HeaderMap> {
        let lane = self.lane_mut(attempt);
        if std::mem::replace(&mut lane.trailers_sent, true) {
            return None;
        }
        self.trailers.as_deref().cloned()
    }
}

// === impl Lost ===

impl Lost {
    pub(crate) const fn reason(self) -> StopReason {
        match self {
            Self::TooLarge => StopReason::BodyTooLarge,
            Self::MemoryFull => StopReason::ReplayMemoryFull,
            Self::Failed | Self::Committed => StopReason::NotReplayable,
        }
    }
}

// === impl Wakers ===

impl Wakers {
    fn put(&mut self, attempt: u32, waker: &Waker) {
        match &mut self.one {
            None => self.one = Some((attempt, waker.clone())),
            Some((other, known)) if *other == attempt => known.clone_from(waker),
            Some(_) => {
                self.more.retain(|(other, _)| *other != attempt);
                self.more.push((attempt, waker.clone()));
            }
        }
    }

    fn remove(&mut self, attempt: u32) -> Option<Waker> {
        if let Some((_, waker)) = self.one.take_if(|(other, _)| *other == attempt) {
            return Some(waker);
        }
        let place = self.more.iter().position(|(other, _)| *other == attempt)?;
        Some(self.more.swap_remove(place).1)
    }

    /// To be called without the lock where that is possible: what a waker does is not ours.
    #[inline]
    pub(super) fn wake(self) {
        if let Some((_, waker)) = self.one {
            waker.wake();
        }
        for (_, waker) in self.more {
            waker.wake();
        }
    }
}

// === impl Kept ===

impl Kept {
    fn push(&mut self, chunk: Bytes) {
        if self.end() == 0 {
            self.first = Some(chunk);
        } else {
            self.more.push(chunk);
        }
    }

    /// The place after the last chunk.
    const fn end(&self) -> usize {
        self.gone + self.more.len() + if self.first.is_some() { 1 } else { 0 }
    }

    fn get(&self, place: usize) -> Option<Bytes> {
        let place = place.checked_sub(self.gone)?;
        match &self.first {
            Some(first) if place == 0 => Some(first.clone()),
            Some(_) => self.more.get(place - 1).cloned(),
            None => self.more.get(place).cloned(),
        }
    }

    /// The bytes from this place on.
    fn after(&self, place: usize) -> u64 {
        let chunks = self.first.iter().chain(&self.more);
        chunks
            .skip(place.saturating_sub(self.gone))
            .map(|chunk| chunk.len() as u64)
            .sum()
    }

    /// Lets go of what stands before this place; returns how much memory that was.
    fn let_go(&mut self, place: usize) -> usize {
        let mut count = place.min(self.end()).saturating_sub(self.gone);
        self.gone += count;
        let mut freed = 0;
        if count > 0
            && let Some(first) = self.first.take()
        {
            freed += first.len() + CHUNK;
            count -= 1;
        }
        freed
            + self
                .more
                .drain(..count)
                .map(|chunk| chunk.len() + CHUNK)
                .sum::<usize>()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.end() - self.gone
    }
}

#[cfg(test)]
impl<B> State<B> {
    pub(super) fn kept_chunks(&self) -> usize {
        self.kept.len()
    }
}
