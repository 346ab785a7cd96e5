use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use portcullis_gateway_error::ErrorKind;
use tokio::time::{Instant, advance};
use tower::ServiceExt;

use super::*;
use crate::health_proto::ServingStatus;
use crate::{Initial, Monitor, Override, Probe, ProbeError, ProbeLimit, State};

async fn ask(
    endpoints: &Endpoints,
    method: &Method,
    path: &str,
    accept: &str,
) -> (u16, HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = endpoints.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), head.headers, body)
}

async fn get(endpoints: &Endpoints, path: &str) -> (u16, String) {
    let (status, headers, body) = ask(endpoints, &Method::GET, path, "*/*").await;
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
    (status, body)
}

fn refused() -> ProbeError {
    ProbeError::new(ErrorKind::ConnectionRefused, "10.0.0.7:5432 refused")
}

fn endpoints() -> Endpoints {
    Endpoints::new()
        .required("orders", Health::fixed(State::Down))
        .required("users", Health::fixed(State::Up))
        .degraded("cache", Health::fixed(State::Down))
        .check(Check::live("loop", || async { Ok(()) }))
        .check(Check::health("warm", Health::fixed(State::Up)).startup())
}

#[tokio::test]
async fn the_text_is_that_of_the_apiserver() {
    let failed = "[-]orders failed: reason withheld\n";
    let fine = "[+]users ok\n[~]cache degraded: reason withheld\n[+]warm ok\n[+]shutdown ok\n";
    for (path, status, body) in [
        ("/livez", 200, "ok".to_owned()),
        ("/livez?verbose", 200, "[+]loop ok\nlivez check passed\n".to_owned()),
        ("/livez/loop", 200, "ok".to_owned()),
        ("/livez/orders", 404, "no such check\n".to_owned()),
        ("/startupz?verbose", 200, "[+]warm ok\nstartupz check passed\n".to_owned()),
        ("/readyz", 503, format!("{failed}{fine}readyz check failed\n")),
        ("/readyz?exclude=orders", 200, "ok".to_owned()),
        (
            "/readyz?verbose&exclude=orders",
            200,
            format!("[+]orders excluded: ok\n{fine}readyz check passed\n"),
        ),
        (
            "/readyz?exclude=cache&exclude=users&exclude=orders&exclude=warm&verbose",
            200,
            "[+]orders excluded: ok\n[+]users excluded: ok\n[+]cache excluded: ok\n[+]warm excluded: ok\n[+]shutdown ok\nreadyz check passed\n".to_owned(),
        ),
        (
            "/livez?verbose&exclude=no%22ne&exclude=b+c",
            200,
            "[+]loop ok\nwarn: some health checks cannot be excluded: no matches for \"no\\\"ne\", \"b c\"\nlivez check passed\n".to_owned(),
        ),
        ("/healthz?exclude=orders&exclude=cache", 200, "ok".to_owned()),
        ("/healthz", 503, format!("{failed}[+]users ok\n[~]cache degraded: reason withheld\n[+]loop ok\n[+]warm ok\n[+]shutdown ok\nhealthz check failed\n")),
        ("/readyz/users", 200, "ok".to_owned()),
        ("/readyz/orders", 503, format!("{failed}readyz check failed\n")),
        (
            "/readyz/cache?verbose",
            200,
            "[~]cache degraded: reason withheld\nreadyz check passed\n".to_owned(),
        ),
        ("/readyz/none", 404, "no such check\n".to_owned()),
        ("/other", 404, "not found\n".to_owned()),
        ("/readyzz", 404, "not found\n".to_owned()),
    ] {
        assert_eq!(get(&endpoints(), path).await, (status, body), "{path}");
    }
}

