use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::fault::{BadFault, Fault};
use crate::idempotency::Keys;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::script::{Cursor, Script};
use crate::shelf::{Shelf, ShelfLimits};
use crate::socket::Socket;
use crate::{http1, http2};

/// A running server that misbehaves on purpose; stops when it is dropped.
///
/// See the [crate docs](crate) for examples.
#[must_use = "the server stops when it is dropped"]
#[derive(Debug)]
pub struct FaultyUpstream {
    addr: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    /// Accepts connections, and owns the tasks that serve them.
    accept: JoinHandle<()>,
}

/// Settings of a [`FaultyUpstream`].
#[must_use = "a builder does nothing until it is started"]
#[derive(Clone, Debug)]
pub struct Builder {
    listen: SocketAddr,
    plan: Plan,
    body_limit: usize,
    connection_limit: usize,
    #[cfg(feature = "tls")]
    tls: Option<crate::Tls>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) keys: Keys,
    pub(crate) body_limit: usize,
    /// The scripts of the test ids.
    scripts: Mutex<Shelf<(Script, Cursor)>>,
    /// How far the faults that requests ask for have been played, for each id.
    asked: Mutex<Shelf<(Script, Cursor)>>,
}

/// Turns a TCP connection into one that HTTP is spoken on.
#[derive(Clone)]
enum Accept {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

// === impl FaultyUpstream ===

impl FaultyUpstream {
    /// Returns a builder with the default settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the address that the server listens on, with its real port.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns `http://`, or `https://` with TLS, and the address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Returns a handle to what the server saw; it outlives the server.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.state.ledger.clone()
    }

    /// Replaces the faults for the requests with this test id (header `x-test-id`), from the first step on.
    pub fn script(&self, test_id: &str, script: impl Into<Script>) {
        self.state.script(test_id, script.into());
    }

    /// Stops the server: closes the port and every connection, then returns.
    pub async fn shutdown(mut self) {
        self.accept.abort();
        // Cancelled, by the line above; the connections went with it.
        let _ = (&mut self.accept).await;
    }
}

impl Drop for FaultyUpstream {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

// === impl Builder ===

impl Builder {
    /// Replaces the address to listen on; port 0 picks a free one. Default: `127.0.0.1:0`.
    pub const fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Replaces the faults for requests that name none. Default: none.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Replaces the limit of a request's body in bytes; over it, 413. Default: 16 MiB.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Serves over TLS, HTTP/1.1 and HTTP/2 by ALPN. Default: plain.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Binds the address and starts to serve, in tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or when the ratios of the plan are not
    /// 0 to 1 or add up to more than 1 ([`io::ErrorKind::InvalidInput`]).
    pub async fn start(self) -> io::Result<FaultyUpstream> {
        if let Some(mistake) = self.plan.mistake() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, mistake));
        }
        let (acceptor, scheme) = self.acceptor();
        let listener = TcpListener::bind(self.listen).await?;
        let addr = listener.local_addr()?;
        let limits = ShelfLimits {
            entries: 10_000,
            bytes: 16 * 1024 * 1024,
        };
        let state = Arc::new(State {
            plan: self.plan,
            ledger: Ledger::default(),
            keys: Keys::default(),
            body_limit: self.body_limit,
            scripts: Mutex::new(Shelf::new(limits)),
            asked: Mutex::new(Shelf::new(limits)),
        });
        let accept = accept(
            listener,
            acceptor,
            Arc::clone(&state),
            self.connection_limit,
        );
        Ok(FaultyUpstream {
            addr,
            scheme,
            state,
            accept: tokio::spawn(accept),
        })
    }

    #[cfg(feature = "tls")]
    fn acceptor(&self) -> (Accept, &'static str) {
        match &self.tls {
            None => (Accept::Plain, "http"),
            Some(tls) => (Accept::Tls(tls.acceptor()), "https"),
        }
    }

    #[cfg(not(feature = "tls"))]
    const fn acceptor(&self) -> (Accept, &'static str) {
        (Accept::Plain, "http")
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            plan: Plan::default(),
            body_limit: 16 * 1024 * 1024,
            connection_limit: 1024,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

// === impl State ===

impl State {
    pub(crate) fn script(&self, test_id: &str, script: Script) {
        lock(&self.scripts).insert(test_id, (script, Cursor::default()));
    }

    pub(crate) fn is_scripted(&self, test_id: &str) -> bool {
        lock(&self.scripts).get(test_id).is_some()
    }

    /// The next fault of the script of a test id.
    pub(crate) fn scripted(&self, test_id: &str) -> Option<Fault> {
        let mut scripts = lock(&self.scripts);
        let (script, cursor) = scripts.get_mut(test_id)?;
        script
            .next(cursor, |ordinal| self.plan.draw(test_id, ordinal))
            .cloned()
    }

    /// The fault that a request asks for, played on for each id: `status=503;times=2` fails two attempts of one id.
    pub(crate) fn asked(
        &self,
        text: &str,
        identity: Option<&str>,
    ) -> Result<Option<Fault>, BadFault> {
        let name = format!("{} {text}", identity.unwrap_or_default());
        let mut asked = lock(&self.asked);
        if asked.get(&name).is_none() {
            let script: Script = text.parse()?;
            asked.insert(&name, (script, Cursor::default()));
        }
        let Some((script, cursor)) = asked.get_mut(&name) else {
            return Ok(None);
        };
        Ok(script
            .next(cursor, |ordinal| self.plan.draw(&name, ordinal))
            .cloned())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Accept ===

impl Accept {
    async fn accept(self, stream: TcpStream) -> io::Result<Socket> {
        match self {
            Self::Plain => Socket::plain(stream),
            #[cfg(feature = "tls")]
            Self::Tls(acceptor) => Socket::tls(stream, acceptor).await,
        }
    }
}

/// Runs until it is aborted; the connections are tasks of a set that drops with it.
async fn accept(
    listener: TcpListener,
    acceptor: Accept,
    state: Arc<State>,
    connection_limit: usize,
) {
    let permits = Arc::new(Semaphore::new(connection_limit));
    let mut connections = JoinSet::new();
    loop {
        // Over the limit, new connections wait in the backlog.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return; // never: nobody closes it
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or a connection that is gone already.
                tracing::warn!(%error, "accept failed");
                tokio::task::yield_now().await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
        connections.spawn(async move {
            let id = state.ledger.connected();
            if let Err(error) = serve(stream, acceptor, &state, id).await {
                tracing::debug!(%error, connection = id, "connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, acceptor: Accept, state: &Arc<State>, id: u64) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut socket = acceptor.accept(stream).await?;
    if socket.speaks_http2().await? {
        http2::serve(socket, state, id).await
    } else {
        http1::serve(socket, state, id).await
    }
}
