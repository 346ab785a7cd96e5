//! A group of endpoints against a slow model of it, that keeps every outcome and looks at all of them each time.

use portcullis_health_check::{Outliers, Pass};
use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::*;

/// What can happen. Endpoints and passes are taken modulo how many there are.
#[derive(Clone, Debug)]
enum Event {
    Admit(usize),
    Settle(usize, Observed),
    Drop(usize),
    Advance(u64),
    Check(usize),
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    gateway: usize,
    server: usize,
    local: usize,
    split: bool,
    trials: u8,
    percent: usize,
    always_one: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum ModelPhase {
    Healthy,
    Ejected {
        until: u64,
    },
    Trying {
        until: u64,
        given: usize,
        good: usize,
    },
}

/// One endpoint of the model. Times are seconds.
#[derive(Clone, Debug)]
struct Model {
    phase: ModelPhase,
    /// Which phase of its life this is.
    number: usize,
    since: u64,
    multiplier: u64,
    /// What was observed in this phase, and for each detector where it began anew.
    history: Vec<Observed>,
    begins: [usize; 3],
}

#[derive(Clone, Copy, Debug)]
struct ModelPass {
    endpoint: usize,
    number: usize,
    trial: bool,
}

const BASE: u64 = 30;
const LONGEST: u64 = 100;
const WINDOW: u64 = 10;
const ENDPOINTS: usize = 3;

// === impl Model ===

impl Model {
    fn new() -> Self {
        Self {
            phase: ModelPhase::Healthy,
            number: 0,
            since: 0,
            multiplier: 0,
            history: Vec::new(),
            begins: [0; 3],
        }
    }

    fn enter(&mut self, phase: ModelPhase) {
        self.phase = phase;
        self.number += 1;
        self.history.clear();
        self.begins = [0; 3];
    }

    fn eject(&mut self, now: u64, decays: bool) {
        if decays {
            self.multiplier = self.multiplier.saturating_sub((now - self.since) / WINDOW);
        }
        // It grows no further where the last one lasted longest.
        if BASE * self.multiplier < LONGEST {
            self.multiplier += 1;
        }
        let until = now + (BASE * self.multiplier).min(LONGEST);
        self.enter(ModelPhase::Ejected { until });
        self.since = now;
    }

    /// `Some(trial)` where a call goes through.
    fn admit(&mut self, now: u64, rules: Rules) -> Option<bool> {
        match &mut self.phase {
            ModelPhase::Healthy => return Some(false),
            ModelPhase::Trying { given, .. } if *given < usize::from(rules.trials) => {
                *given += 1;
                return Some(true);
            }
            ModelPhase::Ejected { until } | ModelPhase::Trying { until, .. } if now < *until => {
                return None;
            }
            ModelPhase::Ejected { .. } | ModelPhase::Trying { .. } => {}
        }
        let until = now + BASE;
        self.enter(ModelPhase::Trying {
            until,
            given: 1,
            good: 0,
        });
        Some(true)
    }

