use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use http::Request;

use super::*;
use crate::{InFlightBudget, RatioBudget};

fn parts(uri: &str, host: Option<&str>) -> Parts {
    let mut request = Request::builder().uri(uri);
    if let Some(host) = host {
        request = request.header(HOST, host);
    }
    request.body(()).unwrap().into_parts().0
}

fn by_path() -> KeyedBudgets<String> {
    KeyedBudgets::new(
        |request| request.uri.path().to_owned(),
        InFlightBudget::default,
    )
}

fn address(budget: &Arc<dyn Budget>) -> usize {
    Arc::as_ptr(budget).cast::<()>().addr()
}

/// All of them fall on the same place.
#[derive(Eq, PartialEq)]
struct Colliding(String);

impl Hash for Colliding {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn the_authority_of_the_uri_or_else_the_host_header_is_the_key() {
    let budgets = KeyedBudgets::by_authority(RatioBudget::new);
    let rows = [
        ("a, by its URI", "http://a.example/x", Some("b.example")),
        ("a, elsewhere in it", "http://A.example/y", None),
        ("a, by its host", "/", Some("a.example")),
        ("b", "/", Some("b.example")),
        ("b, another port", "/", Some("b.example:81")),
        ("no host", "/", None),
        ("no valid host", "/", Some("two words")),
    ];

    let found = rows.map(|(_, uri, host)| address(&budgets.select(&parts(uri, host))));

    for (at, first) in [0, 0, 0, 3, 4, 5, 5].into_iter().enumerate() {
        let (name, other) = (rows[at].0, rows[first].0);
        assert_eq!(found[at], found[first], "{name} is counted with {other}");
    }
    assert_eq!(HashSet::from(found).len(), 4);
}

#[test]
fn beyond_the_limit_all_keys_share_one_budget() {
    for max in [0, 1, 3, 64] {
        let budgets = by_path().max_keys(max);
        let select = |key: usize| address(&budgets.select(&parts(&format!("/{key}"), None)));

        let first: Vec<_> = (0..100).map(select).collect();
        let again: Vec<_> = (0..100).map(select).collect();

        assert_eq!(first, again, "a key keeps its budget, {max} keys");
        let own: HashSet<_> = first[..max].iter().collect();
        let shared: HashSet<_> = first[max..].iter().collect();
        assert_eq!((own.len(), shared.len()), (max, 1), "{max} keys");
        assert!(own.is_disjoint(&shared), "{max} keys");
    }
}

#[test]
fn keys_of_the_same_hash_have_their_own_budgets() {
    let key = |request: &Parts| Colliding(request.uri.path().to_owned());
    let budgets = KeyedBudgets::new(key, InFlightBudget::default).max_keys(20);

    let found: Vec<_> = (0..40)
        .map(|key| address(&budgets.select(&parts(&format!("/{}", key % 20), None))))
        .collect();

    assert_eq!(found[..20], found[20..]);
    assert_eq!(HashSet::<_>::from_iter(found).len(), 20);
}

#[test]
fn threads_that_bring_the_same_keys_get_the_same_budgets() {
    for round in 0..50 {
        let budgets = by_path().max_keys(32);
        let start = Barrier::new(4);

        let found: Vec<Vec<_>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        (0..16)
                            .map(|key| budgets.select(&parts(&format!("/{key}"), None)))
                            .map(|budget| address(&budget))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });

        for other in &found[1..] {
            assert_eq!(*other, found[0], "round {round}");
        }
        assert_eq!(HashSet::<_>::from_iter(&found[0]).len(), 16);
        assert_eq!(budgets.taken.load(Ordering::Relaxed), 16, "round {round}");
    }
}
