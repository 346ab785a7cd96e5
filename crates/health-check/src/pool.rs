use std::collections::BTreeSet;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use portcullis_gateway_error::{Attempt, Audience, Classify, DefaultClassifier, ErrorKind};
use portcullis_timeout::Deadline;
use tokio::time::Instant;
use tower_service::Service;

use crate::detection::LONGEST;
use crate::pool::body::PoolBody;
use crate::pool::future::{Call, PoolFuture};
use crate::pool::shared::{Avoid, Picked, Shared};
use crate::pool::waiting::Waiting;
use crate::{Check, Mode, ProbeError, ProbeLimit, telemetry};

pub(crate) mod body;
#[cfg(feature = "discover")]
pub(crate) mod discover;
#[cfg(feature = "dns")]
pub(crate) mod dns;
pub(crate) mod future;
pub(crate) mod load;
pub(crate) mod member;
mod overview;
pub(crate) mod priority;
pub(crate) mod resolution;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod view;
pub(crate) mod waiting;

use self::member::{Member, MemberStatus};
use self::settings::PoolSettings;

/// The endpoints of one upstream as one service, which picks one of them for each call. Clones share them.
///
/// Of the endpoints that may be called, two are drawn by their weights, and the one that costs less is called: the power of two choices. The service of an endpoint is
/// cloned for a call, and made ready then; where it is not ready at once, another endpoint is asked too, and whichever is ready first is called.
///
/// One that is up and [degraded](crate::ProbeError::degraded) is drawn where no other may be called, of any priority: those of the first priority first. Where a priority panics, those
/// that are degraded in the others are drawn too.
///
/// It is always ready: what a request says, as its [`Attempt`], has to do with which endpoint is picked. Where none may be called it answers by itself, as the
/// [`Mode`] says: 503, or UNAVAILABLE for gRPC.
///
/// Of some it may not be known yet: before their first probe with [`Initial::WaitForFirst`](crate::Initial::WaitForFirst), or when what is known is too old
/// [on demand](crate::Monitor::on_demand). A call makes them be probed, up to 16 at once, and goes to another one meanwhile. Where there is none it waits for them, whatever
/// the mode is, but in [`Mode::FailFast`] no longer than a probe may last, and not longer than its [`Deadline`]. Nothing panics before they are known.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use portcullis_health_check::{Health, Member, Pool, State};
/// use tower::{ServiceExt, service_fn};
///
/// let answer = |name: &'static str| {
///     service_fn(move |_: Request<String>| async move {
///         Ok::<_, Infallible>(Response::builder().header("x-endpoint", name).body(String::new()).unwrap())
///     })
/// };
/// let pool = Pool::new();
/// pool.insert(Member::new("a", answer("a")).health(Health::fixed(State::Down)));
/// pool.insert(Member::new("b", answer("b")));
///
/// let response = pool.clone().oneshot(Request::new(String::new())).await.unwrap();
/// assert_eq!(response.headers()["x-endpoint"], "b");
/// # }
/// ```
///
/// # Cancel safety
/// Dropping the future of a call drops the inner call, or its place in the queue of an endpoint that is not ready; it gives back the place of a trial that it may have. An
/// endpoint that is taken out gets no calls any more; those in flight end undisturbed.
pub struct Pool<S, C = DefaultClassifier> {
    shared: Arc<Shared<S>>,
    classifier: C,
}

// === impl Pool ===

impl<S> Pool<S> {
    /// A pool without endpoints, of the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::with_settings(PoolSettings::new())
    }

    pub(crate) fn with_settings(settings: PoolSettings) -> Self {
        Self::of(Arc::new(Shared::new(settings)), DefaultClassifier)
    }
}

impl<S, C> Pool<S, C> {
    pub(crate) const fn of(shared: Arc<Shared<S>>, classifier: C) -> Self {
        Self { shared, classifier }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared<S>> {
        &self.shared
    }

    /// Replaces what classifies errors and answers, where calls are looked at and for how slow an endpoint looks. Default: [`DefaultClassifier`].
    #[must_use]
    pub fn classifier<D>(self, classifier: D) -> Pool<S, D> {
        Pool::of(self.shared, classifier)
    }

    /// Puts an endpoint in. One of the same name is replaced, and what was measured of it stays.
    pub fn insert(&self, member: Member<S>) {
        self.insert_all([member]);
    }

    /// Puts endpoints in, in one step.
    pub fn insert_all(&self, members: impl IntoIterator<Item = Member<S>>) {
        self.shared.change(|_| true, members);
    }

    /// Takes the endpoint of this name out; says whether it was there.
    pub fn remove(&self, name: &str) -> bool {
        let names = self.shared.names();
        let was_there = names.iter().any(|other| **other == *name);
        if was_there {
            self.shared.change(|other| other != name, []);
        }
        was_there
    }

    /// Makes these the endpoints: those that are there stay as they are, new ones are made, and all others are taken out, in one step.
    ///
    /// Of two that do so at once, the later one looks at what was there before the other.
    pub fn set<N, M>(&self, names: impl IntoIterator<Item = N>, make: M)
    where
        N: Into<Arc<str>>,
        M: FnMut(&Arc<str>) -> Member<S>,
    {
        let wanted: BTreeSet<Arc<str>> = names.into_iter().map(Into::into).collect();
        let there: BTreeSet<Arc<str>> = self.shared.names().into_iter().collect();
        let (added, removed) = (wanted.difference(&there), there.difference(&wanted).count());
        let added: Vec<_> = added.map(make).collect();
        if added.is_empty() && removed == 0 {
            return;
        }
        telemetry::endpoints_changed(&self.shared.settings.upstream, added.len(), removed);
        self.shared.change(|name| wanted.contains(name), added);
    }

    /// Returns how many endpoints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the limit of [`max_parallel_probes`](PoolSettings::max_parallel_probes), for the monitors of its endpoints.
    #[must_use]
    pub fn probe_limit(&self) -> Option<ProbeLimit> {
        self.shared.probe_limit.clone()
    }

    /// Returns what is known of each endpoint, by the order of their names.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        self.shared.status()
    }
}

