use std::time::{Duration, SystemTime};

use http::HeaderMap;
use portcullis_gateway_error::{Chance, WaitReason};

use self::source::Hint;

mod source;

pub use self::source::HintSource;
pub(crate) use self::source::forbids_more;

/// What is made of an upstream's word about when to come back.
///
/// ```
/// use std::time::Duration;
/// use portcullis_retry_on_gateway_error::{HintRule, HintSource, LongHint, ServerHints};
///
/// let envoy = ServerHints::new()
///     .sources([HintSource::RetryAfter, HintSource::XRateLimitReset])
///     .max(Duration::from_secs(300))
///     .long(LongHint::Discard)
///     .jitter(50);
/// let aws = ServerHints::new()
///     .sources([HintSource::XAmzRetryAfter])
///     .rule(HintRule::Clamp(Duration::from_secs(5)));
/// let deaf = ServerHints::new().sources([]);
/// # let _ = (envoy, aws, deaf);
/// ```
#[must_use = "settings do nothing until a layer has them"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerHints {
    /// Each at most once, in the order in which they are asked.
    sources: Sources,
    max: Duration,
    long: LongHint,
    rule: HintRule,
    /// In per cent of the hint.
    jitter: u8,
}

/// What is done with a hint that is longer than [`max`](ServerHints::max).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum LongHint {
    /// The answer is handed on at once: the caller knows better whether to wait that long.
    #[default]
    HandOn,
    /// The hint is as good as none: the next source is asked, and where none is left, the own backoff is waited (Envoy).
    Discard,
    /// The max is waited, which is earlier than the server said (Linkerd).
    Cap,
}

/// How a hint and the own backoff become one wait.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize))]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
pub enum HintRule {
    /// The longer one: never earlier than the server said, never shorter than the own backoff.
    #[default]
    AtLeast,
    /// The hint, but no shorter than the own backoff and longer by no more than this (AWS: 5 s). It can be earlier than the server said.
    Clamp(#[cfg_attr(feature = "config", serde(with = "humantime_serde"))] Duration),
    /// The hint to the nanosecond, without jitter and whatever the own backoff is (gRPC).
    Exact,
}

/// What to do before another attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HintDecision {
    /// Wait the own backoff: there is no hint, or it asks for no more.
    Own,
    /// Wait as long as this.
    Wait {
        wait: Duration,
        reason: WaitReason,
        /// Whether the own backoff begins again at its first step.
        resets_backoff: bool,
    },
    /// Make no other attempt: the wait is longer than the settings allow.
    TooLong,
    /// Make no other attempt: the server says so.
    Never,
}

type Sources = [Option<HintSource>; HintSource::ALL.len()];

// === impl ServerHints ===

impl ServerHints {
    /// Hints as they are read from the start; each setter says its default.
    pub const fn new() -> Self {
        Self {
            sources: DEFAULT_SOURCES,
            max: DEFAULT_MAX_SERVER_DELAY,
            long: LongHint::HandOn,
            rule: HintRule::AtLeast,
            jitter: 10,
        }
    }

    /// Replaces where hints are read, in this order: the first that holds one counts. None at all means that hints are ignored, but for a
    /// gRPC pushback that forbids another attempt.
    ///
    /// Default: all but [`HintSource::XRateLimitReset`], in the order of the variants. Of a source that is named twice the first place counts.
    pub fn sources(mut self, sources: impl IntoIterator<Item = HintSource>) -> Self {
        self.sources = Sources::default();
        for source in sources {
            let mut places = self.sources.iter_mut();
            // There is a place for each, so one is always found.
            if let Some(place) = places.find(|place| place.is_none_or(|taken| taken == source)) {
                *place = Some(source);
            }
        }
        self
    }

    /// Replaces the longest hint that is followed, as the server says it: jitter comes on top. Default: 60 s.
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Replaces what is done with a hint that is longer than [`max`](Self::max). Default: [`LongHint::HandOn`].
    pub const fn long(mut self, long: LongHint) -> Self {
        self.long = long;
        self
    }

    /// Replaces how a hint and the own backoff become one wait. Default: [`HintRule::AtLeast`].
    ///
    /// A gRPC pushback is always [`HintRule::Exact`].
    pub const fn rule(mut self, rule: HintRule) -> Self {
        self.rule = rule;
        self
    }

    /// Replaces by how many per cent a hint is made longer at most, so that those who were sent away together do not come back together. Default: 10.
    ///
    /// It never makes one shorter. Envoy's is 50; 0 is none.
    pub const fn jitter(mut self, percent: u8) -> Self {
        self.jitter = percent;
        self
    }

    /// Decides how long to wait after an answer with these headers, or trailers, where the own backoff would be as long as this.
    ///
    /// `grpc` says whether the exchange is one of gRPC, and `now` is the wall clock, for dates of an answer that has none of its own.
    pub(crate) fn wait(
        &self,
        headers: &HeaderMap,
        grpc: bool,
        now: SystemTime,
        own: Duration,
        chance: &Chance,
    ) -> HintDecision {
        if grpc && forbids_more(headers) {
            return HintDecision::Never;
        }
        let (hint, source) = match self.hint(headers, grpc, now) {
            None => return HintDecision::Own,
            Some(Hint::Never) => return HintDecision::Never,
            Some(Hint::After { wait, source }) => (wait, source),
        };
        if hint > self.max && self.long == LongHint::HandOn {
            return HintDecision::TooLong;
        }
        let hint = hint.min(self.max);
        if source == HintSource::GrpcPushback {
            return HintDecision::Wait {
                wait: hint,
                reason: WaitReason::Pushback,
                resets_backoff: true,
            };
        }
        let wait = match self.rule {
            HintRule::AtLeast => self.spread(hint, chance).max(own),
            HintRule::Clamp(room) => {
                let most = own.saturating_add(room);
                self.spread(hint, chance).min(most).max(own)
            }
            HintRule::Exact => hint,
        };
        if wait == own && hint < own {
            return HintDecision::Own;
        }
        HintDecision::Wait {
            wait,
            reason: WaitReason::RetryAfter,
            resets_backoff: false,
        }
    }

    /// The first hint that counts.
    pub(crate) fn hint(&self, headers: &HeaderMap, grpc: bool, now: SystemTime) -> Option<Hint> {
        let discarded = |hint: &Hint| {
            matches!(hint, Hint::After { wait, .. } if *wait > self.max)
                && self.long == LongHint::Discard
        };
        let mut hints = self
            .sources
            .iter()
            .flatten()
            .filter_map(|source| source.read(headers, grpc, now));
        hints.find(|hint| !discarded(hint))
    }

    /// Upwards only, so that it is never earlier than the server said.
    fn spread(&self, hint: Duration, chance: &Chance) -> Duration {
        let room = hint.saturating_mul(self.jitter.into()) / 100;
        chance.between(hint, hint.saturating_add(room))
    }
}

impl Default for ServerHints {
    fn default() -> Self {
        Self::new()
    }
}

const DEFAULT_MAX_SERVER_DELAY: Duration = Duration::from_secs(60);

/// What is meant for a client of the one server first, then what is a standard; `retry-after` before `ratelimit`, as the draft of the latter demands.
const DEFAULT_SOURCES: Sources = [
    Some(HintSource::GrpcPushback),
    Some(HintSource::RetryAfterMs),
    Some(HintSource::XMsRetryAfterMs),
    Some(HintSource::XAmzRetryAfter),
    Some(HintSource::RetryAfter),
    Some(HintSource::RateLimit),
    None,
];

#[cfg(test)]
mod tests;
