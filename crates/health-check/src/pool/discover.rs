//! From `tower::discover` into a pool, and from healths out to `tower::balance`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower::discover::{Change, Discover};

use crate::changes::Changes;
use crate::pool::shared::{ASKED, Shared};
use crate::{Member, PassiveHealth, Pool, telemetry};

/// Endpoints as a `tower::discover::Discover`: each is inserted while its health lets calls through, and removed while it does not.
///
/// So that `tower::balance` picks among those that are up. What calls show is known only where somebody looks at them, as
/// [`HealthCheckLayer::passive`](crate::HealthCheckLayer::passive) does around the service of the member. It never ends.
///
/// Whoever polls it wants to know: members [on demand](crate::Monitor::on_demand) of which too little is known are probed then, up to 16 at once, and count by what was
/// known until that has ended. It wakes who waits when what is known gets too old; while nobody polls, nobody is probed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_health_check::{Health, HealthyDiscover, Member, State};
/// use tower::balance::p2c::Balance;
/// use tower::load::{CompleteOnResponse, PendingRequestsDiscover};
/// use tower::{Service, service_fn};
///
/// let up = service_fn(|_: u8| async { Ok::<_, std::io::Error>("up") });
/// let members = [("a", State::Down), ("b", State::Up)].map(|(name, state)| {
///     Member::new(name, up).health(Health::fixed(state))
/// });
/// let up = PendingRequestsDiscover::new(HealthyDiscover::new(members), CompleteOnResponse::default());
/// let mut balance = Balance::new(up);
///
/// std::future::poll_fn(|cx| balance.poll_ready(cx)).await.unwrap();
/// assert_eq!(balance.len(), 1);
/// assert_eq!(balance.call(1).await.unwrap(), "up");
/// # }
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct HealthyDiscover<S> {
    /// With whether it was inserted.
    members: Vec<(Member<S>, bool)>,
    /// Where the look goes on, and how many are still to be looked at.
    next: usize,
    left: usize,
    changes: Arc<Changes>,
    /// When the look began, and how many changes there were before it.
    began: Instant,
    seen: u64,
    /// Whether those that nobody knows of were asked in this look.
    asked: bool,
    change: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

// === impl HealthyDiscover ===

impl<S> HealthyDiscover<S> {
    /// Those of these that are up.
    pub fn new(members: impl IntoIterator<Item = Member<S>>) -> Self {
        let changes: Arc<Changes> = Arc::default();
        let members: Vec<_> = members.into_iter().map(|member| (member, false)).collect();
        for (member, _) in &members {
            if let (Some(health), Some(passive)) = (&member.health, &member.passive) {
                health.link(passive);
            }
            member.watch(&changes);
        }
        Self {
            next: 0,
            left: members.len(),
            members,
            began: Instant::now(),
            seen: changes.count(),
            changes,
            asked: false,
            change: None,
        }
    }

    /// When an ejection is over, or what is known is too old, without anybody having changed anything. What was so before the look is seen by it.
    fn due(&self) -> Option<Instant> {
        let due = self.members.iter().flat_map(|(member, _)| {
            let ejected = member.passive.as_ref().and_then(PassiveHealth::due);
            [ejected, member.expires()]
        });
        due.flatten().filter(|due| *due > self.began).min()
    }

    /// Begins the probes of those on demand that nobody knows of: of so many, and of others when something has changed.
    fn ask(&self) {
        let number = u64::try_from(self.members.len()).unwrap_or(u64::MAX);
        let start = usize::try_from(self.seen % number.max(1)).unwrap_or_default();
        let members = self.members.iter().cycle().skip(start);
        let members = members.take(self.members.len()).map(|(member, _)| member);
        let unknown = members.filter(|member| member.expires().is_some() && member.is_unsettled());
        for health in unknown
            .filter_map(|member| member.health.as_ref())
            .take(ASKED)
        {
            health.ask();
        }
    }
}

impl<S: Clone> Stream for HealthyDiscover<S> {
    type Item = Result<Change<Arc<str>, S>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(change) = &mut this.change {
                ready!(change.as_mut().poll(cx));
                this.change = None;
                this.began = Instant::now();
                this.seen = this.changes.count();
                this.left = this.members.len();
                this.asked = false;
            }
            if !this.asked {
                this.asked = true;
                this.ask();
            }
            while this.left > 0 {
                this.left -= 1;
                let index = this.next;
                this.next = (index + 1) % this.members.len().max(1);
                let Some((member, inserted)) = this.members.get_mut(index) else {
                    continue;
                };
                let (usable, _) = member.look();
                if usable == *inserted {
                    continue;
                }
                *inserted = usable;
                let name = Arc::clone(&member.name);
                return Poll::Ready(Some(Ok(if usable {
                    Change::Insert(name, member.service.clone())
                } else {
                    Change::Remove(name)
                })));
            }
            let changes = Arc::clone(&this.changes);
            this.change = Some(Box::pin(changes.wait(this.seen, this.due())));
        }
    }
}

