//! The status page as people see it: in a headless Chromium, with a script and without, in light and dark, by keys, and through axe-core.

use std::convert::Infallible;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Named, State as With};
use axum::routing::post;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::gateway_error::ErrorKind;
use portcullis::health_check::{
    Admission, Endpoints, Health, Member, Monitor, Observed, OutlierDetection, Override,
    PageEndpoint, Pool, PoolSettings, ProbeError, State, StatusPage, StatusPageLayer,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use tower::{ServiceExt, service_fn};

use crate::gateway::ask;
use crate::processes::{folder, gateway, node_modules, program, send};

/// A monitor whose probes take a while that changes, and of which some fail.
fn monitored(name: &str, fails: fn(u64) -> bool) -> Health {
    let began = Instant::now();
    let probe = move || async move {
        let second = began.elapsed().as_secs();
        sleep(Duration::from_millis(8 + second * second % 37)).await;
        let refused = || ProbeError::new(ErrorKind::ConnectionRefused, "10.0.0.7:8080 refused");
        (!fails(second)).then_some(()).ok_or_else(refused)
    };
    Monitor::new(probe).name(name).seed(7).start()
}

/// A pool of two endpoints, of which one has failed for a while, and what calls it.
fn pool() -> (
    Pool<impl Clone + Send + Sync + 'static>,
    impl Future<Output = ()> + Send,
) {
    let outliers = OutlierDetection::new()
        .seed(7)
        .max_ejection_percent(50)
        .start();
    let pool = PoolSettings::new().upstream("users").seed(7).pool();
    let began = Instant::now();
    for name in ["10.0.1.1:9000", "10.0.1.2:9000"] {
        let service = service_fn(move |_: Request<String>| async move {
            let second = began.elapsed().as_secs();
            sleep(Duration::from_millis(3 + second % 11)).await;
            let fails = name.contains(".2:") && second % 400 > 200;
            let mut response = Response::new(String::new());
            if fails {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            Ok::<_, Infallible>(response)
        });
        pool.insert(Member::new(name, service).passive(outliers.endpoint(name)));
    }
    let caller = pool.clone();
    let calls = async move {
        loop {
            // Whatever comes of it is what the page shows.
            let _ = caller.clone().oneshot(Request::new(String::new())).await;
            sleep(Duration::from_millis(500)).await;
        }
    };
    (pool, calls)
}

async fn turn(With(health): With<Health>, Named(to): Named<String>) {
    match &*to {
        "down" => health.force(Override::Down),
        _ => health.release(),
    }
}

/// Ten minutes of a few upstreams, which pass in no time; then a server with their page, in real time.
async fn serve() -> String {
    let a = monitored("a", |_| false);
    let b = monitored("b", |second| second % 200 > 150);
    let c = monitored("c", |second| second > 30);
    let drained = monitored("d", |_| false);
    let markup = "<img src=x onerror=alert(1)>";
    let (pool, calls) = pool();
    let ejected = OutlierDetection::new().endpoint("10.0.1.3:9000");
    let page = StatusPage::new(Endpoints::new().details(|_| true))
        .health("orders", a.clone())
        .health("orders", b)
        .health("orders", c.clone())
        .health("orders", drained.clone())
        .pool("users", &pool)
        .endpoint(
            "users",
            PageEndpoint::new("10.0.1.3:9000").passive(ejected.clone()),
        )
        .endpoint(
            markup,
            PageEndpoint::new(markup).health(Health::fixed(State::Unknown)),
        )
        .endpoint(markup, PageEndpoint::new("unwatched"));
    tokio::spawn(calls);
    sleep(Duration::from_secs(615)).await;
    drained.force(Override::Drain);
    a.force(Override::Down);
    sleep(Duration::from_secs(20)).await;
    a.release();
    while let Admission::Pass(pass) = ejected.admit() {
        pass.settle(Observed::GatewayFailure);
    }
    assert_eq!(c.state(), State::Down);
    tokio::time::resume();

    let app = Router::new()
        .route("/turn/a/{to}", post(turn))
        .with_state(a)
        .layer(StatusPageLayer::new(page));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    url
}

/// The folder for what whoever runs the tests looks at afterwards.
fn artefacts() -> PathBuf {
    let folder = env::var_os("PORTCULLIS_ARTEFACTS").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("artefacts"),
        PathBuf::from,
    );
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What the browser saw.
async fn look(test: &str) -> Option<Value> {
    let chromium = program("chromium", test)?;
    let node = program("node", test)?;
    let modules = node_modules(test, include_str!("status_page/package.json"))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/status_page/browser.cjs");
    let url = serve().await;
    let looking = Command::new(node)
        .arg(script)
        .arg(chromium)
        .arg(url)
        .arg(artefacts())
        .env("NODE_PATH", modules)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(180), looking).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn people_read_the_page_in_any_light_by_keys_and_without_a_script() {
    let test = "people_read_the_page_in_any_light_by_keys_and_without_a_script";
    let Some(seen) = look(test).await else {
        return;
    };

    for (name, back) in [
        ("light", "rgb(255, 255, 255)"),
        ("dark", "rgb(21, 21, 26)"),
        ("forced", ""),
    ] {
        let looks = &seen[name];
        assert_eq!(looks["status"], 200, "{name}");
        assert!(
            strings(&looks["wrong"]).is_empty(),
            "{name}: {}",
            looks["wrong"]
        );
        assert_eq!(
            strings(&looks["asked"]),
            ["/status", "/status/events"],
            "{name}: nothing else is loaded"
        );
        assert!(
            back.is_empty() || looks["colors"][0] == back,
            "{name}: {}",
            looks["colors"]
        );
        assert_eq!(
            looks["wide"], 0,
            "{name}: the page itself does not scroll sideways"
        );
        for form in ["closed", "opened"] {
            let axe = &looks[form];
            assert!(
                strings(&axe["violations"]).is_empty(),
                "{name}, {form}: {:#}",
                axe["violations"]
            );
            let undecided = strings(&axe["undecided"]);
            assert!(
                name == "forced" || undecided.is_empty(),
                "{name}, {form}: {undecided:#?}"
            );
            for rule in ["color-contrast", "svg-img-alt", "region"] {
                assert!(
                    name == "forced" || strings(&axe["rules"]).contains(&rule),
                    "{name}: {rule} had something to look at"
                );
            }
        }
    }

    let changes = &seen["changes"];
    assert!(
        strings(&changes["wrong"]).is_empty(),
        "{}",
        changes["wrong"]
    );
    assert_eq!(changes["mark"], "not loaded again");
    assert!(
        changes["after"]["summary"]
            .as_str()
            .unwrap()
            .contains("orders / a is forced down"),
        "{changes:#}"
    );
    assert_eq!(
        changes["after"]["title"], changes["after"]["summary"],
        "{changes:#}"
    );
    assert_ne!(changes["after"]["title"], changes["before"], "{changes:#}");
    assert!(
        changes["first"].as_str().unwrap().starts_with("up to down"),
        "{changes:#}"
    );
    assert_eq!(
        (&changes["open"], &changes["focused"]),
        (&true.into(), &true.into()),
        "what was open and focused stays so"
    );
    assert!(
        changes["paused"].as_str().unwrap().contains("forced down"),
        "{changes:#}"
    );
    assert_eq!(changes["moving"], 0);

    let keys = &seen["keys"];
    assert!(strings(&keys["wrong"]).is_empty(), "{}", keys["wrong"]);
    assert_eq!(
        strings(&keys["reached"]).len() as u64,
        keys["wanted"],
        "{keys:#}"
    );
    assert!(
        strings(&keys["dim"]).is_empty(),
        "the focus is seen: {keys:#}"
    );
    assert_eq!(
        (&keys["opened"], &keys["wide"]),
        (&true.into(), &0.into()),
        "{keys:#}"
    );
    assert!(
        strings(&keys["narrow"]["violations"]).is_empty(),
        "{keys:#}"
    );
    let rules = strings(&keys["narrow"]["rules"]);
    assert!(rules.contains(&"scrollable-region-focusable"), "{rules:?}");

    let words = strings(&seen["lost"]["words"]);
    assert_eq!(
        words.len(),
        4,
        "times go on in the words of the server: {words:?}"
    );

    let plain = &seen["plain"];
    assert!(strings(&plain["wrong"]).is_empty(), "{}", plain["wrong"]);
    assert_eq!(
        strings(&plain["asked"]),
        ["/status"],
        "without a script nothing is asked for"
    );
    assert!(
        plain["hint"].as_str().unwrap().contains("load it again"),
        "{plain:#}"
    );
    assert_eq!(
        (&plain["controls"], &plain["list"]),
        (&false.into(), &true.into()),
        "{plain:#}"
    );
    assert_eq!(
        (&plain["tables"], &plain["images"]),
        (&3.into(), &0.into()),
        "{plain:#}"
    );
    for text in [
        "10.0.1.2:9000",
        "connection_refused: 10.0.0.7:8080 refused",
        "drained",
        "ejected now, ejected 1 time, last because of consecutive_gateway_failures",
        "<img src=x onerror=alert(1)>",
    ] {
        assert!(
            plain["text"].as_str().unwrap().contains(text),
            "{text}: {plain:#}"
        );
    }
}

/// Whoever looks at the page of a gateway holds up neither what it forwards nor its end.
#[tokio::test]
async fn the_gateway_shows_what_it_forwards_to_and_ends_while_somebody_looks() {
    let file = folder("status_page").join("gateway.yaml");
    let text = "status_page: {path: /__status, listeners: 1}\n\
                shutdown: {delay: 0s, timeout: 30s}\n\
                stack: {health_endpoints: {details: true}}\n";
    std::fs::write(&file, text).unwrap();
    let (mut gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    let (page, events) = (format!("{url}/__status"), format!("{url}/__status/events"));

    let (head, looked) = ask(Method::GET, &page, &[("accept", "application/json")], "").await;
    assert_eq!(head.status, 200, "{looked}");
    let seen: Value = serde_json::from_str(&looked).unwrap();
    assert_eq!(seen["upstreams"][0]["name"], "upstream", "{seen}");
    let shown = &seen["upstreams"][0]["endpoints"][0];
    assert!(
        shown["name"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:"),
        "{seen}"
    );
    assert_eq!(shown["usable"], true, "{seen}");
    let (head, looked) = ask(Method::GET, &page, &[], "").await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(looked.starts_with("<!doctype html>"), "{looked}");
    let (forwarded, _) = ask(Method::GET, &format!("{url}/hello"), &[], "").await;
    assert_eq!(forwarded.status, 200);

    let client = Client::builder(TokioExecutor::new()).build_http::<String>();
    let looking = client.get(events.parse().unwrap()).await.unwrap();
    assert_eq!(looking.headers()["content-type"], "text/event-stream");
    let (second, _) = ask(Method::GET, &events, &[], "").await;
    assert_eq!(second.status, 503, "there is one place");
    send(&gateway, "-TERM");
    let told = looking.into_body().collect().await.unwrap().to_bytes();
    let ended = tokio::task::spawn_blocking(move || gateway.0.wait().unwrap());

    let told = std::str::from_utf8(&told).unwrap();
    assert!(
        told.starts_with("event: summary\ndata: Calls go to 1 of 1 endpoint\n"),
        "{told}"
    );
    assert!(ended.await.unwrap().success());
}

/// Without `details` the page tells nobody anything, and without the key there is none.
#[tokio::test]
async fn the_gateway_withholds_its_page() {
    let file = folder("status_page_withheld").join("gateway.yaml");
    std::fs::write(&file, "status_page: {path: /__status}\n").unwrap();
    let (_gateway, url) = gateway(&["--config", file.to_str().unwrap()]);
    let (_other, without) = gateway(&[]);

    let (head, body) = ask(Method::GET, &format!("{url}/__status"), &[], "").await;
    assert_eq!(
        (head.status, &*body),
        (StatusCode::FORBIDDEN, "details are withheld\n")
    );
    let (head, body) = ask(Method::GET, &format!("{without}/__status"), &[], "").await;
    assert!(
        !body.contains("Calls go to"),
        "{}: the upstream's: {body}",
        head.status
    );
}
