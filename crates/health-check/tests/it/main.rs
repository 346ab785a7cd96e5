//! The monitor, the gate and the endpoints from outside.
#![cfg(test)]

#[cfg(feature = "metrics")]
mod counters;
mod degraded;
mod endpoints;
mod gate;
#[cfg(feature = "metrics")]
mod gauges;
mod grpc;
mod grpc_watch;
mod monitor;
mod monitor_model;
mod monitor_start;
mod on_demand;
mod passive;
mod pool;
mod probe_limit;
mod probes;
#[cfg(feature = "metrics")]
mod recorded;
mod stacks;
#[cfg(feature = "status-page")]
mod status_page;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_gateway_error::ErrorKind;
use portcullis_health_check::{Health, Monitor, Probe, ProbeError};

/// What one probe of a test does.
#[derive(Clone, Copy, Debug)]
enum Look {
    Up,
    Down,
    Degraded,
    Hang,
    Panic,
}

/// Plays the script, a look per probe, and repeats the last one.
#[derive(Clone, Debug)]
struct Script(Arc<Mutex<VecDeque<Look>>>);

impl Script {
    fn new(looks: &[Look]) -> Self {
        Self(Arc::new(Mutex::new(looks.iter().copied().collect())))
    }

    fn then(&self, look: Look) {
        *self.0.lock().unwrap() = VecDeque::from([look]);
    }
}

impl Probe for Script {
    async fn probe(&self) -> Result<(), ProbeError> {
        let look = {
            let mut looks = self.0.lock().unwrap();
            if looks.len() > 1 {
                looks.pop_front()
            } else {
                looks.front().copied()
            }
        };
        match look.unwrap() {
            Look::Up => Ok(()),
            Look::Down => Err(ProbeError::new(
                ErrorKind::ConnectionRefused,
                "refused by the script",
            )),
            Look::Degraded => Err(ProbeError::new(
                ErrorKind::DestinationUnavailable,
                "degraded by the script",
            )
            .degraded()),
            Look::Hang => std::future::pending().await,
            Look::Panic => panic!("the script panics"),
        }
    }
}

/// Every 10 s without jitter, rise 2, fall 3, 1 s for each.
fn monitor(script: &Script) -> Monitor<Script> {
    Monitor::new(script.clone())
        .interval(Duration::from_secs(10))
        .jitter(0.0)
        .timeout(Duration::from_secs(1))
        .rise(NonZeroU32::new(2).unwrap())
        .fall(NonZeroU32::new(3).unwrap())
}

/// Waits until this health has looked: time is paused, so it takes none.
async fn settle(health: &Health) {
    health.wait_for(portcullis_health_check::State::Up).await;
}
