use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

/// How often which fault happens, drawn from a seed: the same seed and the same order of requests give the same faults.
#[derive(Clone, Debug)]
pub struct Plan {
    random: Arc<Mutex<fastrand::Rng>>,
    status: (StatusCode, f64),
    delay: (Duration, f64),
    reset: f64,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fate {
    pub(crate) delay: Option<Duration>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Echo,
    Status(StatusCode),
    Reset,
}

// === impl Plan ===

impl Plan {
    /// A plan without faults yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            status: (StatusCode::BAD_GATEWAY, 0.0),
            delay: (Duration::ZERO, 0.0),
            reset: 0.0,
        }
    }

    /// Answers this part of the requests (0 to 1) with this status; they are not processed.
    #[must_use]
    pub fn status(mut self, status: StatusCode, ratio: f64) -> Self {
        self.status = (status, ratio);
        self
    }

    /// Delays this part of the requests.
    #[must_use]
    pub fn delay(mut self, delay: Duration, ratio: f64) -> Self {
        self.delay = (delay, ratio);
        self
    }

    /// Resets the connection of this part of the requests, before they are processed.
    #[must_use]
    pub fn reset(mut self, ratio: f64) -> Self {
        self.reset = ratio;
        self
    }

    pub(crate) fn draw(&self) -> Fate {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, delay) = (random.f64(), random.f64());
        drop(random);

        let end = if end < self.status.1 {
            End::Status(self.status.0)
        } else if end < self.status.1 + self.reset {
            End::Reset
        } else {
            End::Echo
        };
        Fate {
            delay: (delay < self.delay.1).then_some(self.delay.0),
            end,
        }
    }
}