/// Nothing in it is pinned but what is on the heap.
impl<S> Unpin for HealthyDiscover<S> {}

impl<S> fmt::Debug for HealthyDiscover<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthyDiscover")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

// === impl Pool ===

impl<S: Send + Sync + 'static, C> Pool<S, C> {
    /// Follows what this says of the endpoints, in a task that ends with the pool: what it inserts is put in under its key, and what it removes is taken out.
    ///
    /// An endpoint that is inserted again is replaced, and what was measured of it stays. After an error the last known ones are kept, and it is asked again a second
    /// later; where it ends, they stay.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn discover<D>(&self, discover: D)
    where
        D: Discover<Service = S> + Send + 'static,
        D::Key: fmt::Display + Send,
        D::Error: fmt::Display + Send,
    {
        self.discover_with(discover, |name, service| Member::new(name, service));
    }

    /// Follows what this says of the endpoints, as [`discover`](Self::discover) does, and makes members of what it inserts, by name and service. They keep the name that
    /// they are given here.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn discover_with<D, M>(&self, discover: D, make: M)
    where
        D: Discover + Send + 'static,
        D::Key: fmt::Display + Send,
        D::Service: Send,
        D::Error: fmt::Display + Send,
        M: FnMut(Arc<str>, D::Service) -> Member<S> + Send + 'static,
    {
        let shared = Arc::downgrade(self.shared());
        let tasks = &self.shared().tasks;
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(follow(shared, discover, make));
    }
}

async fn follow<S, D, M>(shared: Weak<Shared<S>>, discover: D, mut make: M)
where
    D: Discover,
    D::Key: fmt::Display,
    D::Error: fmt::Display,
    M: FnMut(Arc<str>, D::Service) -> Member<S>,
{
    let mut discover = pin!(discover);
    loop {
        // What is there at once is done in one step; the last word on each counts.
        let mut batch: BTreeMap<Arc<str>, Option<Member<S>>> = BTreeMap::new();
        let end = poll_fn(|cx| {
            while batch.len() < BATCH {
                match discover.as_mut().poll_discover(cx) {
                    Poll::Ready(Some(Ok(Change::Insert(key, service)))) => {
                        let name: Arc<str> = key.to_string().into();
                        let mut member = make(Arc::clone(&name), service);
                        member.name = Arc::clone(&name);
                        batch.insert(name, Some(member));
                    }
                    Poll::Ready(Some(Ok(Change::Remove(key)))) => {
                        batch.insert(key.to_string().into(), None);
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Some(Ok(()))),
                }
            }
            Poll::Ready(Some(Ok(())))
        })
        .await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let gone: Vec<_> = batch
            .iter()
            .filter(|(_, member)| member.is_none())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let added = batch.len() - gone.len();
        let upstream = Arc::clone(&shared.settings.upstream);
        if !batch.is_empty() {
            telemetry::endpoints_changed(&upstream, added, gone.len());
            // Both are in order.
            let keep = |name: &str| gone.binary_search_by(|other| (**other).cmp(name)).is_err();
            shared.change(keep, batch.into_values().flatten());
        }
        drop(shared);
        match end {
            // One that always has more to say does not keep others from running.
            Some(Ok(())) => yield_now().await,
            Some(Err(error)) => {
                telemetry::discovery_failed(&upstream, &error);
                sleep(AFTER_ERROR).await;
            }
            None => return,
        }
    }
}

/// How many changes are done in one step at most.
const BATCH: usize = 1024;
/// So that one that fails at once, again and again, makes no busy loop.
const AFTER_ERROR: Duration = Duration::from_secs(1);
