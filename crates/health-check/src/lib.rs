//! Knows whether an upstream is up, from probes and from the calls to it, refuses calls while it is down, and reports the own service's health.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::convert::Infallible;
//! use http::{Request, Response, StatusCode};
//! use portcullis_gateway_error::ErrorKind;
//! use portcullis_health_check::{HealthCheckLayer, Monitor, ProbeError, State};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let down = || async { Err(ProbeError::new(ErrorKind::ConnectionRefused, "refused")) };
//! let health = Monitor::new(down).name("orders").start();
//! health.wait_for(State::Down).await;
//!
//! let client = service_fn(|_| async { Ok::<_, Infallible>(Response::new(String::new())) });
//! let service = HealthCheckLayer::new(health).layer(client);
//! let response = service.oneshot(Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(response.headers()["proxy-status"], "portcullis;error=destination_unavailable");
//! # }
//! ```
//!
//! # When to use this
//! - [`HealthCheckLayer`] around a client whose upstream has a light endpoint to ask.
//! - [`HealthCheckLayer::passive_only`] around one that has none: the calls themselves show whether it is up. With probes too: [`HealthCheckLayer::passive`].
//! - [`Pool`] over several endpoints of one upstream: it picks among those that are up.
//! - [`Outliers`] and [`PassiveHealth`] alone, where you pick an endpoint yourself.
//! - [`EndpointsLayer`] in front of a service that runs under Kubernetes or behind a load balancer.
//! - `StatusPage` (feature `status-page`) for people who operate it: upstreams, endpoints, their state and why, on one page.
//!
//! # When not
//! - For an upstream without such an endpoint: a probe that is not light is load, and a probe of something else says nothing.
//! - As the reason to restart: `/livez` depends on no upstream, on purpose.
//!
//! # What turns the state
//! | state | result | then |
//! |---|---|---|
//! | unknown | success or failure | up or down at once, or after as many as below where the [`Initial`] is one in full |
//! | up | `fall` failures in a row | down |
//! | down | `rise` successes in a row | up |
//! | any | one failure that is [decisive](ProbeError::decisive) | down |
//! | up | one success that is [degraded](ProbeError::degraded) | up and degraded, until one that is not |
//! | any | [`Health::force`] | what was decided, until [`Health::release`] |
//!
//! A failure is an error of the client, a status or a body that is not expected, a body that breaks off, no result within the time, or a panic of the probe. One opposite
//! result begins the count anew. Probes are [`HttpProbe`], [`GrpcProbe`], [`TcpProbe`], [`CallProbe`], several of them as a [`Composite`], or a closure.
//!
//! A monitor [on demand](Monitor::on_demand) probes before the first call after a time instead of in the background, and each result decides alone.
//!
//! What calls show ejects an endpoint by itself, whatever the state is:
//!
//! | state | what calls show | then |
//! |---|---|---|
//! | healthy | so many gateway errors, or failures of the server, in a row; a share of them far from that of the others, or too large | ejected |
//! | ejected | the time is over, and a call comes | trying: so many trial calls go through |
//! | trying | all trials are good | healthy |
//! | trying | one trial fails | ejected, for longer |
//! | ejected, trying | a probe succeeds, and the state is up | healthy |
//!
//! [`Observed`] has what counts as which. A call that is dropped, or that began before the last change, counts as nothing.
//!
//! # Defaults
//! | setting | default | why |
//! |---|---|---|
//! | `interval`, `jitter` | 5 s, 10 % | found down within 15 s; the spread keeps many callers from asking at once |
//! | `timeout` | 1 s | Kubernetes |
//! | `rise`, `fall` | 2, 3 | HAProxy |
//! | other intervals | the usual one | Envoy's and HAProxy's, beside them in [`coming_from`] |
//! | `initial_jitter` | 0 | it is known at once; who starts many at once sets it to the interval |
//! | `initial_delay`, `interval_jitter`, `max_time_in_error` | 0 | the first probe is at once, and numbers of results decide |
//! | `probe_limit`, `max_parallel_probes` | none | a few monitors need none; who starts thousands shares a [`ProbeLimit`] |
//! | `history` | 16 transitions | |
//! | `initial` | optimistic | a caller that starts before its upstream was asked works |
//! | expected statuses | 200 to 399 | Kubernetes |
//! | `check_on_connect_failure` | yes | a process that is gone is found by the first call, not by the next probe |
//! | `mode` | fail fast | the answer is known; waiting for it helps nobody |
//! | `Check::timeout`, `max_age` | 800 ms, 1 s | Kubernetes waits 1 s; no dependency is asked more often |
//! | `Endpoints::mapping` | 200, 200 and 503 for up, degraded and down | Spring, ASP.NET; at `/startupz` what is unknown is down |
//! | `Endpoints::details` | nobody | the apiserver withholds reasons too |
//! | `StatusPage::path`, `listeners`, `heartbeat` | `/status`, 16, 15 s | bounded; below the silence after which proxies give up |
//!
//! Those of a [`Pool`] stand at its [`PoolSettings`]; those of the outlier detection stand beside Envoy's in [`coming_from`].
//!
//! # Order
//! The gate stands inside retry, so that it sees every attempt, and around the mapping. Its refusal is
//! [`DestinationUnavailable`](portcullis_gateway_error::ErrorKind::DestinationUnavailable) found by this hop, which retry hands on at once.
//! A [`Pool`] stands where the client would, or the gate: it is both. [`EndpointsLayer`] stands outside of everything, and answers though what is inside is full. A limit outside of the gate drops the calls that it
//! cuts, which then show nothing of an endpoint that hangs: put the limit of the attempt inside, or set [`abandoned_after`](OutlierDetection::abandoned_after).
//!
//! # Cost
//! An open gate costs atomic loads and no allocation; one is made only while the inner service is not ready, or the gate is closed. Looking at a call costs a reference that
//! is counted, and with shares over a window one compare-and-swap; no lock, no clock. A monitor is one task, and so is a group whose shares are looked at;
//! 10,000 of them at one probe a second are less than a tenth of a core and 3 KB apiece. On demand, a gate looks at the clock for each call.
//! A page costs nothing while nobody looks, but that a call at an endpoint on it looks at the clock twice and counts in two words. While somebody looks, everything on it
//! is looked at once a second, and drawn when a state, a probe or an endpoint is another.
//! A pick costs the same few steps for two endpoints and for a thousand, and no allocation; what it looks at is made anew when a health has changed.
//!
//! # Cancellation and limits
//! The monitor's task, and the probe under way, end when the last clone of its [`Health`] is dropped. A refusal says in `retry-after` when the next probe is, at least
//! a second. Of the answer to a probe at most 64 KiB are read, over TCP 4 KiB. A probe on demand goes on for the others when who began it goes, and ends with the last
//! handle. A call waits in [`Mode::Wait`] until its limit or its deadline, and for what nobody knows yet as long as a probe may last; dropped, it gives back the place of a trial that it may have. Of a hundred endpoints at most `max_ejection_percent` are ejected, and one where that is less.
#![forbid(unsafe_code)]

