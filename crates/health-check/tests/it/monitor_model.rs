//! The state machine of a monitor against a model of it, by chance; and what went wrong in others.

use portcullis_health_check::{Override, State};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;

/// What happens to a monitor.
#[derive(Clone, Copy, Debug)]
enum Step {
    Probe(bool),
    /// A probe fails in a way that decides alone.
    Decisive,
    Force(Override),
    Release,
}

/// What the state must be, by the shortest rules: runs of results, and what was decided by hand.
struct Model {
    rise: u32,
    fall: u32,
    probed: State,
    run: (bool, u32),
    forced: Option<Override>,
    turns: Vec<State>,
}

impl Model {
    fn take(&mut self, step: Step) {
        match step {
            Step::Probe(success) => self.result(success, false),
            Step::Decisive => self.result(false, true),
            Step::Force(decided) => self.forced = Some(decided),
            Step::Release => self.forced = None,
        }
        let state = self.state();
        if self.turns.last() != Some(&state) {
            self.turns.push(state);
        }
    }

    fn result(&mut self, success: bool, decisive: bool) {
        let (last, length) = self.run;
        self.run = (success, if last == success { length + 1 } else { 1 });
        let needed = if success { self.rise } else { self.fall };
        if self.probed == State::Unknown || decisive || self.run.1 >= needed {
            self.probed = if success { State::Up } else { State::Down };
        }
    }

    fn state(&self) -> State {
        match self.forced {
            Some(Override::Up) => State::Up,
            Some(_) => State::Down,
            None => self.probed,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Probe(true)),
        4 => Just(Step::Probe(false)),
        1 => Just(Step::Decisive),
        1 => Just(Step::Force(Override::Up)),
        1 => Just(Step::Force(Override::Down)),
        1 => Just(Step::Force(Override::Drain)),
        2 => Just(Step::Release),
    ]
}

