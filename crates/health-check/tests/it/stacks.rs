use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis_health_check::{
    Endpoints, EndpointsLayer, HealthCheckLayer, HttpProbe, OutlierDetection, ProbeBody, State,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{ServiceBuilder, ServiceExt};

use super::*;

fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

async fn serve(listener: TcpListener, app: Router) -> tokio::task::JoinHandle<std::io::Result<()>> {
    tokio::spawn(axum::serve(listener, app).into_future())
}

#[tokio::test]
async fn a_listener_that_goes_and_comes_back_turns_the_state() {
    let app = || Router::new().route("/healthz", get(|| async { "ok" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, app()).await;
    let client: Client<_, ProbeBody> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    let probe = HttpProbe::new(client, format!("http://{address}/healthz").parse().unwrap());
    let health = Monitor::new(probe)
        .interval(Duration::from_millis(5))
        .rise(NonZeroU32::MIN)
        .fall(NonZeroU32::MIN)
        .start();
    health.wait_for(State::Up).await;

    server.abort();
    assert!(server.await.is_err());
    health.wait_for(State::Down).await;
    assert_eq!(
        health.status().reason.and_then(|reason| reason.kind()),
        Some(ErrorKind::ConnectionRefused)
    );

    let listener = TcpListener::bind(address).await.unwrap();
    let server = serve(listener, app()).await;
    health.wait_for(State::Up).await;
    server.abort();
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_a_failure() {
    let app = Router::new().route("/healthz", get(|| async { http::StatusCode::BAD_GATEWAY }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/healthz", listener.local_addr().unwrap());
    let server = serve(listener, app).await;

    let error = HttpProbe::new(client(), uri.parse().unwrap())
        .probe()
        .await
        .unwrap_err();

    assert_eq!(error.to_string(), "answered 502 Bad Gateway");
    HttpProbe::new(client(), uri.parse().unwrap())
        .expected(502..=502)
        .probe()
        .await
        .unwrap();
    server.abort();
}

#[tokio::test]
async fn one_gate_serves_every_connection() {
    let script = Script::new(&[Look::Down]);
    let health = monitor(&script).interval(Duration::from_secs(600)).start();
    health.wait_for(State::Down).await;
    let endpoints = Endpoints::new().required("script", health.clone());
    // axum calls the layer once per connection.
    let app: Router = Router::new()
        .route("/", get(|| async { "through" }))
        .layer(HealthCheckLayer::new(health))
        .layer(EndpointsLayer::new(endpoints));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, app).await;

    for (path, expected) in [("/", 503), ("/readyz", 503), ("/livez", 200)] {
        for _ in 0..5 {
            let request =
                Request::get(format!("http://{address}{path}")).body(Empty::<bytes::Bytes>::new());
            let response = client().request(request.unwrap()).await.unwrap();
            let status = response.status().as_u16();
            assert_eq!(status, expected, "{path}");
        }
    }
    server.abort();
}

/// A breaker whose state is made in `layer` never opens here: axum calls it for each connection.
#[tokio::test]
async fn failures_of_all_connections_eject_one_endpoint() {
    let passive = OutlierDetection::new().endpoint("script");
    let app: Router = Router::new()
        .route("/", get(|| async { http::StatusCode::BAD_GATEWAY }))
        .layer(HealthCheckLayer::passive_only(passive.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let server = serve(listener, app).await;

    let mut statuses = Vec::new();
    for _ in 0..8 {
        let request = Request::get(&uri).body(Empty::<bytes::Bytes>::new());
        let response = client().request(request.unwrap()).await.unwrap();
        statuses.push(response.status().as_u16());
    }

    assert_eq!(statuses, [502, 502, 502, 502, 502, 503, 503, 503]);
    server.abort();
}

/// The kubelet restarts what does not answer within a second, and what has much to do is not what it should restart.
#[tokio::test]
async fn the_kubelet_is_answered_while_every_place_is_taken() {
    let (places, taken) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (places, taken) = (Arc::clone(&places), Arc::clone(&taken));
        move || async move {
            taken.add_permits(1);
            places.acquire().await.unwrap().forget();
            "through"
        }
    };
    let app: Router = Router::new()
        .route("/", get(handler))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .layer(EndpointsLayer::new(Endpoints::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, app).await;
    let ask = move |path: &str| {
        let request = Request::get(format!("http://{address}{path}"));
        let answer = client().request(request.body(Empty::<bytes::Bytes>::new()).unwrap());
        async move {
            let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
            answer.expect("it hangs").unwrap().status().as_u16()
        }
    };

    let first = tokio::spawn(ask("/"));
    taken.acquire().await.unwrap().forget();
    let second = tokio::spawn(ask("/"));
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(path).await, 200, "{path}");
    }
    assert_eq!(
        taken.available_permits(),
        0,
        "the second waits for its place"
    );
    places.add_permits(2);

    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    server.abort();
}

#[tokio::test]
async fn the_endpoints_go_around_any_service() {
    let endpoints = Endpoints::new();
    let app: Router = Router::new().route("/", get(|| async { "through" }));
    let service = ServiceBuilder::new()
        .layer(EndpointsLayer::new(endpoints.clone()))
        .service(app);
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        service
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };

    assert_eq!(
        (ask("/").await, ask("/livez").await, ask("/readyz").await),
        (200, 200, 200)
    );
    endpoints.drain();
    assert_eq!(
        (ask("/").await, ask("/livez").await, ask("/readyz").await),
        (200, 200, 503)
    );
}

#[tokio::test]
async fn the_endpoints_are_a_service_for_a_route() {
    let endpoints = Endpoints::new();
    let app: Router = Router::new()
        .route_service("/livez", endpoints.clone())
        .route_service("/readyz", endpoints.clone());

    let response = app
        .oneshot(Request::get("/readyz").body(Body::empty()).unwrap())
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
}