mod body;
mod call_probe;
mod changes;
#[cfg(feature = "status-page")]
mod chart;
mod circuit;
pub mod coming_from;
mod composite;
#[cfg(feature = "config")]
mod config;
mod demand;
mod detection;
mod detector;
mod endpoint;
mod endpoints;
mod escape;
mod future;
mod gate;
mod grpc_probe;
mod grpc_watch;
mod health;
mod health_proto;
mod http_probe;
mod judge;
mod layer;
mod monitor;
mod observed;
mod outliers;
mod pass;
mod passed_on;
mod passive;
mod pattern;
mod pool;
mod probe;
mod probe_client;
mod probe_limit;
mod read;
mod refusal;
mod service;
mod settings;
mod shared;
mod statistics;
#[cfg(feature = "status-page")]
mod status_page;
mod tcp_probe;
mod telemetry;
mod thresholds;
mod transition;
mod wait;
mod window;

pub use crate::body::ResponseBody;
pub use crate::call_probe::CallProbe;
pub use crate::composite::Composite;
#[cfg(all(feature = "config", feature = "status-page"))]
pub use crate::config::StatusPageConfig;
#[cfg(feature = "config")]
pub use crate::config::{
    BalancingConfig, CheckConfig, Config, EndpointConfig, EndpointsConfig, EnforcingConfig,
    FailurePercentageConfig, GateConfig, GrpcProbeConfig, InitialConfig, ModeConfig,
    OutlierDetectionConfig, PatternConfig, PoolConfig, ResolutionConfig, SlowStartConfig,
    StatusMappingConfig, SuccessRateConfig, Target, TcpProbeConfig, Watcher,
};
pub use crate::detection::OutlierDetection;
pub use crate::detector::{Detector, FailurePercentage, SuccessRate};
pub use crate::endpoints::{
    Check, Draining, Endpoints, EndpointsBody, EndpointsFuture, EndpointsLayer, HealthPath,
    StatusMapping, WithEndpoints,
};
pub use crate::future::ResponseFuture;
pub use crate::grpc_probe::GrpcProbe;
pub use crate::grpc_watch::GrpcWatch;
pub use crate::health::{Health, HealthChanges, Initial, State, Status};
pub use crate::http_probe::HttpProbe;
pub use crate::judge::AnyError;
pub use crate::layer::{HealthCheckLayer, Mode};
pub use crate::monitor::Monitor;
pub use crate::observed::Observed;
pub use crate::outliers::Outliers;
pub use crate::pass::Pass;
pub use crate::passed_on::PassedOn;
pub use crate::passive::{Admission, PassiveHealth, PassiveState, PassiveStatus};
pub use crate::pattern::Pattern;
pub use crate::pool::Pool;
pub use crate::pool::body::PoolBody;
#[cfg(feature = "discover")]
pub use crate::pool::discover::HealthyDiscover;
#[cfg(feature = "dns")]
pub use crate::pool::dns::DnsResolver;
pub use crate::pool::future::PoolFuture;
pub use crate::pool::member::{Member, MemberStatus};
pub use crate::pool::resolution::{Resolution, Resolve, Resolved};
pub use crate::pool::settings::{Balancing, PoolSettings, SlowStart};
pub use crate::probe::{Probe, ProbeError};
pub use crate::probe_client::{ProbeBody, ProbeClient};
pub use crate::probe_limit::ProbeLimit;
pub use crate::service::HealthCheck;
pub use crate::settings::Settings;
#[cfg(feature = "status-page")]
pub use crate::status_page::{
    PageEndpoint, StatusPage, StatusPageBody, StatusPageFuture, StatusPageLayer, WithStatusPage,
};
pub use crate::tcp_probe::TcpProbe;
pub use crate::transition::{LastCheck, Override, Transition};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
