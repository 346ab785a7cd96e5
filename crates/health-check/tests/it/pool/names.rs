//! Endpoints from a name that is resolved again and again.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

use portcullis_health_check::{Resolution, Resolve, Resolved};

use super::*;

/// What a look at the name gives; the time that it holds, and the addresses.
#[derive(Clone, Debug)]
enum Found {
    Addresses(u64, &'static [u8]),
    /// Those of IPv4 and of IPv6, for ten minutes; `None` where that fails.
    Families(Option<&'static [u8]>, Option<&'static [u8]>),
    Nothing,
    Failure,
    Hang,
    Panic,
}

/// Gives what was said last, and counts how often it was asked.
#[derive(Clone)]
struct Name {
    found: Arc<Mutex<Found>>,
    asked: Arc<AtomicU64>,
}

// === impl Name ===

impl Name {
    fn new(found: Found) -> Self {
        Self {
            found: Arc::new(Mutex::new(found)),
            asked: Arc::default(),
        }
    }

    fn then(&self, found: Found) {
        *self.found.lock().unwrap() = found;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolve for Name {
    async fn resolve(
        &self,
        host: Arc<str>,
    ) -> Result<Resolved, Box<dyn std::error::Error + Send + Sync>> {
        assert_eq!(&*host, "orders");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let found = self.found.lock().unwrap().clone();
        match found {
            Found::Addresses(ttl, last) => {
                let addresses = last.iter().map(|last| IpAddr::from([10, 0, 0, *last]));
                Ok(Resolved::new(addresses).ttl(Duration::from_secs(ttl)))
            }
            Found::Families(four, six) => {
                let v4 = four.unwrap_or_default().iter();
                let v4 = v4.map(|last| IpAddr::from([10, 0, 0, *last]));
                let v6 = six.unwrap_or_default().iter();
                let v6 = v6.map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(*last)));
                let found = Resolved::new(v4.chain(v6.map(IpAddr::from)));
                let mut found = found.ttl(Duration::from_secs(600));
                if four.is_none() {
                    found = found.ipv4_failed("the server fails");
                }
                if six.is_none() {
                    found = found.ipv6_failed("the server fails");
                }
                Ok(found)
            }
            Found::Nothing => Ok(Resolved::default()),
            Found::Failure => Err("the server is away".into()),
            Found::Hang => std::future::pending().await,
            Found::Panic => panic!("the script panics"),
        }
    }
}

fn follow(name: &Name) -> Pool<Upstream> {
    let pool = settings().pool();
    let resolution = Resolution::new(name.clone(), "orders", 80).seed(7);
    pool.resolve(resolution, |_| Upstream::new("a").member());
    pool
}

fn names(pool: &Pool<Upstream>) -> Vec<String> {
    let members = pool.members().into_iter();
    members.map(|member| member.name.to_string()).collect()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn addresses_are_asked_for_again_when_their_time_is_over() {
    let name = Name::new(Found::Addresses(60, &[2, 1]));
    let pool = follow(&name);
    pool.insert(Upstream::new("static").member().priority(1));
    settle_tasks().await;
    assert_eq!(names(&pool), ["10.0.0.1:80", "10.0.0.2:80", "static"]);
    drop(ask(&pool).await);

    name.then(Found::Addresses(60, &[2, 3]));
    seconds(59).await;
    assert_eq!(name.asked(), 1, "not before");
    seconds(8).await;

    assert_eq!(name.asked(), 2, "and a tenth later at most");
    assert_eq!(names(&pool), ["10.0.0.2:80", "10.0.0.3:80", "static"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_finds_nothing_keeps_the_last_known_ones() {
    for found in [Found::Nothing, Found::Failure, Found::Hang, Found::Panic] {
        let name = Name::new(Found::Addresses(10, &[1]));
        let pool = follow(&name);
        settle_tasks().await;

        name.then(found.clone());
        seconds(600).await;

        assert_eq!(names(&pool), ["10.0.0.1:80"], "{found:?}");
        // 5, 10, 20, 40, 80, 160, 300 s.
        assert!(
            (6..=10).contains(&name.asked()),
            "{found:?}: {}",
            name.asked()
        );
        name.then(Found::Addresses(10, &[2]));
        seconds(340).await;
        assert_eq!(names(&pool), ["10.0.0.2:80"], "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_family_that_fails_keeps_its_own_until_it_is_answered() {
    let name = Name::new(Found::Families(Some(&[1]), Some(&[1, 2])));
    let pool = follow(&name);
    settle_tasks().await;
    let [v4, v6] = [&["10.0.0.1:80"][..], &["[fd00::1]:80", "[fd00::2]:80"]];
    assert_eq!(names(&pool), [v4, v6].concat());

    name.then(Found::Families(Some(&[3]), None));
    seconds(700).await;
    let v4 = &["10.0.0.3:80"][..];
    assert_eq!(names(&pool), [v4, v6].concat());
    let asked = name.asked();
    assert!(asked > 6, "as after a failure: {asked}");

    name.then(Found::Families(None, Some(&[3])));
    seconds(340).await;
    assert_eq!(names(&pool), [v4, &["[fd00::3]:80"]].concat());

    name.then(Found::Families(None, Some(&[])));
    seconds(340).await;
    assert_eq!(
        names(&pool),
        [v4, &["[fd00::3]:80"]].concat(),
        "nothing is found"
    );

    name.then(Found::Families(Some(&[3]), Some(&[])));
    seconds(340).await;
    assert_eq!(names(&pool), v4, "there is none");
}

#[tokio::test(start_paused = true)]
async fn an_address_of_two_names_stays_while_one_of_them_has_it() {
    let [one, two] = [&[1, 2], &[2, 3]].map(|last| Name::new(Found::Addresses(60, last)));
    let pool = follow(&one);
    let resolution = Resolution::new(two.clone(), "orders", 80).seed(8);
    pool.resolve(resolution, |_| Upstream::new("b").member());
    settle_tasks().await;
    let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    assert_eq!(names(&pool), all);

    one.then(Found::Addresses(60, &[1]));
    seconds(70).await;
    assert_eq!(names(&pool), all, "the other has it");
    two.then(Found::Addresses(60, &[3]));
    seconds(70).await;
    assert_eq!(names(&pool), ["10.0.0.1:80", "10.0.0.3:80"]);
    one.then(Found::Addresses(60, &[1, 2]));
    seconds(70).await;
    assert_eq!(names(&pool), all);
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_when_the_pool_is_gone() {
    let name = Name::new(Found::Addresses(1, &[1]));
    let pool = follow(&name);
    settle_tasks().await;

    drop(pool);
    seconds(600).await;

    assert_eq!(name.asked(), 1);
    assert_eq!(Arc::strong_count(&name.asked), 1);
}

#[cfg(feature = "dns")]
mod dns {
    use portcullis_health_check::DnsResolver;
    use tokio::net::UdpSocket;
    use tokio::sync::watch;

    use super::*;

    /// The addresses for A and AAAA; `None`: that the server has failed.
    type Zone = [Option<Vec<Vec<u8>>>; 2];

    /// Answers each question for A and AAAA with these addresses.
    async fn serve(socket: UdpSocket, zone: watch::Receiver<Zone>) {
        let mut packet = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
            let query = &packet[..length];
            let mut end = 12;
            while query[end] != 0 {
                end += 1 + usize::from(query[end]);
            }
            let question = &query[12..end + 5];
            let kind = question[question.len() - 3];
            let found = match kind {
                1 => zone.borrow()[0].clone(),
                28 => zone.borrow()[1].clone(),
                _ => Some(Vec::new()),
            };
            let failed = if found.is_some() { 0 } else { 2 };
            let addresses = found.unwrap_or_default();
            let mut answer = query[..2].to_vec();
            let number = u8::try_from(addresses.len()).unwrap();
            answer.extend([0x81, 0x80 | failed, 0, 1, 0, number]);
            answer.extend([0; 4]);
            answer.extend(question);
            for address in addresses {
                // The name of the question, its type, IN, 1 s.
                let length = u8::try_from(address.len()).unwrap();
                answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 1, 0, length]);
                answer.extend(address);
            }
            socket.send_to(&answer, peer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_over_the_wire() {
        let v4 = |last: &[u8]| {
            let addresses = last.iter().map(|last| vec![127, 0, 0, *last]);
            Some(addresses.collect::<Vec<_>>())
        };
        let v6 = Some(vec![Ipv6Addr::LOCALHOST.octets().to_vec()]);
        let (sender, zone) = watch::channel([v4(&[2, 1]), Some(Vec::new())]);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let server = (server, tokio::spawn(serve(socket, zone)));
        let pool: Pool<Upstream> = settings().pool();
        let resolver = DnsResolver::servers([server.0]).unwrap();
        let resolution =
            Resolution::new(resolver, "orders.example.", 80).min_ttl(Duration::from_millis(10));
        pool.resolve(resolution, |_| Upstream::new("a").member());
        let until = async |expected: &[&str]| {
            let wait = async {
                while names(&pool) != expected {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
            assert!(found.is_ok(), "{:?}", names(&pool));
        };
        until(&["127.0.0.1:80", "127.0.0.2:80"]).await;

        sender.send_replace([v4(&[3]), v6]);

        // After a second, as the TTL says.
        until(&["127.0.0.3:80", "[::1]:80"]).await;

        sender.send_replace([v4(&[4]), None]);
        until(&["127.0.0.4:80", "[::1]:80"]).await;
        sender.send_replace([v4(&[5]), Some(Vec::new())]);
        until(&["127.0.0.5:80"]).await;
        server.1.abort();
    }
}
