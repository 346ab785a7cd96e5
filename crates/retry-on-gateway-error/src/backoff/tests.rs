use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const ALL: [Jitter; 5] = [
    Jitter::Full,
    Jitter::Equal,
    Jitter::Decorrelated,
    Jitter::Proportional,
    Jitter::None,
];

fn step(retry: u32) -> Step {
    Step::new(NonZeroU32::new(retry).unwrap(), None)
}

/// So many waits at this step, drawn as the exchanges of one layer draw them.
fn waits(backoff: &Backoff, step: Step, count: usize) -> Vec<Duration> {
    let chance = Chance::seeded(5);
    (0..count).map(|_| backoff.wait(step, &chance)).collect()
}

#[test]
fn an_exponential_wait_grows_up_to_its_cap() {
    let ms = Duration::from_millis;
    let envoy = Backoff::default().jitter(Jitter::None);
    let grpc = Backoff::exponential(SECOND, 120 * SECOND).jitter(Jitter::None);
    let grpc = grpc.multiplier(1.6).unwrap();
    let shrinking = Backoff::exponential(SECOND, SECOND).jitter(Jitter::None);
    let shrinking = shrinking.multiplier(0.5).unwrap();

    for (backoff, retry, expected) in [
        (&envoy, 1, ms(25)),
        (&envoy, 2, ms(50)),
        (&envoy, 3, ms(100)),
        (&envoy, 4, ms(200)),
        (&envoy, 5, ms(250)),
        (&envoy, 33, ms(250)),
        (&grpc, 1, ms(1000)),
        (&grpc, 2, ms(1600)),
        (&grpc, 3, ms(2560)),
        (&grpc, 11, Duration::from_nanos(109_951_162_778)),
        (&grpc, 12, ms(120_000)),
        (&shrinking, 1, ms(1000)),
        (&shrinking, 2, ms(500)),
        (&shrinking, 4, ms(125)),
        (&shrinking, u32::MAX, ms(0)),
    ] {
        let wait = backoff.wait(step(retry), &Chance::seeded(3));

        assert_eq!(wait, expected, "{backoff:?}, retry {retry}");
    }
}

/// Polly, issue 1866: past an overflow the cap no longer held, and the wait was for ever.
#[test]
fn the_cap_holds_at_any_attempt_unlike_in_polly() {
    for retry in [62, 63, 64, 1023, 1024, 1_000_000, u32::MAX] {
        for multiplier in [1.0, 1.000_001, 2.0, f64::MAX] {
            for base in [Duration::from_nanos(1), SECOND, Duration::MAX] {
                let backoff = Backoff::exponential(base, 30 * SECOND);
                let backoff = backoff.multiplier(multiplier).unwrap().jitter(Jitter::None);

                let wait = backoff.wait(step(retry), &Chance::seeded(3));

                assert!(wait <= 30 * SECOND, "{backoff:?}, retry {retry}: {wait:?}");
                assert!(wait >= base.min(30 * SECOND), "{backoff:?}, retry {retry}");
            }
        }
        let nothing = Backoff::exponential(Duration::ZERO, SECOND);
        assert_eq!(
            nothing.wait(step(retry), &Chance::seeded(3)),
            Duration::ZERO
        );
        let endless = Backoff::exponential(SECOND, Duration::MAX).jitter(Jitter::None);
        assert!(endless.wait(step(retry), &Chance::seeded(3)) > 1_000_000 * SECOND);
    }
}

#[test]
fn a_multiplier_that_makes_no_sense_is_refused() {
    let exponential = Backoff::default();
    let fixed = Backoff::fixed(SECOND);
    let bound = "multiplier: must be finite and above 0, is";

    for (backoff, factor, expected) in [
        (&exponential, 0.0, format!("{bound} 0")),
        (&exponential, -1.5, format!("{bound} -1.5")),
        (&exponential, f64::NAN, format!("{bound} NaN")),
        (&exponential, f64::INFINITY, format!("{bound} inf")),
        (
            &fixed,
            2.0,
            "multiplier: is for the exponential form only".to_owned(),
        ),
    ] {
        let mistake = backoff.clone().multiplier(factor).unwrap_err();

        assert_eq!(mistake.to_string(), expected);
    }
}

#[test]
fn a_custom_wait_is_told_its_step() {
    let backoff = Backoff::custom(|step| {
        step.previous.unwrap_or_default() + Duration::from_millis(100) * step.retry.get()
    });
    let second = Step::new(NonZeroU32::new(2).unwrap(), Some(SECOND));

    let chance = Chance::seeded(3);
    assert_eq!(
        backoff.wait(step(1), &chance),
        Duration::from_millis(100),
        "no jitter unless asked for"
    );
    assert_eq!(backoff.wait(second, &chance), Duration::from_millis(1200));
    assert_eq!(backoff, backoff.clone());
    assert_ne!(backoff, Backoff::custom(|_| SECOND));
    assert_eq!(
        format!("{backoff:?}"),
        "Backoff { form: Custom(..), jitter: None }"
    );
}

