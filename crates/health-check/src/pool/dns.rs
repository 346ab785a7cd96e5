use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::{sleep, timeout};

use crate::{Resolve, Resolved};

/// Resolves names by DNS: A and AAAA records, with their TTL. Clones share it.
///
/// Where only one of the two is answered, the other [has failed](Resolved::ipv6_failed): by a failure of the server, or because it is not there two seconds after the first.
/// That there is no record is an answer. With a search list, the name that has A records is the one whose AAAA records count.
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
pub struct DnsResolver(Arc<Families>);

/// What is asked for each family, so that an answer for the one does not hide that there is none for the other.
struct Families {
    four: TokioResolver,
    six: TokioResolver,
}

/// What is found of one family.
type Found = Result<LookupIp, NetError>;

// === impl DnsResolver ===

impl DnsResolver {
    /// Asks the servers that the system is configured to ask (`/etc/resolv.conf`), with its search list.
    ///
    /// # Errors
    /// When that configuration cannot be read.
    pub fn system() -> io::Result<Self> {
        Self::build(|| TokioResolver::builder_tokio().map_err(io::Error::other))
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
        Self::build(|| {
            let config = config.clone();
            Ok(TokioResolver::builder_with_config(config, provider.clone()))
        })
    }

    fn build(
        builder: impl Fn() -> io::Result<ResolverBuilder<TokioRuntimeProvider>>,
    ) -> io::Result<Self> {
        let family = |strategy| {
            let mut builder = builder()?;
            let options = builder.options_mut();
            options.ip_strategy = strategy;
            // Who asks keeps the answer for its TTL; one that is kept twice would be kept for longer.
            options.cache_size = 0;
            builder.build().map_err(io::Error::other)
        };
        let four = family(LookupIpStrategy::Ipv4Only)?;
        let six = family(LookupIpStrategy::Ipv6Only)?;
        Ok(Self(Arc::new(Families { four, six })))
    }
}

impl Resolve for DnsResolver {
    async fn resolve(&self, host: Arc<str>) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
        let Families { four, six } = &*self.0;
        let (mut v4, mut v6) = together(four.lookup_ip(&*host), six.lookup_ip(&*host)).await;
        if let Ok(found) = &v4 {
            v6 = at(six, found, v6).await;
        } else if let Ok(found) = &v6 {
            v4 = at(four, found, v4).await;
        }
        if let (Err(first), Err(second)) = (&v4, &v6) {
            let error = if is_answer(first) { second } else { first };
            return Err(error.clone().into());
        }

        let found = || [&v4, &v6].into_iter().flatten();
        let mut resolved = Resolved::new(found().flat_map(LookupIp::iter));
        // The shortest: a CNAME on the way may hold for less long than what it leads to.
        let answers = found().flat_map(|found| found.as_lookup().answers());
        if let Some(ttl) = answers.map(|record| record.ttl).min() {
            resolved = resolved.ttl(Duration::from_secs(ttl.into()));
        }
        if let Some(error) = v4.err().filter(|error| !is_answer(error)) {
            resolved = resolved.ipv4_failed(error.to_string());
        }
        if let Some(error) = v6.err().filter(|error| !is_answer(error)) {
            resolved = resolved.ipv6_failed(error.to_string());
        }
        Ok(resolved)
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DnsResolver")
    }
}

/// Waits for both, but for the second not long after the first has found something: what hangs must not hide what is known.
async fn together(
    four: impl Future<Output = Found>,
    six: impl Future<Output = Found>,
) -> (Found, Found) {
    let (mut four, mut six) = (pin!(four), pin!(six));
    let (mut v4, mut v6) = (None, None);
    let mut late = None;
    poll_fn(|cx| {
        if v4.is_none()
            && let Poll::Ready(found) = four.as_mut().poll(cx)
        {
            v4 = Some(found);
        }
        if v6.is_none()
            && let Poll::Ready(found) = six.as_mut().poll(cx)
        {
            v6 = Some(found);
        }
        if v4.is_some() && v6.is_some() {
            return Poll::Ready(());
        }
        if !matches!((&v4, &v6), (Some(Ok(_)), _) | (_, Some(Ok(_)))) {
            return Poll::Pending;
        }
        let late = late.get_or_insert_with(|| Box::pin(sleep(LATE)));
        late.as_mut().poll(cx)
    })
    .await;
    let late = || Err(NetError::Timeout);
    (v4.unwrap_or_else(late), v6.unwrap_or_else(late))
}

