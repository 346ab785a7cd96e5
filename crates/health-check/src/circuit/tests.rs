use proptest::prelude::*;

use super::*;

fn counts(gateway: u16, server: u16, local: u16) -> Counts {
    Counts {
        gateway: NonZeroU16::new(gateway),
        server: NonZeroU16::new(server),
        local: NonZeroU16::new(local),
        split: local > 0,
        trials: NonZeroU8::new(2).unwrap(),
    }
}

/// `+` success, `g` gateway, `s` server, `l` local, `.` nothing: which detector strikes at which of them.
fn strikes(script: &str, counts: &Counts) -> Vec<(usize, Detector)> {
    let mut circuit = Circuit::NEW;
    let ticket = Ticket {
        generation: 0,
        trial: false,
    };
    let mut strikes = Vec::new();
    for (index, outcome) in script.chars().enumerate() {
        match circuit.observe(ticket, observed(outcome), counts) {
            Step::Keep => {}
            Step::Count(next) => circuit = next,
            mut step @ Step::Suspect { .. } => {
                while let Step::Suspect {
                    detector, spared, ..
                } = step
                {
                    strikes.push((index, detector));
                    circuit = spared;
                    step = spared.judged(counts);
                }
            }
            step @ (Step::EjectAgain(_) | Step::Return(_)) => panic!("{step:?} while closed"),
        }
    }
    strikes
}

fn observed(outcome: char) -> Observed {
    match outcome {
        '+' => Observed::Success,
        'g' => Observed::GatewayFailure,
        's' => Observed::ServerFailure,
        'l' => Observed::LocalFailure,
        _ => Observed::Nothing,
    }
}

#[test]
fn failures_in_a_row_strike_and_any_success_begins_anew() {
    use Detector::{
        Consecutive5xx as S, ConsecutiveGatewayFailures as G, ConsecutiveLocalOriginFailures as L,
    };
    let together = counts(3, 5, 0);
    let split = counts(3, 5, 2);
    for (script, counts, expected) in [
        ("ggg", &together, &[(2, G)][..]),
        ("gg+gg", &together, &[]),
        ("gg.g", &together, &[(3, G)]),
        ("ggs", &together, &[]),
        ("sssss", &together, &[(4, S)]),
        ("gsgsg", &together, &[(4, S)]),
        ("lll", &together, &[(2, G)]),
        ("gggggg", &together, &[(2, G), (4, S), (5, G)]),
        ("ggggg", &counts(5, 5, 0), &[(4, G), (4, S)]),
        ("ll", &split, &[(1, L)]),
        ("lgl", &split, &[]),
        ("glglg", &split, &[(4, G)]),
        ("gggggg", &counts(0, 0, 0), &[]),
    ] {
        assert_eq!(strikes(script, counts), expected, "{script}");
    }
}

#[test]
fn after_any_number_of_successes_it_takes_no_more_failures() {
    let script = "+".repeat(10_000) + "ggg";

    let strikes = strikes(&script, &counts(3, 0, 0));

    assert_eq!(
        strikes,
        [(10_002, Detector::ConsecutiveGatewayFailures)],
        "a count in a row, not a share of all"
    );
}

#[test]
fn an_outcome_of_an_earlier_generation_changes_nothing() {
    let counts = counts(1, 1, 1);
    let early = Ticket {
        generation: 0,
        trial: false,
    };
    let ejected = Circuit::NEW.ejected();
    let trying = ejected.trying();
    let returned = trying.returned();

    for circuit in [ejected, trying, returned, returned.ejected()] {
        for outcome in ['+', 'g', 's', 'l', '.'] {
            let step = circuit.observe(early, observed(outcome), &counts);
            assert_eq!(step, Step::Keep, "{outcome} in {circuit:?}");
        }
    }
}

#[test]
fn trials_decide_and_what_says_nothing_gives_its_place_back() {
    let counts = counts(5, 5, 5);
    let trying = Circuit::NEW.ejected().trying();
    let trial = Ticket {
        generation: trying.generation,
        trial: true,
    };

    assert_eq!(
        trying.observe(trial, Observed::ServerFailure, &counts),
        Step::EjectAgain(trying.ejected())
    );
    let Step::Count(free) = trying.observe(trial, Observed::Nothing, &counts) else {
        panic!("the place is not free");
    };
    assert_eq!(free.phase, Phase::Trying { given: 0, good: 0 });
    let Step::Count(half) = trying.observe(trial, Observed::Success, &counts) else {
        panic!("the success is not counted");
    };
    let both = half.another_trial(counts.trials).unwrap();
    assert_eq!(both.another_trial(counts.trials), None, "two at most");
    assert_eq!(
        both.observe(trial, Observed::Success, &counts),
        Step::Return(trying.returned())
    );
}

fn circuits() -> impl Strategy<Value = Circuit> {
    let phase = prop_oneof![
        Just(Phase::Ejected),
        any::<(u16, u16, u16)>().prop_map(|(gateway, server, local)| Phase::Closed {
            gateway,
            server,
            local,
        }),
        any::<(u8, u8)>().prop_map(|(given, good)| Phase::Trying { given, good }),
    ];
    (phase, 0..=GENERATIONS).prop_map(|(phase, generation)| Circuit { phase, generation })
}

proptest! {
    #[test]
    fn every_circuit_is_what_its_word_says(circuit in circuits()) {
        prop_assert_eq!(Circuit::from_word(circuit.to_word()), circuit);
    }

    #[test]
    fn every_word_is_a_circuit_and_takes_every_outcome(word in any::<u64>(), trial in any::<bool>(), outcome in "[+gsl.]") {
        let circuit = Circuit::from_word(word);
        let ticket = Ticket { generation: circuit.generation, trial };
        for outcome in outcome.chars() {
            let _ = circuit.observe(ticket, observed(outcome), &counts(1, 2, 3));
        }
    }
}