    /// Which detector has seen enough.
    fn strikes(&self, rules: Rules) -> Option<usize> {
        let is_gateway = |observed: &Observed| match observed {
            Observed::GatewayFailure => true,
            Observed::LocalFailure => !rules.split,
            _ => false,
        };
        let is_server =
            |observed: &Observed| is_gateway(observed) || *observed == Observed::ServerFailure;
        let is_local = |observed: &Observed| rules.split && *observed == Observed::LocalFailure;
        let run =
            |detector: usize, is: &dyn Fn(&Observed) -> bool, skips: &dyn Fn(&Observed) -> bool| {
                let fresh = self.history[self.begins[detector]..].iter().rev();
                fresh
                    .filter(|observed| !skips(observed))
                    .take_while(|observed| is(observed))
                    .count()
            };
        let none = |_: &Observed| false;
        let enough = |limit: usize, run: usize| limit > 0 && run >= limit;
        if enough(rules.gateway, run(0, &is_gateway, &is_local)) {
            return Some(0);
        }
        if enough(rules.server, run(1, &is_server, &is_local)) {
            return Some(1);
        }
        enough(rules.local, run(2, &is_local, &none)).then_some(2)
    }
}

fn settle(models: &mut [Model], pass: ModelPass, observed: Observed, now: u64, rules: Rules) {
    let ejected = models
        .iter()
        .filter(|model| model.phase != ModelPhase::Healthy)
        .count();
    let model = &mut models[pass.endpoint];
    if model.number != pass.number {
        return;
    }
    match (&mut model.phase, observed) {
        (ModelPhase::Ejected { .. }, _) | (ModelPhase::Healthy, Observed::Nothing) => {}
        (ModelPhase::Healthy, _) => {
            model.history.push(observed);
            while let Some(detector) = model.strikes(rules) {
                let allowed = (ejected + 1) * 100 <= rules.percent * ENDPOINTS;
                if allowed || (rules.always_one && ejected == 0) {
                    return model.eject(now, true);
                }
                model.begins[detector] = model.history.len();
            }
        }
        (ModelPhase::Trying { .. }, _) if !pass.trial => {}
        (ModelPhase::Trying { given, .. }, Observed::Nothing) => *given -= 1,
        (ModelPhase::Trying { good, .. }, Observed::Success) => {
            *good += 1;
            if *good == usize::from(rules.trials) {
                model.enter(ModelPhase::Healthy);
                model.since = now;
            }
        }
        (ModelPhase::Trying { .. }, _) => model.eject(now, false),
    }
}

fn events() -> impl Strategy<Value = Event> {
    let observed = prop_oneof![
        2 => Just(Observed::Success),
        4 => Just(Observed::GatewayFailure),
        2 => Just(Observed::ServerFailure),
        2 => Just(Observed::LocalFailure),
        1 => Just(Observed::Nothing),
    ];
    prop_oneof![
        6 => (0..ENDPOINTS).prop_map(Event::Admit),
        6 => (any::<usize>(), observed).prop_map(|(pass, observed)| Event::Settle(pass, observed)),
        1 => any::<usize>().prop_map(Event::Drop),
        1 => prop_oneof![1_u64..12, Just(30), Just(60)].prop_map(Event::Advance),
        1 => (0..ENDPOINTS).prop_map(Event::Check),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        0..4_usize,
        0..4_usize,
        0..4_usize,
        any::<bool>(),
        1..4_u8,
        prop_oneof![Just(0_usize), Just(34), Just(67), Just(100)],
        any::<bool>(),
    )
        .prop_map(
            |(gateway, server, local, split, trials, percent, always_one)| Rules {
                gateway,
                server,
                local,
                split,
                trials,
                percent,
                always_one,
            },
        )
}

fn start(rules: Rules) -> Outliers {
    let count = |limit: usize| NonZeroU16::new(u16::try_from(limit).unwrap());
    OutlierDetection::new()
        .consecutive_gateway_failures(count(rules.gateway))
        .consecutive_5xx(count(rules.server))
        .consecutive_local_origin_failures(count(rules.local))
        .split_local_origin(rules.split)
        .success_rate(None)
        .failure_percentage(None)
        .base_ejection_time(Duration::from_secs(BASE))
        .max_ejection_time(Duration::from_secs(LONGEST))
        .ejection_jitter(Duration::ZERO)
        .window(Duration::from_secs(WINDOW))
        .max_ejection_percent(u8::try_from(rules.percent).unwrap())
        .always_eject_one(rules.always_one)
        .trials(trials(rules.trials))
        .start()
}

async fn play(rules: Rules, script: Vec<Event>) -> Result<(), TestCaseError> {
    let outliers = start(rules);
    let real: Vec<_> = (0..ENDPOINTS)
        .map(|n| outliers.endpoint(format!("{n}")))
        .collect();
    let begin = Instant::now();
    let mut models = vec![Model::new(); ENDPOINTS];
    let mut passes: Vec<(ModelPass, Pass)> = Vec::new();
    let mut now = 0;

    for event in script {
        match event {
            Event::Admit(endpoint) => {
                let expected = models[endpoint].admit(now, rules);
                let pass = admit(&real[endpoint]);
                prop_assert_eq!(pass.as_ref().map(Pass::is_trial), expected);
                if let (Some(pass), Some(trial)) = (pass, expected) {
                    let number = models[endpoint].number;
                    passes.push((
                        ModelPass {
                            endpoint,
                            number,
                            trial,
                        },
                        pass,
                    ));
                }
            }
            Event::Settle(index, observed) if !passes.is_empty() => {
                let (model, pass) = passes.swap_remove(index % passes.len());
                pass.settle(observed);
                settle(&mut models, model, observed, now, rules);
            }
            Event::Drop(index) if !passes.is_empty() => {
                let (model, pass) = passes.swap_remove(index % passes.len());
                drop(pass);
                settle(&mut models, model, Observed::Nothing, now, rules);
            }
            Event::Settle(..) | Event::Drop(_) => {}
            Event::Advance(seconds) => {
                now += seconds;
                advance(Duration::from_secs(seconds)).await;
            }
            Event::Check(endpoint) => {
                real[endpoint].check_succeeded();
                if models[endpoint].phase != ModelPhase::Healthy {
                    models[endpoint].enter(ModelPhase::Healthy);
                    models[endpoint].since = now;
                }
            }
        }
        for (real, model) in real.iter().zip(&models) {
            let expected = match model.phase {
                ModelPhase::Healthy => PassiveState::Healthy,
                ModelPhase::Trying { .. } => PassiveState::Trying,
                ModelPhase::Ejected { until } => PassiveState::Ejected {
                    until: begin + Duration::from_secs(until),
                },
            };
            prop_assert_eq!(real.status().state, expected);
            prop_assert_eq!(u64::from(real.status().multiplier), model.multiplier);
        }
        let ejected = models
            .iter()
            .filter(|model| model.phase != ModelPhase::Healthy);
        prop_assert_eq!(outliers.ejected(), ejected.count());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn endpoints_do_what_the_model_does(rules in rules(), script in proptest::collection::vec(events(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(rules, script))?;
    }
}