#[tokio::test]
async fn the_checks_of_a_tag_are_a_group() {
    let check = |name: &str, state| Check::health(name, Health::fixed(state)).tag("orders.v1");
    let endpoints = Endpoints::new()
        .required("users", Health::fixed(State::Down))
        .check(check("db", State::Up))
        .check(check("cache", State::Down).degraded())
        .check(check("db2", State::Down).tag("db"))
        .check(Check::live("loop", || async { Ok(()) }).tag("orders.v1"));
    for (path, status, body) in [
        (
            "/readyz/orders.v1?verbose&exclude=db2",
            200,
            "[+]db ok\n[~]cache degraded: reason withheld\n[+]db2 excluded: ok\n[+]shutdown ok\nreadyz check passed\n",
        ),
        (
            "/readyz/orders.v1",
            503,
            "[+]db ok\n[~]cache degraded: reason withheld\n[-]db2 failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n",
        ),
        (
            "/livez/orders.v1?verbose",
            200,
            "[+]loop ok\nlivez check passed\n",
        ),
        ("/readyz/db?verbose", 200, "[+]db ok\nreadyz check passed\n"),
        ("/startupz/orders.v1", 404, "no such check\n"),
        ("/readyz/orders", 404, "no such check\n"),
    ] {
        assert_eq!(
            get(&endpoints, path).await,
            (status, body.to_owned()),
            "{path}"
        );
    }

    endpoints.drain();

    let (status, body) = get(&endpoints, "/readyz/orders.v1?exclude=db2").await;
    assert!(
        status == 503 && body.contains("[-]shutdown failed"),
        "{body}"
    );
    assert_eq!(
        get(&endpoints, "/readyz/db").await.0,
        200,
        "one check alone"
    );
}

#[tokio::test(start_paused = true)]
async fn each_path_has_its_own_mapping() {
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let unknown = Monitor::new(hangs).start();
    let teapot = StatusMapping::new().down(StatusCode::IM_A_TEAPOT);
    let endpoints = || {
        Endpoints::new()
            .required("up", Health::fixed(State::Up))
            .mapping(HealthPath::Health, teapot)
    };
    let degraded = endpoints().degraded("cache", Health::fixed(State::Down));
    let unknown = endpoints().required("orders", unknown);
    let down = endpoints().required("orders", Health::fixed(State::Down));
    let mapped = StatusMapping::new();
    for (row, endpoints, mapping, expected) in [
        ("degraded", &degraded, mapped, [200, 200]),
        (
            "degraded is down",
            &degraded,
            mapped.degraded_is_down(true),
            [503, 200],
        ),
        ("unknown", &unknown, mapped, [200, 200]),
        (
            "unknown is down",
            &unknown,
            mapped.unknown_is_down(true),
            [503, 200],
        ),
        ("down", &down, mapped, [503, 418]),
        (
            "another status",
            &down,
            mapped.down(StatusCode::GONE),
            [410, 418],
        ),
        (
            "no failure",
            &down,
            mapped.down(StatusCode::NO_CONTENT),
            [503, 418],
        ),
    ] {
        let endpoints = endpoints.clone().mapping(HealthPath::Ready, mapping);
        for (path, expected) in ["/readyz", "/healthz"].into_iter().zip(expected) {
            assert_eq!(get(&endpoints, path).await.0, expected, "{row}: {path}");
        }
        assert_eq!(endpoints.is_ready(), expected[0] == 200, "{row}");
        let serving = endpoints.serving("").await == ServingStatus::Serving;
        assert_eq!(serving, expected[0] == 200, "{row}");
    }
    let strict = unknown.mapping(HealthPath::Ready, mapped.unknown_is_down(true));
    let (_, body) = get(&strict.details(|_| true), "/readyz/orders").await;
    assert!(
        body.starts_with("[-]orders failed: no result yet"),
        "{body}"
    );
}

#[tokio::test]
async fn an_answer_may_be_kept_where_that_was_said() {
    let cached = endpoints().cache_for(Duration::from_millis(2500));
    let detailed = cached.clone().details(|_| true);
    for (row, endpoints, path, expected) in [
        ("nothing said", &endpoints(), "/readyz", "no-store"),
        ("down", &cached, "/readyz", "max-age=2"),
        ("up", &cached, "/livez", "max-age=2"),
        ("no check", &cached, "/livez/none", "no-store"),
        ("for one alone", &detailed, "/readyz", "private, max-age=2"),
        (
            "less than a second",
            &endpoints().cache_for(Duration::from_millis(900)),
            "/livez",
            "no-store",
        ),
    ] {
        let (_, headers, _) = ask(endpoints, &Method::GET, path, "*/*").await;
        assert_eq!(headers[header::CACHE_CONTROL], expected, "{row}");
    }
}