/// Every jitter fills its range and does not leave it.
#[test]
fn jitter_keeps_its_bounds_and_reaches_them() {
    let exponential = Backoff::exponential(SECOND, 8 * SECOND);
    let fixed = Backoff::fixed(4 * SECOND);
    let first = step(3);
    let later = Step::new(first.retry, Some(2 * SECOND));
    let long = Step::new(first.retry, Some(7 * SECOND));
    let short = Step::new(first.retry, Some(Duration::ZERO));

    // Retry 3 of the exponential form waits 4 s, as the fixed form does. Bounds in ms.
    for (backoff, jitter, step, least, most) in [
        (&exponential, Jitter::Full, first, 0, 4000),
        (&exponential, Jitter::Equal, first, 2000, 4000),
        (&exponential, Jitter::Decorrelated, first, 1000, 3000),
        (&exponential, Jitter::Decorrelated, later, 1000, 6000),
        (&exponential, Jitter::Decorrelated, long, 1000, 8000),
        (&exponential, Jitter::Decorrelated, short, 1000, 1000),
        (&exponential, Jitter::Proportional, first, 3200, 4800),
        (&exponential, Jitter::None, first, 4000, 4000),
        (&fixed, Jitter::Full, later, 0, 4000),
        (&fixed, Jitter::Equal, later, 2000, 4000),
        (&fixed, Jitter::Decorrelated, later, 4000, 6000),
        (&fixed, Jitter::Decorrelated, long, 4000, 12_000),
        (&fixed, Jitter::Proportional, later, 3200, 4800),
        (&fixed, Jitter::None, later, 4000, 4000),
    ] {
        let row = format!("{backoff:?} with {jitter:?} at {step:?}");
        let backoff = backoff.clone().jitter(jitter);
        let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));

        let waits = waits(&backoff, step, 2000);

        let (shortest, longest) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
        let edge = (most - least) / 50;
        assert!(
            (least..=least + edge).contains(&shortest),
            "{row}: {shortest:?}"
        );
        assert!(
            (most - edge..=most).contains(&longest),
            "{row}: {longest:?}"
        );
        let mean = waits.iter().sum::<Duration>() / 2000;
        let middle = least + (most - least) / 2;
        assert!(mean.abs_diff(middle) <= edge, "{row}: mean {mean:?}");
    }
}

#[test]
fn waits_with_decorrelated_jitter_do_not_gather_at_the_cap() {
    let backoff = Backoff::exponential(SECOND, 8 * SECOND).jitter(Jitter::Decorrelated);
    let at_the_cap = Step::new(NonZeroU32::new(9).unwrap(), Some(8 * SECOND));

    let waits = waits(&backoff, at_the_cap, 1000);

    assert_eq!(waits.iter().collect::<HashSet<_>>().len(), 1000);
}

/// tower's backoff with a jitter of 0.99 multiplies whole seconds: 200 of 200 waits were exactly one.
#[test]
fn jitter_of_a_whole_second_is_not_whole_seconds_as_in_tower() {
    for jitter in ALL {
        let backoff = Backoff::exponential(SECOND, 9 * SECOND).jitter(jitter);

        let waits = waits(&backoff, step(1), 200);

        let whole = waits.iter().filter(|wait| wait.subsec_nanos() == 0).count();
        let expected = if jitter == Jitter::None { 200 } else { 0 };
        assert_eq!(whole, expected, "whole seconds with {jitter:?}");
    }
}

/// The backoffs that tower's maker makes all draw the same: 1 distinct wait in 1000.
#[test]
fn exchanges_of_one_layer_draw_different_waits_unlike_towers_makers() {
    let chance = Chance::seeded(5);

    for jitter in [
        Jitter::Full,
        Jitter::Equal,
        Jitter::Decorrelated,
        Jitter::Proportional,
    ] {
        let layer = Backoff::default().jitter(jitter);
        let drawn: HashSet<_> = (0..1000)
            .map(|_| layer.clone().wait(step(1), &chance.clone()))
            .collect();

        assert!(
            drawn.len() > 990,
            "{} distinct waits of 1000 with {jitter:?}",
            drawn.len()
        );
    }
}

/// The default of tower-resilience has neither: every client waits as long as the others, and longer each time without end.
#[test]
fn the_default_has_jitter_and_a_cap_unlike_tower_resilience() {
    let backoff = Backoff::default();

    for retry in [1, 5, 50] {
        let waits = waits(&backoff, step(retry), 1000);

        let longest = waits.iter().max().unwrap();
        assert!(*longest <= Duration::from_millis(250), "retry {retry}");
        let distinct = waits.iter().collect::<HashSet<_>>().len();
        assert!(distinct > 990, "retry {retry}: {distinct} of 1000 differ");
    }
}

#[test]
fn a_seed_repeats() {
    for jitter in ALL {
        let backoff = Backoff::default().jitter(jitter);

        assert_eq!(
            waits(&backoff, step(2), 20),
            waits(&backoff, step(2), 20),
            "{jitter:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_setting_panics_or_passes_its_cap(
        base: Duration, max: Duration, multiplier in f64::MIN_POSITIVE..1e9, retry in 1..=u32::MAX, previous: Option<Duration>, seed: u64,
    ) {
        let step = Step::new(NonZeroU32::new(retry).unwrap(), previous);
        let chance = Chance::seeded(seed);

        for jitter in ALL {
            let exponential = Backoff::exponential(base, max).jitter(jitter);
            let wait = exponential.multiplier(multiplier).unwrap().wait(step, &chance);

            let cap = match jitter {
                Jitter::Proportional => max.saturating_add(max / 5),
                _ => max,
            };
            prop_assert!(wait <= cap, "{jitter:?}: {wait:?}");
            Backoff::fixed(base).jitter(jitter).wait(step, &chance);
            Backoff::custom(move |_| max).jitter(jitter).wait(step, &chance);
        }
    }
}