impl<S: Send + Sync + 'static, C> Pool<S, C> {
    /// Makes a check for [`Endpoints`](crate::Endpoints) that is up while the health of an endpoint lets calls through, and degraded while all of those are. It costs no probe.
    ///
    /// Whoever may see [details](crate::Endpoints::details) sees how many endpoints are up, and of up to 32 of the others why they are not, since when, and when they are tried again.
    pub fn check(&self, name: impl Into<Arc<str>>) -> Check {
        let shared = Arc::clone(&self.shared);
        let look = move || {
            let members = shared.status();
            let usable = || members.iter().filter(|member| member.usable);
            let why = |details| ProbeError::new(ErrorKind::DestinationUnavailable, details);
            ready(if usable().any(|member| !member.degraded) {
                Ok(())
            } else if usable().next().is_some() {
                let (up, all) = (usable().count(), members.len());
                Err(why(format!("{up} of {all} endpoints are up, all degraded")).degraded())
            } else {
                let all = members.len();
                Err(why(format!("no calls may go to any of {all} endpoints")))
            })
        };
        let shared = Arc::clone(&self.shared);
        let overview = move || shared.overview();
        Check::probe(name, look)
            .max_age(Duration::ZERO)
            .overview(overview)
    }
}

impl<S: Clone, C: Clone> Pool<S, C> {
    /// No endpoint may be called.
    #[cold]
    fn none_left<ReqBody>(&self, request: Request<ReqBody>) -> PoolFuture<S::Future, S, ReqBody, C>
    where
        S: Service<Request<ReqBody>>,
    {
        let shared = &self.shared;
        let upstream = &shared.settings.upstream;
        let audience = Audience::of(&request);
        let (limit, settling) = match (shared.settings.mode, shared.patience()) {
            (Mode::Wait { limit }, None) => {
                telemetry::waiting(upstream);
                (limit, false)
            }
            (Mode::Wait { limit }, Some(_)) => {
                telemetry::asking(upstream);
                (limit, false)
            }
            (Mode::FailFast | Mode::Observe, Some(patience)) => {
                telemetry::asking(upstream);
                (patience, true)
            }
            (Mode::FailFast | Mode::Observe, None) => {
                telemetry::refused(upstream, false);
                let kept = &shared.kept;
                let refusal = kept.unavailable(&shared.settings.name, audience, shared.again());
                return PoolFuture::refused(refusal);
            }
        };
        let end = Instant::now() + limit.min(LONGEST);
        let deadline = request.extensions().get::<Deadline>().copied();
        let asked = shared.unsettled();
        let shared = Arc::clone(shared);
        let waiting = Waiting::for_any(shared, self.classifier.clone(), request)
            .until(end, deadline, audience)
            .asking(asked, settling);
        PoolFuture::waiting(waiting)
    }

    /// The endpoint that was picked is not ready: another one is asked too.
    #[cold]
    fn not_ready<ReqBody>(
        &self,
        request: Request<ReqBody>,
        first: Picked<S>,
    ) -> PoolFuture<S::Future, S, ReqBody, C>
    where
        S: Service<Request<ReqBody>>,
    {
        let second = self.shared.pick(Avoid {
            tried: request.extensions().get::<Attempt>(),
            busy: Some(first.in_flight.load()),
        });
        let shared = Arc::clone(&self.shared);
        let waiting = Waiting::for_any(shared, self.classifier.clone(), request);
        PoolFuture::waiting(waiting.with([Some(first), second]))
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Pool<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Classify<S::Error> + Clone,
{
    type Response = Response<PoolBody<ResBody>>;
    type Error = S::Error;
    type Future = PoolFuture<S::Future, S, ReqBody, C>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let attempt = request.extensions().get::<Attempt>();
        let picked = self.shared.pick(Avoid {
            tried: attempt,
            busy: None,
        });
        let Some(mut picked) = picked else {
            return self.none_left(request);
        };
        // Most are ready at once. One that is not is asked again by the future, with its own waker; so is one that fails.
        let mut cx = Context::from_waker(Waker::noop());
        match picked.service.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return self.not_ready(request, picked),
        }
        if let Some(attempt) = attempt {
            attempt.mark_tried(Arc::clone(&picked.in_flight.load().name));
        }
        let Picked {
            mut service,
            pass,
            in_flight,
            started,
        } = picked;
        let inner = service.call(request);
        let call = Call::new(pass, in_flight, started, self.classifier.clone());
        PoolFuture::called(inner, call)
    }
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, C: Clone> Clone for Pool<S, C> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared), self.classifier.clone())
    }
}

impl<S, C> fmt::Debug for Pool<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("len", &self.len())
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