/// As Envoy's `/healthcheck/fail` and `/healthcheck/ok`, and HAProxy's `maint` and `ready`.
#[tokio::test]
async fn somebody_can_take_the_service_out_and_put_it_back() {
    let by_hand = Health::fixed(State::Up);
    let endpoints = Endpoints::new().required("operator", by_hand.clone());

    for (decided, ready) in [
        (Some(Override::Drain), 503),
        (None, 200),
        (Some(Override::Down), 503),
    ] {
        match decided {
            Some(decided) => by_hand.force(decided),
            None => by_hand.release(),
        }
        assert_eq!(get(&endpoints, "/readyz").await.0, ready, "{decided:?}");
        assert_eq!(get(&endpoints, "/livez").await.0, 200, "{decided:?}");
    }
}

#[tokio::test]
async fn draining_fails_readiness_and_not_liveness() {
    let db = Health::fixed(State::Up);
    let endpoints = Endpoints::new().check(Check::health("db", db.clone()).tag("orders.v1"));
    assert_eq!(get(&endpoints, "/readyz").await.0, 200);

    endpoints.drain();

    assert!(!endpoints.is_ready());
    let (status, headers, body) = ask(&endpoints, &Method::GET, "/readyz", "").await;
    let said = "[+]db ok\n[-]shutdown failed: draining\nreadyz check failed\n";
    assert_eq!((status, body.as_str()), (503, said));
    assert_eq!(headers["x-envoy-immediate-health-check-fail"], "true");
    assert_eq!(get(&endpoints, "/livez").await.0, 200);
    // For good, whatever is said of a check later.
    db.force(Override::Up);
    assert!(!endpoints.is_ready());
    for service in ["", "orders.v1"] {
        let status = endpoints.serving(service).await;
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
}

#[tokio::test]
async fn a_start_is_waited_for_where_that_was_said() {
    let endpoints = Endpoints::new().starting();
    for (path, expected) in [("/livez", 200), ("/startupz", 503), ("/readyz", 503)] {
        assert_eq!(get(&endpoints, path).await.0, expected, "{path}");
    }

    endpoints.started();

    for path in ["/livez", "/startupz", "/readyz", "/healthz"] {
        assert_eq!(get(&endpoints, path).await.0, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_yet_has_not_started_though_it_may_be_called() {
    let hangs = || std::future::pending::<Result<(), ProbeError>>();
    let health = Monitor::new(hangs).initial(Initial::Optimistic).start();
    let endpoints = Endpoints::new().check(Check::health("orders", health).startup());

    assert_eq!(get(&endpoints, "/readyz").await.0, 200);
    assert_eq!(get(&endpoints, "/startupz").await.0, 503);
}

#[tokio::test]
async fn methods_and_forms_are_those_of_http() {
    let (status, headers, body) = ask(&endpoints(), &Method::POST, "/readyz", "*/*").await;
    assert_eq!(
        (status, &headers[header::ALLOW]),
        (405, &"GET, HEAD".parse().unwrap()),
        "{body}"
    );

    let (status, headers, body) = ask(&endpoints(), &Method::HEAD, "/livez", "*/*").await;
    assert_eq!(
        (status, &headers[header::CONTENT_LENGTH], body.as_str()),
        (200, &"2".parse().unwrap(), "")
    );

    let accept = "application/health+json";
    let (status, headers, body) =
        ask(&endpoints(), &Method::GET, "/readyz?exclude=none", accept).await;
    assert_eq!(
        (status, &headers[header::CONTENT_TYPE]),
        (503, &accept.parse().unwrap())
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["status"], "fail");
    assert_eq!(
        json["checks"]["cache"],
        serde_json::json!([{"status": "warn"}])
    );
    assert_eq!(json["checks"]["users"][0]["status"], "pass");
    assert_eq!(
        json["notes"][0],
        "some health checks cannot be excluded: no matches for \"none\""
    );

    let strange = Endpoints::new().required("<b>&", Health::fixed(State::Up));
    let (status, headers, body) = ask(&strange, &Method::GET, "/readyz", "text/html").await;
    assert_eq!(status, 200);
    assert_eq!(headers[header::VARY], "accept");
    assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert!(
        body.contains("<th scope=\"row\">&lt;b&gt;&amp;<td>pass"),
        "{body}"
    );
}

#[tokio::test]
async fn json_says_which_instance_of_which_version_it_is() {
    let accept = "application/health+json";
    let json = async |endpoints: &Endpoints, path: &str| {
        let (_, _, body) = ask(endpoints, &Method::GET, path, accept).await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };

    let said = endpoints().service_id("orders-7").version("2");

    for path in ["/livez", "/readyz"] {
        let json = json(&said, path).await;
        assert_eq!(
            (&json["serviceId"], &json["version"]),
            (&"orders-7".into(), &"2".into())
        );
    }
    let unsaid = json(&endpoints(), "/livez").await;
    assert_eq!(unsaid.get("serviceId"), None);
    assert_eq!(unsaid.get("version"), None);
    let (_, text) = get(&said, "/livez?verbose").await;
    assert!(
        !text.contains("orders-7"),
        "the text stays that of the apiserver: {text}"
    );
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
        let (count, script) = (Arc::new(AtomicU32::new(0)), results.as_bytes());
        let probe = move || {
            let at = count.fetch_add(1, Ordering::SeqCst) as usize;
            std::future::ready(match script[at] {
                b'+' => Ok(()),
                b'!' => Err(refused().decisive()),
                _ => Err(refused()),
            })
        };
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
        let script = results.replace('.', "").into_bytes();
        let count = Arc::new(AtomicU32::new(0));
        let probe = move || {
            let at = count.fetch_add(1, Ordering::SeqCst) as usize;
            std::future::ready(match script[at] {
                b'+' => Ok(()),
                b'!' => Err(refused().decisive()),
                _ => Err(refused()),
            })
        };
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
async fn details_are_for_whom_the_predicate_lets_see_them() {
    let health = Monitor::new(|| async { Err(refused()) })
        .interval(Duration::from_secs(10))
        .jitter(0.0)
        .start();
    health.wait_for(State::Down).await;
    let endpoints = Endpoints::new()
        .required("db", health)
        .details(|head| head.uri.query() == Some("verbose"));
    advance(Duration::from_secs(4)).await;

    let (_, body) = get(&endpoints, "/readyz/db?verbose").await;
    assert_eq!(
        body,
        "[-]db failed: connection_refused: 10.0.0.7:5432 refused, since 4s, next check in 6s\nreadyz check failed\n"
    );
    let accept = "application/json";
    let (_, _, json) = ask(&endpoints, &Method::GET, "/readyz/db?verbose", accept).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["checks"]["db"][0],
        serde_json::json!({
            "status": "fail",
            "output": "connection_refused: 10.0.0.7:5432 refused",
            "details": {"since_seconds": 4, "next_check_seconds": 6},
        })
    );
    let (_, body) = get(&endpoints, "/readyz/db").await;
    assert_eq!(body, "[-]db failed: reason withheld\nreadyz check failed\n");
}

/// Ages pass without a look where probes wait for their turn, or where one on demand does not end in the time of the report.
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

#[tokio::test(start_paused = true)]
async fn the_drain_waits_for_its_delay_and_for_what_is_in_flight() {
    let endpoints = Endpoints::new();
    let first = endpoints.lifecycle.enter();
    let second = endpoints.lifecycle.enter();
    let start = Instant::now();
    let ends = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(second);
    };
    let seconds = Duration::from_secs;

    let drain = endpoints.drain().delay(seconds(10)).in_flight(seconds(30));
    assert!(!endpoints.is_ready(), "at once");
    let (left, ()) = tokio::join!(drain.into_future(), ends);
    assert_eq!((left, start.elapsed()), (0, seconds(15)));

    let _hangs = endpoints.lifecycle.enter();
    let start = Instant::now();
    let left = endpoints.drain().in_flight(seconds(30)).await;
    assert_eq!((left, start.elapsed()), (1, seconds(30)));
}

#[test]
fn a_check_is_replaced_by_one_of_its_name_and_told_by_debug() {
    let twice = Endpoints::new()
        .required("db", Health::fixed(State::Down))
        .required("db", Health::fixed(State::Up));

    assert!(twice.is_ready());
    assert_eq!(twice.checks.len(), 1);
    assert!(format!("{twice:?}").contains("required: true"));
}
