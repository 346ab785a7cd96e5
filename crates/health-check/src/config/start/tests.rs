use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{Mode, ProbeBody, Resolved};

type Body = Full<Bytes>;
type Answer = std::io::Result<Response<Body>>;

fn health(value: Value) -> Config {
    serde_json::from_value(value).unwrap()
}

fn pool(value: Value) -> PoolConfig {
    serde_json::from_value(value).unwrap()
}

/// What probes have asked for, and the host that they said.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// All that they ask for is well, but what has `down` in it.
fn probes() -> (
    Asked,
    impl tower::Service<
        Request<ProbeBody>,
        Response = Response<Body>,
        Error = std::io::Error,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static,
) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let client = service_fn(move |request: Request<ProbeBody>| {
        let host = request.headers().get("host");
        let host = host.map(|host| host.to_str().unwrap().to_owned());
        let uri = request.uri().to_string();
        let mut response = Response::new(Body::default());
        if uri.contains("down") {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        seen.lock().unwrap().push((uri, host));
        std::future::ready(Ok::<_, std::io::Error>(response))
    });
    (asked, client)
}

/// Let every task that can go on go on: time is paused.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_is_probed_at_its_own_url() {
    let (asked, client) = probes();
    let config = pool(json!({"panic_threshold": 0, "endpoints": [
        {"url": "http://10.0.0.7:8080/v1/"}, {"url": "https://down.example", "weight": 3, "priority": 1},
    ]}));
    let watcher = Watcher::new(&health(json!({"path": "/healthz", "fall": 1})), client).unwrap();

    let pool = config.pool(Some(&watcher), Target::clone).unwrap();
    settle().await;

    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    let urls = [
        "http://10.0.0.7:8080/v1/healthz",
        "https://down.example/healthz",
    ];
    assert_eq!(asked, urls.map(|url| (url.to_owned(), None)));
    let members = pool.members();
    let seen: Vec<_> = members
        .iter()
        .map(|member| {
            (
                &*member.name,
                member.weight.get(),
                member.priority,
                member.usable,
            )
        })
        .collect();
    let expected = [("10.0.0.7:8080", 1, 0, true), ("down.example", 3, 1, false)];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn addresses_of_a_name_are_probed_by_that_name_and_leave_with_it() {
    let (asked, client) = probes();
    let config = pool(json!({"names": [
        {"host": "orders.example", "port": 8080}, {"host": "web.example", "port": 80, "min_ttl": "1s"},
    ]}));
    let known = Arc::new(Mutex::new("10.0.0.8"));
    let resolver = {
        let known = Arc::clone(&known);
        move |host: Arc<str>| {
            let address = match &*host {
                "orders.example" => "10.0.0.7",
                _ => *known.lock().unwrap(),
            };
            let found = Resolved::new([address.parse().unwrap()]);
            std::future::ready(Ok::<_, Box<dyn std::error::Error + Send + Sync>>(found))
        }
    };
    let watcher = Watcher::new(&health(json!({})), client).unwrap();
    let pool = config.pool(Some(&watcher), Target::clone).unwrap();
    assert!(pool.is_empty());

    config
        .follow(&pool, Some(&watcher), &resolver, &Target::clone)
        .unwrap();
    settle().await;

    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    let expected = [
        ("http://10.0.0.7:8080/", Some("orders.example:8080")),
        ("http://10.0.0.8:80/", Some("web.example")),
    ];
    assert_eq!(
        asked,
        expected.map(|(url, host)| (url.to_owned(), host.map(str::to_owned)))
    );
    *known.lock().unwrap() = "10.0.0.9";
    tokio::time::sleep(Duration::from_secs(2)).await;
    let names: Vec<_> = pool
        .members()
        .into_iter()
        .map(|member| member.name)
        .collect();
    assert_eq!(
        names,
        ["10.0.0.7:8080".into(), Arc::<str>::from("10.0.0.9:80")]
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_a_list_and_of_names_take_turns_by_one_limit() {
    for (limit, expected) in [(Value::Null, 100), (json!(5), 5)] {
        // How many probes run, and how many did at most.
        let seen = Arc::new(Mutex::new((0, 0)));
        let client = {
            let seen = Arc::clone(&seen);
            service_fn(move |_: Request<ProbeBody>| {
                let seen = Arc::clone(&seen);
                async move {
                    {
                        let (now, most) = &mut *seen.lock().unwrap();
                        *now += 1;
                        *most = (*most).max(*now);
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    seen.lock().unwrap().0 -= 1;
                    Answer::Ok(Response::new(Body::default()))
                }
            })
        };
        let listed: Vec<_> = (0..50)
            .map(|number| json!({"url": format!("http://a{number}")}))
            .collect();
        let config = pool(json!({
            "max_parallel_probes": limit, "endpoints": listed, "names": [{"host": "orders.example", "port": 8080}],
        }));
        let resolver = |_: Arc<str>| {
            let found = Resolved::new((0..50).map(|last| [10, 0, 0, last].into()));
            std::future::ready(Ok::<_, Box<dyn std::error::Error + Send + Sync>>(found))
        };
        let config_of_probes = json!({"timeout": "150ms", "initial": "pessimistic"});
        let watcher = Watcher::new(&health(config_of_probes), client).unwrap();

        let pool = config.pool(Some(&watcher), |_| ()).unwrap();
        config
            .follow(&pool, Some(&watcher), &resolver, &|_: &Target| ())
            .unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;

        let up = pool.members().iter().filter(|member| member.usable).count();
        assert_eq!((up, seen.lock().unwrap().1), (100, expected), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_share_the_accounting_and_calls_alone_eject() {
    let (asked, client) = probes();
    let config = pool(json!({"panic_threshold": 0, "endpoints": [
        {"url": "http://well:1"}, {"url": "http://fails:1"},
    ]}));
    let health = health(json!({"passive_only": true, "outlier_detection": {
        "consecutive_gateway_failures": 1, "max_ejection_percent": 50,
    }}));
    let watcher = Watcher::new(&health, client).unwrap();
    let make = |target: &Target| {
        let fails = target.url().host() == Some("fails");
        service_fn(move |_: Request<Body>| async move {
            let mut response = Response::new(Body::default());
            if fails {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            Answer::Ok(response)
        })
    };
    let pool = config.pool(Some(&watcher), make).unwrap();

    let mut failed = 0;
    for _ in 0..50 {
        let response = pool.clone().oneshot(Request::new(Body::default())).await;
        failed += usize::from(response.unwrap().status() != StatusCode::OK);
    }

    assert_eq!(failed, 1, "the first failure ejects it");
    settle().await;
    assert!(asked.lock().unwrap().is_empty(), "nobody probes");
}

#[tokio::test(start_paused = true)]
async fn one_upstream_has_its_monitor_and_its_gate() {
    let (asked, client) = probes();
    let limit = Duration::from_secs(3);
    let config = health(json!({
        "fall": 1, "gate": {"mode": "wait", "wait_limit": "3s", "name": "edge"}, "outlier_detection": {"trials": 2},
    }));

    let started = config.start(client.clone(), "http://down:1").unwrap();
    started.wait_for(State::Down).await;

    assert_eq!(started.name(), "http://down:1");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let detection = OutlierDetection::new().trials(2.try_into().unwrap());
    let code = HealthCheckLayer::new(started.clone())
        .mode(Mode::Wait { limit })
        .name("edge")
        .passive(detection.endpoint("http://down:1"));
    let data = config.layer(&started).unwrap();
    assert_eq!(format!("{data:?}"), format!("{code:?}"));

    let passive = health(json!({"passive_only": true, "outlier_detection": {}}));
    let fixed = passive.start(client.clone(), "http://down:1").unwrap();
    settle().await;
    assert!(fixed.is_up(), "nobody probes");
    for url in ["nowhere/", "orders:80", "tcp://orders:80"] {
        let mistake = config.start(client.clone(), url).unwrap_err();
        assert_eq!(mistake.to_string(), format!("must be a URL, is {url:?}"));
    }
    let tcp = health(json!({"tcp": {}}));
    assert_eq!(tcp.start(client, "orders:80").unwrap().name(), "orders:80");
}

#[tokio::test(start_paused = true)]
async fn by_grpc_each_endpoint_is_asked_and_watched_where_that_was_said() {
    for (watch, methods) in [(false, &["Check"][..]), (true, &["Watch", "Check"])] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let client = {
            let asked = Arc::clone(&asked);
            service_fn(move |request: Request<ProbeBody>| {
                asked.lock().unwrap().push(request.uri().to_string());
                // A server without the health service.
                let response = Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "12");
                std::future::ready(Answer::Ok(response.body(Body::default()).unwrap()))
            })
        };
        let config = pool(json!({"panic_threshold": 0, "endpoints": [{"url": "http://a:1"}]}));
        let grpc = json!({"watch": watch, "unimplemented_is_up": true});
        let health = health(json!({"initial": "pessimistic", "grpc": grpc}));
        let watcher = Watcher::new(&health, client.clone()).unwrap();

        let pool = config.pool(Some(&watcher), |_| ()).unwrap();
        settle().await;

        assert!(pool.members()[0].usable, "{watch}");
        let at = |method: &&str| format!("http://a:1/grpc.health.v1.Health/{method}");
        let expected: Vec<_> = methods.iter().map(at).collect();
        assert_eq!(*asked.lock().unwrap(), expected);
        let mistake = health.start(client, "a:1").unwrap_err();
        assert_eq!(mistake.to_string(), "must be a URL, is \"a:1\"");
    }
}

#[tokio::test]
async fn over_tcp_each_endpoint_is_asked_at_its_port() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, client) = probes();
    let config = pool(json!({"endpoints": [{"url": url}]}));
    let watcher = Watcher::new(&health(json!({"tcp": {}})), client).unwrap();

    let pool = config.pool(Some(&watcher), |_| ()).unwrap();
    listener.accept().await.unwrap();

    assert_eq!(pool.len(), 1);
    assert!(asked.lock().unwrap().is_empty());
    for (url, address) in [
        ("https://a", "a:443"),
        ("http://a", "a:80"),
        ("http://[::1]:7", "[::1]:7"),
    ] {
        assert_eq!(
            Target::new(url.parse().unwrap()).unwrap().address(),
            address
        );
    }
}