/// What the other family has at the name at which this one was found: the search list may have led it on, over a failure too.
async fn at(resolver: &TokioResolver, found: &LookupIp, other: Found) -> Found {
    let name = absolute(found.query().name());
    let asked = match &other {
        Ok(other) => Some(other.query().name()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Some(none.query.name()),
        // What hangs would do so again.
        Err(NetError::Timeout) => return other,
        // It does not say at which name.
        Err(_) => None,
    };
    if asked.map(absolute).as_ref() == Some(&name) {
        return other;
    }
    let asked = timeout(LATE, resolver.lookup_ip(name)).await;
    asked.unwrap_or(Err(NetError::Timeout))
}

fn absolute(name: &Name) -> Name {
    let mut name = name.clone();
    name.set_fqdn(true);
    name
}

/// That there is nothing is an answer.
const fn is_answer(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(_)))
}

/// How long one family may take after the other.
const LATE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use hickory_resolver::lookup::Lookup;
    use hickory_resolver::proto::op::Query;
    use tokio::net::UdpSocket;
    use tokio::time::Instant;

    use super::*;

    async fn after(seconds: u64, found: Result<(), NetError>) -> Found {
        sleep(Duration::from_secs(seconds)).await;
        found.map(|()| LookupIp::from(Lookup::new_with_max_ttl(Query::new(), [])))
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_is_not_waited_for_long_after_the_other() {
        for (row, four, six, expected) in [
            ("both", (1, Ok(())), (2, Ok(())), ((true, true), 2)),
            (
                "the second is late",
                (1, Ok(())),
                (4, Ok(())),
                ((true, false), 3),
            ),
            (
                "the first is late",
                (9, Ok(())),
                (0, Ok(())),
                ((false, true), 2),
            ),
            (
                "a failure is soon there",
                (0, Err(NetError::Busy)),
                (4, Ok(())),
                ((false, true), 4),
            ),
        ] {
            let began = Instant::now();
            let (v4, v6) = together(after(four.0, four.1), after(six.0, six.1)).await;

            let found = ((v4.is_ok(), v6.is_ok()), began.elapsed().as_secs());
            assert_eq!(found, expected, "{row}");
        }
        let (_, hangs) = together(after(0, Ok(())), pending()).await;
        assert!(matches!(hangs, Err(NetError::Timeout)));
    }

    /// Says that this name has one A record, and no AAAA record; of every other name, that the server has failed.
    async fn serve(socket: UdpSocket, name: &[u8]) {
        let mut packet = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
            let query = &packet[..length];
            let end = 13 + query[12..].iter().position(|byte| *byte == 0).unwrap();
            let question = &query[12..end + 4];
            let is_known = query[12..end] == *name;
            let found = is_known && question[question.len() - 3] == 1;
            let mut answer = query[..2].to_vec();
            let code = if is_known { 0 } else { 2 };
            answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
            answer.extend(question);
            if found {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1]);
            }
            socket.send_to(&answer, peer).await.unwrap();
        }
    }

    /// Where a name has no AAAA record, the search list leads on to names that have nothing to do with it.
    #[tokio::test]
    async fn a_failure_at_another_name_of_the_search_list_is_none_of_the_name() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
        let search = vec![Name::from_ascii("corp.").unwrap()];
        let config = ResolverConfig::from_parts(None, search, vec![server]);
        let resolver = DnsResolver::build(|| {
            let provider = TokioRuntimeProvider::default();
            Ok(TokioResolver::builder_with_config(config.clone(), provider))
        });
        let server = tokio::spawn(serve(socket, b"\x06orders\x07example\0"));

        let resolved = resolver.unwrap().resolve("orders.example".into()).await;

        let expected = Resolved::new([[127, 0, 0, 1].into()]).ttl(Duration::from_secs(9));
        assert_eq!(resolved.unwrap(), expected, "IPv6 has not failed");
        server.abort();
    }
}
