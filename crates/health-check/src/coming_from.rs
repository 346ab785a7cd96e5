//! What elsewhere is called what here, and what differs on purpose: [Envoy's outlier detection](#envoy), [health checks](#health-checks), [gRPC](#grpc), [nginx](#nginx),
//! [circuit breakers](#circuit-breakers).
//!
//! Settings without a type before them are setters of [`OutlierDetection`](crate::OutlierDetection); numbers in parentheses are defaults. There are no items in this module.
//!
//! Wherever one comes from, four things are other here:
//! - When an ejection is over, [`trials`](crate::OutlierDetection::trials) calls go through, and the others when these were good. In Envoy all go through at once.
//! - What a gateway error is comes from `portcullis-gateway-error`. A body that breaks off is a failure; a caller who goes away is not, and 429 is neither a
//!   failure nor a recovery.
//! - Shares are measured over a window that slides by tenths, and looked at each tenth.
//! - Nothing that began before an ejection decides anything after it.
//!
//! # Envoy
//! | setting | here | what differs |
//! |---|---|---|
//! | `consecutive_gateway_failure` (5, enforced 0 %) | `consecutive_gateway_failures` (5) | enforced |
//! | `consecutive_5xx` (5) | `consecutive_5xx` (5) | the statuses of gRPC are mapped as there |
//! | `consecutive_local_origin_failure` (5) | `consecutive_local_origin_failures` (5) | |
//! | `split_external_local_origin_errors` (false) | `split_local_origin` (false) | without it both count as gateway errors, as there |
//! | `interval` (10 s) | `window` (10 s) | also the step by which the multiplier of the ejection time shrinks in health |
//! | `base_ejection_time` (30 s) | `base_ejection_time` (30 s) | also how long trials may take |
//! | `max_ejection_time` (300 s) | `max_ejection_time` (300 s) | |
//! | `max_ejection_time_jitter` (0) | `ejection_jitter` (3 s) | |
//! | `max_ejection_percent` (10) | `max_ejection_percent` (10) | an endpoint whose trials are not decided counts too |
//! | `always_eject_one_host` (false) | `always_eject_one` (true) | so that a group of one is a breaker |
//! | `success_rate_minimum_hosts` (5), `_request_volume` (100), `_stdev_factor` (1900) | [`SuccessRate`](crate::SuccessRate) (5, 100, 1.9) | |
//! | `failure_percentage_threshold` (85), `_minimum_hosts` (5), `_request_volume` (50) | [`FailurePercentage`](crate::FailurePercentage) (85, 5, 50) | enforced; 0 % there |
//! | `enforcing_*`, `enforcing_local_origin_*` | [`enforcing`](crate::OutlierDetection::enforcing) (100) | one for both origins of a share |
//! | `successful_active_health_check_uneject_host` (true) | `return_on_check` (true) | |
//! | `panic_threshold` of the cluster (50 %) | [`panic_threshold`](crate::PoolSettings::panic_threshold) (50) of a pool | elsewhere whoever picks decides, by [`Outliers::healthy_percent`](crate::Outliers::healthy_percent) |
//! | `ejections_active`, `ejections_enforced_*` | `health_check.ejected`, `health_check.ejections` | |
//!
//! Its load balancing, in a [`Pool`](crate::Pool):
//!
//! | setting | here | what differs |
//! |---|---|---|
//! | `LEAST_REQUEST`, `choice_count` (2) | [`Balancing::LeastPending`](crate::Balancing) | always two; where weights differ, they are drawn by weight, and calls in flight count by weight, too |
//! | `RANDOM` | [`Balancing::Random`](crate::Balancing) | by weight |
//! | none | [`Balancing::PeakEwma`](crate::Balancing), the default | Finagle's, Linkerd's and tower's |
//! | `priority`, `overprovisioning_factor` (140) | [`priority`](crate::Member::priority), [`overprovisioning`](crate::PoolSettings::overprovisioning) (140) | an endpoint that is due for a trial counts as one that may be called |
//! | `healthy_panic_threshold` (50 %) | [`panic_threshold`](crate::PoolSettings::panic_threshold) (50) | one that was taken out by hand gets no calls then either |
//! | degraded endpoints | [`ProbeError::degraded`](crate::ProbeError::degraded) | called where no other may be, of any priority, and by shares only where a priority panics; both keep a group from panic, as there |
//! | `fail_traffic_on_panic` | `panic_threshold` of 0 | |
//! | the load biaser of Linkerd | [`max_retry_after`](crate::PoolSettings::max_retry_after) (300 s) | called last until then, not by a latency that fades |
//! | `slow_start_config` (`aggression` 1, `min_weight_percent` 10) | [`SlowStart`](crate::SlowStart) (1, 10) | |
//! | `retry_host_predicate: previous_hosts` | by the [`Attempt`](portcullis_gateway_error::Attempt) of a request | always; other priorities are looked at too |
//! | `STRICT_DNS`, `dns_refresh_rate`, `respect_dns_ttl` | [`Resolution`](crate::Resolution) (5 s to 300 s) | an answer without addresses keeps the last known ones |
//!
//! # Health checks
//! Those of Envoy, HAProxy (H) and Kubernetes (K), as setters of a [`Monitor`](crate::Monitor) where no type stands before them:
//!
//! | setting | here | what differs |
//! |---|---|---|
//! | `interval`, `inter` (H, 2 s), `periodSeconds` (K, 10 s) | `interval` (5 s) | from the start of a probe to the start of the next |
//! | `interval_jitter_percent`, `spread-checks` (H) | `jitter` (10 %) | to both sides |
//! | `interval_jitter` (0) | `interval_jitter` (0) | |
//! | `initial_jitter` (0), `initialDelaySeconds` (K, 0) | `initial_jitter` (0), `initial_delay` (0) | a call that waits for the first result ends them |
//! | `timeout`, `timeoutSeconds` (K, 1 s) | `timeout` (1 s) | that of a probe itself counts more |
//! | `healthy_threshold`, `rise` (H, 2), `successThreshold` (K, 1) | `rise` (2) | the first result of all decides alone, as in Envoy |
//! | `unhealthy_threshold`, `fall` (H, 3), `failureThreshold` (K, 3) | `fall` (3) | in a row, and for at least `max_time_in_error` (0) |
//! | `unhealthy_interval`, `downinter` (H) | `unhealthy_interval` | |
//! | `unhealthy_edge_interval`, `healthy_edge_interval` | the same | once, right after the turn |
//! | `fastinter` (H) | `changing_interval` | while results speak against the state |
//! | `no_traffic_interval` (60 s) | `no_traffic_interval` (none) | whatever the state is; the first call brings a probe |
//! | `no_traffic_healthy_interval` | `no_traffic_healthy_interval` (the one above) | while not down |
//! | `init-state` (H) | `initial` (optimistic, which is `up`) | calls can wait for the first result, too |
//! | `expected_statuses` (200), `http-check expect status` (H, 2xx and 3xx) | [`HttpProbe::expected`](crate::HttpProbe::expected), [`also_expected`](crate::HttpProbe::also_expected) (200 to 399) | |
//! | `retriable_statuses` | the others than [`decisive`](crate::HttpProbe::decisive) | none is decisive where nothing is said |
//! | `receive`, `http-check expect string` (H) | [`HttpProbe::body`](crate::HttpProbe::body) | pieces in order, within 64 KiB |
//! | `service_name_matcher`, `http-check expect hdr` (H) | [`HttpProbe::expected_header`](crate::HttpProbe::expected_header) | any field |
//! | `host`, `method`, `request_headers_to_add` | the same of [`HttpProbe`](crate::HttpProbe) | |
//! | `x-envoy-immediate-health-check-fail` | turns it down at once | |
//! | `x-envoy-degraded` | up, and called last in a pool | in answers to an [`HttpProbe`](crate::HttpProbe), not to calls |
//! | `tcp_health_check`, `tcpSocket` (K) | [`TcpProbe`](crate::TcpProbe) | text, or any bytes, not hex |
//! | `grpc_health_check`, `grpc` (K) | [`GrpcProbe`](crate::GrpcProbe) | |
//! | `observe layer4`, `on-error fastinter` (H) | [`check_on_connect_failure`](crate::OutlierDetection::check_on_connect_failure) (true) | a probe at once, a tenth of the interval after the last at the soonest |
//! | `observe layer7`, `on-error fastinter` (H) | [`check_on_failure`](crate::OutlierDetection::check_on_failure) (false) | not for a failure that ejects |
//! | `set server .. state drain`, `maint`, `ready` (H) | [`Health::force`](crate::Health::force), [`release`](crate::Health::release) | |
//!
//! # gRPC
//! | word | here | what differs |
//! |---|---|---|
//! | outlier detection (gRFC A50) | `success_rate`, `failure_percentage` | UNAVAILABLE in a row ejects too, unless the detectors in a row are off |
//! | `wait_for_ready` | [`Mode::Wait`](crate::Mode::Wait) | has a limit besides the deadline |
//! | TRANSIENT_FAILURE | the gate is closed: UNAVAILABLE | |
//!
//! # nginx
//! | setting | here | what differs |
//! |---|---|---|
//! | `max_fails` (1) | `consecutive_gateway_failures` (5) | in a row, not so many in a time |
//! | `fail_timeout` (10 s) | `base_ejection_time` (30 s) | grows with each ejection |
//! | the one request after it | `trials` (1) | exactly so many |
//!
//! # Circuit breakers
//! | word | here | what differs |
//! |---|---|---|
//! | closed, open, half-open | [`PassiveState`](crate::PassiveState): healthy, ejected, trying | |
//! | `wait_duration_in_open` | `base_ejection_time` | grows, and shrinks in health |
//! | `permitted_calls_in_half_open` | `trials` | the first failure ejects anew |
//! | `failure_rate_threshold` | [`FailurePercentage`](crate::FailurePercentage) with `minimum_hosts` of 1 | over a time, not a number of calls |
//! | slow calls | a limit inside the gate, or `abandoned_after` | |
//! | one breaker for each connection | the state is in the layer | |
//!
//! A breaker around one upstream:
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::num::NonZeroU16;
//! use std::time::Duration;
//! use portcullis_health_check::{HealthCheckLayer, OutlierDetection};
//!
//! let orders = OutlierDetection::new()
//!     .consecutive_gateway_failures(NonZeroU16::new(3))
//!     .base_ejection_time(Duration::from_secs(5))
//!     .endpoint("orders");
//! let layer = HealthCheckLayer::passive_only(orders);
//! # let _ = layer;
//! # }
//! ```
