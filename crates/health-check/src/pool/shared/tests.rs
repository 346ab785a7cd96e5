use super::*;
use crate::{Health, State};

#[tokio::test]
async fn a_panic_while_endpoints_change_stops_no_later_change() {
    let shared = Shared::new(PoolSettings::new().panic_threshold(0));
    let health = Health::fixed(State::Down);
    shared.change(|_| true, [Member::new("a", ()).health(health.clone())]);
    let panics = std::thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let _seats = shared.seats();
            panic!("while it is locked");
        });
        panics.join()
    });
    assert!(panics.is_err());
    let pick = || {
        let avoid = Avoid {
            tried: None,
            busy: None,
        };
        shared.pick(avoid).is_some()
    };
    assert!(!pick());

    health.force(crate::Override::Up);

    assert!(pick());
}