/// Runs the steps, one probe for each that is one; says where the monitor is not as the model.
async fn run(rise: u32, fall: u32, steps: &[Step]) -> Result<(), String> {
    let next = Arc::new(Mutex::new(Ok(())));
    let probe = {
        let next = Arc::clone(&next);
        move || {
            let result = next.lock().unwrap().clone();
            async move { result }
        }
    };
    let failed = || ProbeError::new(ErrorKind::ConnectionRefused, "refused");
    let count = |number| NonZeroU32::new(number).unwrap();
    let mut model = Model {
        rise,
        fall,
        probed: State::Unknown,
        run: (true, 0),
        forced: None,
        turns: vec![State::Unknown],
    };
    let health = Monitor::new(probe)
        .interval(Duration::from_secs(10))
        .initial_jitter(Duration::ZERO)
        .jitter(0.0)
        .rise(count(rise))
        .fall(count(fall))
        .history(8)
        .start();
    let mut first = true;
    for (index, &step) in steps.iter().enumerate() {
        let result = match step {
            Step::Probe(true) => Some(Ok(())),
            Step::Probe(false) => Some(Err(failed())),
            Step::Decisive => Some(Err(failed().decisive())),
            Step::Force(decided) => {
                health.force(decided);
                None
            }
            Step::Release => {
                health.release();
                None
            }
        };
        if let Some(result) = result {
            *next.lock().unwrap() = result;
            // Between two probes, always.
            sleep(Duration::from_secs(if first { 5 } else { 10 })).await;
            first = false;
        }
        model.take(step);
        let status = health.status();
        let seen = (health.state(), status.state, status.forced, health.is_up());
        // Before the first probe it counts as up.
        let up = model.state() != State::Down;
        let expected = (model.state(), model.state(), model.forced, up);
        if seen != expected {
            return Err(format!("step {index}: {seen:?}, not {expected:?}"));
        }
        if (status.state == State::Down) != status.reason.is_some() {
            return Err(format!("step {index}: {status:?}"));
        }
    }
    let history = health.history();
    let turns: Vec<_> = history.iter().map(|turn| turn.to).collect();
    let (_, expected) = model
        .turns
        .split_at(1.max(model.turns.len().saturating_sub(8)));
    if turns != expected {
        return Err(format!("history {turns:?}, not {expected:?}"));
    }
    let chained = history
        .windows(2)
        .all(|pair| pair[0].to == pair[1].from && pair[0].at + pair[1].lasted == pair[1].at);
    if !chained {
        return Err(format!("{history:?}"));
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_state_is_what_the_model_says(rise in 1_u32..4, fall in 1_u32..4, steps in prop::collection::vec(step(), 1..40)) {
        // The first result comes at once, so nothing comes before it.
        let steps: Vec<_> = [Step::Probe(true)].into_iter().chain(steps).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();

        let result = runtime.block_on(run(rise, fall, &steps));

        prop_assert_eq!(result, Ok(()));
    }
}

/// tower-resilience's health check takes unknown and unhealthy for the same, so that what is down from the start is told to nobody.
#[tokio::test(start_paused = true)]
async fn what_is_down_from_the_start_is_told() {
    let health = monitor(&Script::new(&[Look::Down])).start();
    let mut changes = health.changes();

    let status = changes.next().await.unwrap();

    assert_eq!(status.state, State::Down);
    assert_eq!(health.history().len(), 1);
}

/// Another has one list of triggers for all resources: one that recovers opens what another has closed.
#[tokio::test(start_paused = true)]
async fn one_that_recovers_says_nothing_of_another() {
    let (good, bad) = (Script::new(&[Look::Down]), Script::new(&[Look::Down]));
    let (good_health, bad_health) = (monitor(&good).start(), monitor(&bad).start());
    bad_health.wait_for(State::Down).await;
    let mut changes = bad_health.changes();

    good.then(Look::Up);
    good_health.wait_for(State::Up).await;

    assert_eq!(bad_health.state(), State::Down);
    let told = tokio::time::timeout(Duration::from_secs(100), changes.next());
    assert!(told.await.is_err(), "nothing has changed");
}

/// In a shared scheduler one slow dependency makes the others stale: openaev 7357.
#[tokio::test(start_paused = true)]
async fn one_that_hangs_makes_no_other_late() {
    let hang = monitor(&Script::new(&[Look::Hang])).timeout(Duration::from_secs(3600));
    let _hanging: Vec<_> = (0..100).map(|_| hang.clone().start()).collect();
    let health = monitor(&Script::new(&[Look::Up])).start();

    sleep(Duration::from_secs(95)).await;

    let last = health.last_check().unwrap();
    assert_eq!(last.checks, 10);
    assert_eq!(last.at.elapsed(), Duration::from_secs(5));
}

/// An interval of zero ends another's task with a panic, and nobody notices.
#[tokio::test(start_paused = true)]
async fn an_interval_of_nothing_goes_on_and_is_no_busy_loop() {
    let script = Script::new(&[Look::Up]);
    let health = monitor(&script).interval(Duration::ZERO).start();
    let start = Instant::now();

    sleep(Duration::from_secs(1)).await;

    let checks = health.last_check().unwrap().checks;
    assert!((900..=1001).contains(&checks), "{checks}");
    script.then(Look::Down);
    health.wait_for(State::Down).await;
    assert!(start.elapsed() < Duration::from_millis(1010));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_monitors_do_not_probe_at_once() {
    let begun = Arc::new(Mutex::new(vec![0_u32; 100]));
    let start = Instant::now();
    let healths: Vec<_> = (0..10_000)
        .map(|seed| {
            let begun = Arc::clone(&begun);
            let probe = move || {
                let slot = start.elapsed().as_millis() / 100;
                if let Some(count) = begun
                    .lock()
                    .unwrap()
                    .get_mut(usize::try_from(slot).unwrap())
                {
                    *count += 1;
                }
                async { Ok(()) }
            };
            Monitor::new(probe)
                .interval(Duration::from_secs(1))
                .initial_jitter(Duration::from_secs(1))
                .seed(seed)
                .start()
        })
        .collect();

    sleep(Duration::from_secs(10)).await;

    let begun = begun.lock().unwrap().clone();
    // A thousand are due in each 100 ms.
    assert!(
        begun.iter().all(|count| (700..1300).contains(count)),
        "{begun:?}"
    );
    drop(healths);
}
