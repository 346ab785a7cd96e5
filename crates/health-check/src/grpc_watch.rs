use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::{Chance, ErrorKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::grpc_probe::Ended;
use crate::health_proto::WATCH;
use crate::settings::LONGEST;
use crate::shared::{End, Shared};
use crate::{GrpcProbe, Health, Probe, ProbeClient, ProbeError, Settings, State, monitor};

/// Follows the state of a gRPC service through one `Watch` that stays open, in one background task: what the server says counts at once, without thresholds.
///
/// A stream that ends, or whose first message does not come within the `timeout` of the [probe](GrpcProbe::timeout) or else of the [`Settings`], is down, and is opened again after 1 s, 1.6 s … 120 s, each 20 %
/// more or less, as gRPC does ([connection backoff](https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md)), or when [`Health::check_now`] asks; a message begins that anew. A server without
/// `Watch` (`UNIMPLEMENTED`) is asked by `Check` instead, by the interval and the thresholds of the settings. The `initial_delay` and the `initial_jitter` of these are waited for before the first stream.
///
/// Each message is a probe for [`Health::last_check`], and so is a failure, or the end of the stream: the first message has the time since the stream was opened, and what comes later
/// took none.
///
/// A connection that is dead without a sign keeps the last state: let the client send HTTP/2 pings while it is idle.
#[must_use = "a watch does nothing until it is started"]
#[derive(Clone, Debug)]
pub struct GrpcWatch<C> {
    probe: GrpcProbe<C>,
    name: Arc<str>,
    settings: Settings,
}

// === impl GrpcWatch ===

impl<C> GrpcWatch<C> {
    pub(crate) fn new(probe: GrpcProbe<C>) -> Self {
        Self {
            probe,
            name: "upstream".into(),
            settings: Settings::default(),
        }
    }

    /// Replaces the name in logs. Default: `upstream`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Replaces the settings. Default: those of a [`Monitor`](crate::Monitor).
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts the task, which ends, and its stream, when the last clone of the returned handle is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "dropping the handle ends the watch"]
    pub fn start(self) -> Health
    where
        C: ProbeClient,
    {
        let limit = Probe::timeout(&self.probe).unwrap_or(self.settings.timeout);
        let shared = Shared::new(self.name, self.settings.initial)
            .keeping(self.settings.history)
            .patient(limit);
        let shared = Arc::new(shared);
        let task = tokio::spawn(run(self.probe, self.settings, Arc::clone(&shared)));
        Health::monitored(shared, task.abort_handle())
    }
}

async fn run<C: ProbeClient>(probe: GrpcProbe<C>, settings: Settings, shared: Arc<Shared>) {
    let _end = End::of(&shared);
    let random = Chance::new(settings.seed);
    let limit = Probe::timeout(&probe).unwrap_or(settings.timeout);
    let mut wait = FIRST_WAIT;
    monitor::wait_first(&settings, random.part(), &shared).await;
    loop {
        let began = Instant::now();
        // In a task of its own, so that a panic of the client is a failure like another. Dropped with this future, it ends the stream.
        let mut task = JoinSet::new();
        let heard = Arc::clone(&shared);
        let probe_ = probe.clone();
        task.spawn(async move {
            let mut some = false;
            let ended = follow(&probe_, limit, &heard, &mut some).await;
            (ended, some)
        });
        let (ended, heard) = match task.join_next().await {
            Some(Ok(result)) => result,
            _ => {
                let error = ProbeError::new(ErrorKind::ProxyInternalError, "the client panicked");
                (Ended::Failed(error), false)
            }
        };
        // What came of the opening; or that it has ended, where a message had come.
        let was_open = shared.last_check().is_some_and(|last| last.at >= began);
        let looked = if was_open { Instant::now() } else { began };
        let error = match ended {
            Ended::Unimplemented => {
                tracing::debug!("no Watch: asking by Check");
                // It has waited.
                let settings = Settings {
                    initial_delay: Duration::ZERO,
                    initial_jitter: Duration::ZERO,
                    ..settings
                };
                return monitor::run(probe, settings, shared).await;
            }
            Ended::Ok => ProbeError::new(ErrorKind::ConnectionTerminated, "the watch ended"),
            Ended::Failed(error) => error,
        };
        shared.checked(looked, Some(&error));
        if shared.state() != State::Down {
            shared.turn(State::Down, Some(error));
        }
        if heard {
            wait = FIRST_WAIT;
        }
        let next = Instant::now() + wait.mul_f64(1.0 + JITTER * (2.0 * random.part() - 1.0));
        shared.set_next_check(next);
        if monitor::until(next, &shared).await {
            // Nudged: not so soon that nudges become load.
            sleep_until(next.min(began + settings.interval.min(LONGEST) / 10)).await;
        }
        wait = wait.mul_f64(FACTOR).min(LAST_WAIT);
    }
}

/// Turns the state with each message, until the stream ends.
async fn follow<C: ProbeClient>(
    probe: &GrpcProbe<C>,
    limit: Duration,
    shared: &Shared,
    heard: &mut bool,
) -> Ended {
    let mut began = Instant::now();
    let first = async {
        let mut answers = probe.call(WATCH).await?;
        let serving = answers.next().await?;
        Ok((answers, serving))
    };
    let (mut answers, mut serving) = match timeout(limit, first).await {
        Ok(Ok(first)) => first,
        Ok(Err(ended)) => return ended,
        Err(_) => {
            let details = format!("no message within {limit:?}");
            return Ended::Failed(ProbeError::new(ErrorKind::HttpResponseTimeout, details));
        }
    };
    *heard = true;
    // What is told counts until the server says otherwise.
    shared.set_next_check(None);
    loop {
        let result = ProbeError::finding(answers.judge(serving));
        shared.checked(began, result.as_ref().err());
        if let Ok(degraded) = &result {
            shared.degrade(degraded.clone());
        }
        match (result, shared.state()) {
            (Ok(_), State::Up) | (Err(_), State::Down) => {}
            (Ok(_), _) => shared.turn(State::Up, None),
            (Err(error), _) => shared.turn(State::Down, Some(error)),
        }
        if shared.state() == State::Up {
            shared.succeeded();
        }
        serving = match answers.next().await {
            Ok(serving) => serving,
            Err(ended) => return ended,
        };
        began = Instant::now();
    }
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(120);
const FACTOR: f64 = 1.6;
const JITTER: f64 = 0.2;
