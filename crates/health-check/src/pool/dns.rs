use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::{Resolve, Resolved};

/// Resolves names by DNS: A and AAAA records, with their TTL. Clones share it.
///
/// ```no_run
/// # fn f<S: Send + Sync + 'static>(pool: portcullis_health_check::Pool<S>, client: fn(std::net::SocketAddr) -> S) -> std::io::Result<()> {
/// use portcullis_health_check::{DnsResolver, Member, Resolution};
///
/// let resolution = Resolution::new(DnsResolver::system()?, "orders.example", 8080);
/// pool.resolve(resolution, move |address| Member::new(address.to_string(), client(address)));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DnsResolver(Arc<TokioResolver>);

// === impl DnsResolver ===

impl DnsResolver {
    /// Asks the servers that the system is configured to ask (`/etc/resolv.conf`), with its search list.
    ///
    /// # Errors
    /// When that configuration cannot be read.
    pub fn system() -> io::Result<Self> {
        let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        Self::build(builder)
    }

    /// Asks these servers, over UDP, and over TCP where an answer is too long for that.
    ///
    /// # Errors
    /// When no resolver can be made of that.
    pub fn servers(servers: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let servers = servers.into_iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let provider = TokioRuntimeProvider::default();
        Self::build(TokioResolver::builder_with_config(config, provider))
    }

    fn build(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
    ) -> io::Result<Self> {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Who asks keeps the answer for its TTL; one that is kept twice would be kept for longer.
        options.cache_size = 0;
        let resolver = builder.build().map_err(io::Error::other)?;
        Ok(Self(Arc::new(resolver)))
    }
}

impl Resolve for DnsResolver {
    async fn resolve(&self, host: Arc<str>) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
        let found = self.0.lookup_ip(&*host).await?;
        let resolved = Resolved::new(found.iter());
        // The shortest: a CNAME on the way may hold for less long than what it leads to.
        let ttls = found.as_lookup().answers().iter().map(|record| record.ttl);
        Ok(match ttls.min() {
            Some(ttl) => resolved.ttl(Duration::from_secs(ttl.into())),
            None => resolved,
        })
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DnsResolver")
    }
}
