use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::Plan;
use crate::plan::End;

/// A running server. Dropping it ends the server and its connections.
#[derive(Debug)]
pub struct FaultyUpstream {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Builds a [`FaultyUpstream`].
#[must_use = "a builder does nothing until it is started"]
#[derive(Clone, Debug)]
pub struct Builder {
    listen: SocketAddr,
    plan: Plan,
}

// === impl FaultyUpstream ===

impl FaultyUpstream {
    /// A server on a free loopback port, without faults.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            plan: Plan::new(0),
        }
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of its root, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FaultyUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Builder ===

impl Builder {
    /// Replaces the address. Default: a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Replaces the plan. Default: no faults.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(self) -> io::Result<FaultyUpstream> {
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, self.plan));
        Ok(FaultyUpstream { address, task })
    }
}

async fn accept(listener: TcpListener, plan: Plan) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, plan.clone()))),
            // Out of descriptors, most likely: those in use will come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, plan: Plan) {
    // A second handle, so that the connection can be reset while hyper holds the first.
    let Ok(handle) = stream
        .into_std()
        .and_then(|stream| Ok((stream.try_clone()?, stream)))
    else {
        return;
    };
    let (socket, stream) = handle;
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let reset = Arc::new(Notify::new());
    let notify = Arc::clone(&reset);
    let service =
        service_fn(move |request| handle_request(request, plan.clone(), Arc::clone(&notify)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);

    tokio::select! {
        _ = connection => {}
        () = reset.notified() => {
            // With no time to linger, closing sends RST instead of FIN.
            let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn handle_request(
    request: Request<Incoming>,
    plan: Plan,
    reset: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let fate = plan.draw();
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    if let Some(delay) = fate.delay {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(Full::default());
    match fate.end {
        End::Reset => {
            reset.notify_one();
            return std::future::pending().await;
        }
        End::Status(status) => *response.status_mut() = status,
        End::Echo => {
            let echo = json!({
                "method": head.method.as_str(),
                "path": head.uri.path(),
                "query": head.uri.query(),
                "body": String::from_utf8_lossy(&body),
            });
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("application/json"),
            );
            *response.body_mut() = Full::from(format!("{echo}\n"));
        }
    }
    Ok(response)
}
