//! Providers of chats: a request goes to the one that its model chooses, and to those after it where that one fails.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use portcullis::gateway_error::GatewayErrorLayer;
use portcullis::{Chats, Stack};
use tower::util::{BoxCloneSyncService, Either};
use tower::{Layer, ServiceBuilder};

use crate::client::client;
use crate::forward;

/// The service of all chats. Each target has a stack of its own, so that one that fails is tried again there before it is left.
pub(crate) fn service(
    chats: &Chats,
    stack: &Stack,
    connector: HttpsConnector<HttpConnector>,
) -> BoxCloneSyncService<Request, Response, Infallible> {
    let client = client::<Body>(connector);
    let router = chats.router(|_, mapping| {
        // Errors of the client become answers below the mapping, which gives them the form that the caller reads.
        let client = ServiceBuilder::new()
            .layer(GatewayErrorLayer::new())
            .map_request(|request: http::Request<_>| request.map(Body::new))
            .service(client.clone());
        let provider = match mapping.token_layer() {
            Some(token) => Either::Left(
                ServiceBuilder::new()
                    .map_response(|response: http::Response<_>| response.map(Body::new))
                    .layer(mapping.clone())
                    .layer(token.clone())
                    .service(client),
            ),
            None => Either::Right(
                ServiceBuilder::new()
                    .map_response(|response: http::Response<_>| response.map(Body::new))
                    .layer(mapping.clone())
                    .service(client),
            ),
        };
        stack.layer(provider)
    });
    let service = ServiceBuilder::new()
        .map_request(forward::request)
        .map_response(|response| forward::answer(response).map(Body::new))
        .service(router);
    BoxCloneSyncService::new(service)
}
