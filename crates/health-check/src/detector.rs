use std::num::NonZeroU32;

/// When an endpoint's share of successes is too far below that of the others (Envoy's `success_rate_*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    /// How many endpoints must have had `request_volume` requests in the window. Default: 5.
    pub minimum_hosts: NonZeroU32,
    /// How many requests an endpoint must have had in the window to be looked at. Default: 100.
    pub request_volume: NonZeroU32,
    /// How many standard deviations below the mean are too far; Envoy has it times 1000. Default: 1.9.
    pub stdev_factor: f64,
}

/// When an endpoint's share of failures is too large, whatever the others do (Envoy's `failure_percentage_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailurePercentage {
    /// The share in per cent from which on it is. Default: 85.
    pub threshold: u8,
    /// How many endpoints must have had `request_volume` requests in the window. Default: 5.
    pub minimum_hosts: NonZeroU32,
    /// How many requests an endpoint must have had in the window to be looked at. Default: 50.
    pub request_volume: NonZeroU32,
}

/// What found that an endpoint fails.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Detector {
    /// So many gateway errors in a row.
    ConsecutiveGatewayFailures,
    /// So many failures of the server in a row, gateway errors included.
    Consecutive5xx,
    /// So many exchanges in a row that were not answered.
    ConsecutiveLocalOriginFailures,
    /// A share of successes far below that of the others.
    SuccessRate,
    /// A share of failures above the limit.
    FailurePercentage,
    /// A trial call failed.
    Trial,
}

/// Of a hundred ejections, how many are done, for each detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Enforcing {
    gateway: u8,
    server: u8,
    local: u8,
    success_rate: u8,
    failure_percentage: u8,
}

// === impl SuccessRate ===

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            minimum_hosts: NonZeroU32::MIN.saturating_add(4),
            request_volume: NonZeroU32::MIN.saturating_add(99),
            stdev_factor: 1.9,
        }
    }
}

// === impl FailurePercentage ===

impl Default for FailurePercentage {
    fn default() -> Self {
        Self {
            threshold: 85,
            minimum_hosts: NonZeroU32::MIN.saturating_add(4),
            request_volume: NonZeroU32::MIN.saturating_add(49),
        }
    }
}

// === impl Detector ===

impl Detector {
    /// Returns the word used in logs, metrics and settings: `consecutive_gateway_failures`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveGatewayFailures => "consecutive_gateway_failures",
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveLocalOriginFailures => "consecutive_local_origin_failures",
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
            Self::Trial => "trial",
        }
    }
}

// === impl Enforcing ===

impl Enforcing {
    pub(crate) const ALL: Self = Self {
        gateway: 100,
        server: 100,
        local: 100,
        success_rate: 100,
        failure_percentage: 100,
    };

    pub(crate) const fn set(&mut self, detector: Detector, percent: u8) {
        match detector {
            Detector::ConsecutiveGatewayFailures => self.gateway = percent,
            Detector::Consecutive5xx => self.server = percent,
            Detector::ConsecutiveLocalOriginFailures => self.local = percent,
            Detector::SuccessRate => self.success_rate = percent,
            Detector::FailurePercentage => self.failure_percentage = percent,
            Detector::Trial => {}
        }
    }

    pub(crate) const fn percent(self, detector: Detector) -> u8 {
        match detector {
            Detector::ConsecutiveGatewayFailures => self.gateway,
            Detector::Consecutive5xx => self.server,
            Detector::ConsecutiveLocalOriginFailures => self.local,
            Detector::SuccessRate => self.success_rate,
            Detector::FailurePercentage => self.failure_percentage,
            Detector::Trial => 100,
        }
    }
}
