use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_gateway_error::InvalidConfig;
use serde::Deserialize;
use serde::de::Deserializer;

use super::{at_least_one, checked, words};
use crate::{
    Budget, InFlightBudget, KeyedBudgets, QuotaBudget, Ratio, RatioBudget, RetryLayer,
    ThrottleBudget,
};

/// The serde form of the [budget](RetryLayer::budget): `none`, or a map of what it is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BudgetConfig {
    /// See [`RetryLayer::no_budget`].
    None,
    /// A budget, or one for each upstream.
    Kind(BudgetKindConfig),
}

/// One kind of budget with its settings; [`RatioBudget`] where none is said.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetKindConfig {
    /// [`RatioBudget`].
    pub ratio: Option<RatioBudgetConfig>,
    /// [`InFlightBudget`].
    pub in_flight: Option<InFlightBudgetConfig>,
    /// [`ThrottleBudget`].
    pub throttle: Option<ThrottleBudgetConfig>,
    /// [`QuotaBudget`].
    pub quota: Option<QuotaBudgetConfig>,
    /// Whether each upstream has its own: [`KeyedBudgets::by_authority`].
    pub per_upstream: bool,
    /// See [`KeyedBudgets::max_keys`]. Only where `per_upstream` is true.
    pub max_keys: Option<usize>,
}

/// The serde form of [`RatioBudget`]: its settings by the same names.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RatioBudgetConfig {
    /// See [`RatioBudget::ratio`]: 0.2 is 20 %.
    pub ratio: Option<f64>,
    /// See [`RatioBudget::reserve_per_second`].
    pub reserve_per_second: Option<u32>,
    /// See [`RatioBudget::window`].
    #[serde(with = "humantime_serde")]
    pub window: Option<Duration>,
}

/// The serde form of [`InFlightBudget`]: its settings by the same names.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct InFlightBudgetConfig {
    /// See [`InFlightBudget::ratio`]: 0.2 is 20 %.
    pub ratio: Option<f64>,
    /// See [`InFlightBudget::min_concurrency`].
    pub min_concurrency: Option<u32>,
}

/// The serde form of [`ThrottleBudget`]: the arguments of [`ThrottleBudget::new`] by their names.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleBudgetConfig {
    /// See [`ThrottleBudget::new`]. Default: 10.
    pub max_tokens: Option<u32>,
    /// See [`ThrottleBudget::new`]. Default: 0.1.
    pub token_ratio: Option<f64>,
}

/// The serde form of [`QuotaBudget`]: its settings by the same names.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaBudgetConfig {
    /// See [`QuotaBudget::capacity`].
    pub capacity: Option<u32>,
    /// See [`QuotaBudget::transient_price`].
    pub transient_price: Option<u32>,
    /// See [`QuotaBudget::throttling_price`].
    pub throttling_price: Option<u32>,
}

// === impl BudgetConfig ===

impl BudgetConfig {
    pub(super) fn put_into(self, layer: RetryLayer) -> Result<RetryLayer, InvalidConfig> {
        match self {
            Self::None => Ok(layer.no_budget()),
            Self::Kind(kind) => kind.put_into(layer),
        }
    }
}

impl<'de> Deserialize<'de> for BudgetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let none = |text: &str| (text == "none").then_some(Self::None);
        let expecting = "`none`, or a map with a budget";
        words::text_or_map(deserializer, expecting, none, Self::Kind)
    }
}

// === impl BudgetKindConfig ===

impl BudgetKindConfig {
    fn put_into(self, layer: RetryLayer) -> Result<RetryLayer, InvalidConfig> {
        if self.max_keys.is_some() && !self.per_upstream {
            let message = "is only for a budget that is per_upstream";
            return Err(InvalidConfig::new("max_keys", message));
        }
        let kinds = [
            ("ratio", self.ratio.is_some()),
            ("in_flight", self.in_flight.is_some()),
            ("throttle", self.throttle.is_some()),
            ("quota", self.quota.is_some()),
        ];
        let mut said = kinds.into_iter().filter(|(_, said)| *said);
        if let (Some((first, _)), Some((second, _))) = (said.next(), said.next()) {
            let message = format!("is a second budget, beside {first}");
            return Err(InvalidConfig::new(second, message));
        }

        if let Some(budget) = self.in_flight {
            self.put("in_flight", layer, move || budget.build())
        } else if let Some(budget) = self.throttle {
            self.put("throttle", layer, move || budget.build())
        } else if let Some(budget) = self.quota {
            self.put("quota", layer, move || budget.build())
        } else {
            let budget = self.ratio.unwrap_or_default();
            self.put("ratio", layer, move || budget.build())
        }
    }

    fn put<B: Budget + 'static>(
        self,
        kind: &'static str,
        layer: RetryLayer,
        make: impl Fn() -> Result<B, InvalidConfig> + Send + Sync + 'static,
    ) -> Result<RetryLayer, InvalidConfig> {
        let budget = make().map_err(|mistake| mistake.within(kind))?;
        if !self.per_upstream {
            return Ok(layer.budget(budget));
        }
        let budgets = KeyedBudgets::by_authority(move || {
            make().expect("a budget could be made of the same numbers before")
        });
        Ok(layer.budgets(match self.max_keys {
            Some(keys) => budgets.max_keys(keys),
            None => budgets,
        }))
    }
}

// === impl RatioBudgetConfig ===

impl RatioBudgetConfig {
    fn build(self) -> Result<RatioBudget, InvalidConfig> {
        let mut budget = RatioBudget::new();
        if let Some(ratio) = checked("ratio", self.ratio, Ratio::from_f64)? {
            budget = budget.ratio(ratio);
        }
        if let Some(retries) = self.reserve_per_second {
            budget = budget.reserve_per_second(retries);
        }
        match self.window {
            Some(window) => budget.window(window),
            None => Ok(budget),
        }
    }
}

// === impl InFlightBudgetConfig ===

impl InFlightBudgetConfig {
    fn build(self) -> Result<InFlightBudget, InvalidConfig> {
        let mut budget = InFlightBudget::new();
        if let Some(ratio) = checked("ratio", self.ratio, Ratio::from_f64)? {
            budget = budget.ratio(ratio);
        }
        Ok(match self.min_concurrency {
            Some(retries) => budget.min_concurrency(retries),
            None => budget,
        })
    }
}

// === impl ThrottleBudgetConfig ===

impl ThrottleBudgetConfig {
    fn build(self) -> Result<ThrottleBudget, InvalidConfig> {
        let max_tokens = self.max_tokens.unwrap_or(10);
        ThrottleBudget::new(max_tokens, self.token_ratio.unwrap_or(0.1))
    }
}

// === impl QuotaBudgetConfig ===

impl QuotaBudgetConfig {
    fn build(self) -> Result<QuotaBudget, InvalidConfig> {
        let price = |field, said| -> Result<Option<NonZeroU32>, InvalidConfig> {
            checked(field, said, at_least_one)
        };
        let mut budget = QuotaBudget::new();
        if let Some(tokens) = self.capacity {
            budget = budget.capacity(tokens);
        }
        if let Some(tokens) = price("transient_price", self.transient_price)? {
            budget = budget.transient_price(tokens);
        }
        Ok(match price("throttling_price", self.throttling_price)? {
            Some(tokens) => budget.throttling_price(tokens),
            None => budget,
        })
    }
}
