//! What a check of a probe finds, and for how long it counts.

use super::*;

/// A probe with these results: `+` is a success, `!` a failure that decides at once, and all else a failure.
fn played(results: &str) -> impl Probe + use<> {
    let (count, script) = (AtomicU32::new(0), results.to_owned().into_bytes());
    move || {
        let at = count.fetch_add(1, Ordering::SeqCst) as usize;
        std::future::ready(match script[at] {
            b'+' => Ok(()),
            b'!' => Err(refused().decisive()),
            _ => Err(refused()),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn results_in_a_row_turn_a_check_of_a_probe() {
    // `+` and `-` are results, `!` is decisive; what comes out is whether it is ready.
    for (rise, fall, results, expected) in [
        (1, 1, "+-+-", "1010"),
        (1, 3, "+--+---+", "11111101"),
        (2, 1, "+-+-++", "100001"),
        (2, 3, "-++--+-", "0011111"),
        (3, 2, "+!+++", "10001"),
    ] {
        let probe = played(results);
        let check = Check::probe("db", probe)
            .max_age(Duration::ZERO)
            .rise(rise.try_into().unwrap())
            .fall(fall.try_into().unwrap());
        let endpoints = Endpoints::new().check(check).details(|_| true);

        let mut seen = String::new();
        for _ in 0..results.len() {
            advance(Duration::from_secs(1)).await;
            let (status, body) = get(&endpoints, "/readyz/db").await;
            seen.push(if status == 200 { '1' } else { '0' });
            assert!(
                status == 200 || body.contains("10.0.0.7:5432 refused, since"),
                "{body}"
            );
            assert_eq!(endpoints.is_ready(), status == 200);
        }

        assert_eq!(seen, expected, "{results} with rise {rise}, fall {fall}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_is_down_once_it_has_failed_for_so_long_and_so_often() {
    // As above, a look every 10 s, and `.` is none.
    for (row, seconds, fall, results, expected) in [
        ("no time", 0, 1, "+-+-", "1010"),
        ("long enough, to the second", 30, 1, "+-----", "111100"),
        ("not quite", 31, 1, "+-----", "111110"),
        ("a success begins it anew", 30, 1, "+---+----", "111111110"),
        ("often enough later", 20, 5, "+-----", "111110"),
        ("long enough later", 40, 2, "+-----", "111110"),
        ("up at once, then anew", 20, 1, "+---+---", "11101110"),
        (
            "nobody asked since the success",
            30,
            1,
            "+.....-",
            "1.....1",
        ),
        ("nobody asked while it failed", 30, 2, "+-...-", "11...0"),
        ("the first result of all", 30, 1, "--+--", "00111"),
        ("a decisive one", 30, 3, "+-!", "110"),
    ] {
        let probe = played(&results.replace('.', ""));
        let check = Check::probe("db", probe)
            .max_age(Duration::ZERO)
            .fall(fall.try_into().unwrap())
            .max_time_in_error(Duration::from_secs(seconds));
        let endpoints = Endpoints::new().check(check);

        let mut seen = String::new();
        for result in results.chars() {
            advance(Duration::from_secs(10)).await;
            seen.push(match result {
                '.' => '.',
                _ if get(&endpoints, "/readyz/db").await.0 == 200 => '1',
                _ => '0',
            });
        }

        assert_eq!(seen, expected, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_it_should_be_is_said_to_be_stale() {
    let limit = ProbeLimit::new(std::num::NonZeroUsize::MIN);
    let runs = Arc::new(AtomicU32::new(0));
    let once = move || {
        let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    };
    let monitor = |probe| {
        let monitor = Monitor::new(probe).interval(Duration::from_secs(10));
        monitor.jitter(0.0).probe_limit(limit.clone())
    };
    let waits = monitor(|| std::future::ready(Ok::<_, ProbeError>(()))).start();
    waits.wait_for(State::Up).await;
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let hour = Duration::from_secs(3600);
    let _hangs = Monitor::new(hangs)
        .timeout(hour)
        .probe_limit(limit.clone())
        .start();
    let asked = Monitor::new(once)
        .on_demand(Duration::from_secs(10))
        .start();
    asked.fresh().await;
    let endpoints = Endpoints::new()
        .required("waits", waits.clone())
        .required("asked", asked.clone())
        .required("fixed", Health::fixed(State::Up))
        .details(|_| true);
    let fresh = "[+]waits ok\n[+]asked ok\n[+]fixed ok\n[+]shutdown ok\nreadyz check passed\n";
    advance(Duration::from_secs(5)).await;
    assert_eq!(get(&endpoints, "/readyz?verbose").await.1, fresh);
    assert_eq!((waits.overdue(), asked.overdue()), (None, None));

    advance(Duration::from_secs(60)).await;

    // It waits for 800 ms for the one that is asked.
    let (status, body) = get(&endpoints, "/readyz?verbose").await;
    let late = "ok: stale, a check was due 55s ago\n";
    let expected = format!("[+]waits {late}[+]asked {late}[+]fixed ok\n");
    assert_eq!(status, 200);
    assert!(body.starts_with(&expected), "{body}");
    let (_, _, json) = ask(
        &endpoints,
        &Method::GET,
        "/readyz/waits",
        "application/json",
    )
    .await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["checks"]["waits"][0]["details"]["overdue_seconds"], 55);
    let (_, _, html) = ask(&endpoints, &Method::GET, "/readyz/waits", "text/html").await;
    assert!(
        html.contains("<td>pass<td>stale, a check was due 5"),
        "{html}"
    );
    let all = endpoints.clone().details(|_| false);
    assert!(!get(&all, "/readyz/waits?verbose").await.1.contains("stale"));
}

/// Counts its runs, each of which takes this long.
fn counted(time: Duration) -> (Arc<AtomicU32>, impl Probe) {
    let runs = Arc::new(AtomicU32::new(0));
    let probe = {
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    };
    (runs, probe)
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_share_one_probe_and_those_who_ask_soon_its_result() {
    let (runs, probe) = counted(Duration::from_millis(100));
    let endpoints = Endpoints::new().check(Check::probe("db", probe));

    let (one, other, third) = tokio::join!(
        get(&endpoints, "/readyz"),
        get(&endpoints, "/readyz"),
        get(&endpoints, "/healthz")
    );
    assert_eq!((one.0, other.0, third.0), (200, 200, 200));
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    advance(Duration::from_millis(999)).await;
    get(&endpoints, "/readyz").await;
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it is not a second old");
    advance(Duration::from_millis(1)).await;
    get(&endpoints, "/readyz").await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// `+` is a success, `g` one that is degraded, `-` a failure; what comes out is the first sign of the line.
#[tokio::test(start_paused = true)]
async fn what_is_up_and_degraded_is_a_warning_with_its_reason() {
    let looks = "+gg-+--gg+";
    let scripted = || {
        let count = AtomicU32::new(0);
        move || {
            let at = count.fetch_add(1, Ordering::SeqCst) as usize;
            let slow = ProbeError::new(ErrorKind::DestinationUnavailable, "slow").degraded();
            std::future::ready(match looks.as_bytes().get(at) {
                Some(b'g') => Err(slow),
                Some(b'-') => Err(refused()),
                _ => Ok(()),
            })
        }
    };
    let two = 2.try_into().unwrap();
    let second = Duration::from_secs(1);
    let health = Monitor::new(scripted()).interval(second).jitter(0.0);
    let health = health.rise(two).fall(two).start();
    let check = Check::probe("probe", scripted()).rise(two).fall(two);
    let endpoints = Endpoints::new()
        .required("health", health)
        .check(check)
        .details(|_| true);
    let strict = StatusMapping::new().degraded_is_down(true);
    let strict = endpoints.clone().mapping(HealthPath::Health, strict);
    tokio::time::sleep(Duration::from_millis(1)).await;

    let mut seen = [String::new(), String::new()];
    for _ in 0..looks.len() {
        for (name, seen) in ["health", "probe"].into_iter().zip(&mut seen) {
            let (status, body) = get(&endpoints, &format!("/readyz/{name}?verbose")).await;
            let sign = body.chars().nth(1).unwrap();
            assert_eq!(status == 503, sign == '-', "{body}");
            let reason = "degraded: destination_unavailable: slow, since ";
            assert_eq!(sign == '~', body.contains(reason), "{body}");
            let strictly = get(&strict, &format!("/healthz/{name}")).await.0;
            assert_eq!(strictly == 200, sign == '+', "{body}");
            seen.push(sign);
        }
        advance(second).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    // One failure, and one success while it is down, turn nothing.
    assert_eq!(seen, ["+~~~++--~+", "+~~~++--~+"]);
    let json = ask(&endpoints, &Method::GET, "/readyz", "application/json")
        .await
        .2;
    assert!(json.contains(r#""status":"pass""#), "{json}");
}

#[tokio::test(start_paused = true)]
async fn what_is_degraded_is_so_since_it_became_that() {
    let began = Instant::now();
    let probe = move || {
        let busy = ProbeError::new(ErrorKind::DestinationUnavailable, "busy").degraded();
        let is_degraded = (5..9).contains(&began.elapsed().as_secs());
        std::future::ready(if is_degraded { Err(busy) } else { Ok(()) })
    };
    let second = Duration::from_secs(1);
    let health = Monitor::new(probe).interval(second).jitter(0.0).start();
    let endpoints = Endpoints::new()
        .required("health", health)
        .check(Check::probe("probe", probe))
        .details(|_| true);

    for (seconds, expected) in [(1, 1), (4, 4), (5, 0), (7, 2), (10, 10)] {
        for name in ["health", "probe"] {
            let _asked_before = get(&endpoints, "/readyz").await;
            tokio::time::sleep_until(began + second * seconds + second / 2).await;
            let path = format!("/readyz/{name}");
            let json = ask(&endpoints, &Method::GET, &path, "application/json")
                .await
                .2;
            let since = format!("\"since_seconds\":{expected}");
            assert!(json.contains(&since), "after {seconds}: {json}");
        }
    }
}

/// A dependency that is down is not asked more often for it.
#[tokio::test(start_paused = true)]
async fn a_failure_is_told_again_as_long_as_a_success() {
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let fails = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Err(refused()))
    };
    let endpoints = Endpoints::new().check(Check::probe("db", fails));

    for (millis, expected) in [(0, 1), (999, 1), (1, 2), (500, 2)] {
        advance(Duration::from_millis(millis)).await;
        for path in ["/readyz", "/healthz", "/readyz/db"] {
            assert_eq!(get(&endpoints, path).await.0, 503, "{path}");
        }
        assert_eq!(runs.load(Ordering::SeqCst), expected, "{millis}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_and_goes_leaves_the_probe_to_the_next() {
    let (runs, probe) = counted(Duration::from_millis(100));
    let endpoints = Endpoints::new().check(Check::probe("db", probe).max_age(Duration::ZERO));
    let first = tokio::time::timeout(Duration::from_millis(50), get(&endpoints, "/readyz"));

    let (first, second) = tokio::join!(first, get(&endpoints, "/readyz"));

    assert!(first.is_err(), "it went");
    assert_eq!(second.0, 200);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_the_endpoints() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let probe = move || {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(())
        }
    };
    let check = Check::probe("db", probe).timeout(Duration::from_secs(3600));
    let endpoints = Endpoints::new().check(check);
    let asked = tokio::time::timeout(Duration::from_millis(50), get(&endpoints, "/readyz"));
    assert!(asked.await.is_err(), "it went");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&alive), 3, "the probe goes on");

    drop(endpoints);
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A second probe, for who has waited already, came too late for Kubernetes, and that counted as down.
#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_probe_is_told_what_it_finds() {
    for (takes, expected) in [(500, (200, 500)), (900, (503, 800))] {
        let (runs, probe) = counted(Duration::from_millis(takes));
        let endpoints = Endpoints::new().check(Check::probe("db", probe));
        let began = Instant::now();
        let first = tokio::time::timeout(Duration::from_millis(400), get(&endpoints, "/readyz"));
        let timed = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let answer = get(&endpoints, "/readyz").await;
            (answer.0, began.elapsed().as_millis())
        };

        let (_, second) = tokio::join!(first, timed);

        assert_eq!(second, expected);
        assert_eq!(runs.load(Ordering::SeqCst), 1, "one for both");
        assert_eq!(endpoints.is_ready(), expected.0 == 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_waits_less_counts_what_was_known_and_no_failure() {
    let (runs, slow) = (Arc::new(AtomicU32::new(0)), Duration::from_secs(3));
    let probe = {
        let runs = Arc::clone(&runs);
        move || {
            let late = runs.fetch_add(1, Ordering::SeqCst) != 1;
            async move {
                if late {
                    tokio::time::sleep(slow).await;
                }
                Ok(())
            }
        }
    };
    let check = Check::probe("db", probe).max_age(Duration::ZERO);
    let patient = Endpoints::new().check(check.clone().timeout(Duration::from_secs(5)));
    let hasty = Endpoints::new().check(check).details(|_| true);

    let (_, first) = tokio::join!(get(&patient, "/readyz"), get(&hasty, "/readyz"));
    assert_eq!(first.0, 503, "nothing is known");
    assert!(first.1.contains("no result within 800ms"), "{}", first.1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(get(&hasty, "/readyz").await.0, 200);
    advance(Duration::from_secs(1)).await;
    let verbose = get(&hasty, "/readyz?verbose");
    let (_, third) = tokio::join!(get(&patient, "/readyz"), verbose);
    assert_eq!(third.0, 200, "it is up, as far as is known");
    assert!(third.1.contains("stale"), "{}", third.1);
}

/// Serial checks, each within its time, summed up to more than the kubelet waits: the fleet was killed at each deploy.
#[tokio::test(start_paused = true)]
async fn checks_run_at_once_and_one_that_hangs_or_panics_is_down_alone() {
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let panics = || async { panic!("the probe panics") };
    let mut endpoints = Endpoints::new()
        .check(Check::probe("panics", panics))
        .check(Check::probe("fine", || async { Ok(()) }));
    for name in ["a", "b", "c"] {
        endpoints = endpoints.check(Check::probe(name, hangs));
    }
    let start = Instant::now();

    let (status, body) = get(&endpoints.details(|_| true), "/readyz").await;

    assert_eq!(start.elapsed(), Duration::from_millis(800));
    assert_eq!(status, 503);
    for line in [
        "[-]panics failed: proxy_internal_error: the probe panicked",
        "[+]fine ok",
        "[-]c failed: http_response_timeout: no result within 800ms",
    ] {
        assert!(body.contains(line), "{line}: {body}");
    }
}
