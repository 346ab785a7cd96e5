//! The time to open a connection, which is the connector's to limit: how each client sets it, and what comes of it.
//!
//! A layer sees a call, and a call may find a connection in a pool, wait for one that others open, or open one. So the limit stands where connections are
//! opened, and the `head` of a [`TimeoutLayer`](crate::TimeoutLayer) covers it as a part of the whole. There are no items in this module.
//!
//! What a connector gives up with is an error of the client, which passes this layer unchanged. A
//! [`GatewayErrorLayer`](portcullis_gateway_error::GatewayErrorLayer) outside answers it with 504 and `connection_timeout`, for gRPC with `DEADLINE_EXCEEDED`; and since
//! nothing was sent, a retry may try any request again.
//!
//! | client | setting | default there | covers |
//! |---|---|---|---|
//! | hyper-util | `HttpConnector::set_connect_timeout` | none | TCP, its share for each address; not DNS, not TLS |
//! | reqwest | `ClientBuilder::connect_timeout` | none | DNS, TCP and TLS |
//! | tonic | `Endpoint::connect_timeout` | none | DNS, TCP and TLS |
//!
//! # hyper-util
//! ```
//! use std::time::Duration;
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use hyper_util::rt::TokioExecutor;
//! use portcullis_timeout::TimeoutLayer;
//! use tower::Layer;
//!
//! let mut connector = HttpConnector::new();
//! connector.set_connect_timeout(Some(Duration::from_secs(2)));
//! let client = Client::builder(TokioExecutor::new()).build(connector);
//! let service = TimeoutLayer::new(Duration::from_secs(30)).layer(client);
//! # let _: portcullis_timeout::Timeout<Client<_, String>> = service;
//! ```
//!
//! # reqwest
//! ```
//! # use std::time::Duration;
//! let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(2)).build()?;
//! # let _ = client;
//! # Ok::<_, reqwest::Error>(())
//! ```
//!
//! # tonic
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::time::Duration;
//! use portcullis_timeout::TimeoutLayer;
//! use tonic::transport::Endpoint;
//! use tower::Layer;
//!
//! let endpoint = Endpoint::from_static("http://stock.internal:50051");
//! let channel = endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy();
//! // The channel takes one type of body only.
//! let layer = TimeoutLayer::new(Duration::from_secs(30)).map_body(tonic::body::Body::new);
//! let service = layer.layer(channel);
//! # fn grpc(_: impl tower::Service<http::Request<tonic::body::Body>>) {}
//! # grpc(service);
//! # }
//! ```
