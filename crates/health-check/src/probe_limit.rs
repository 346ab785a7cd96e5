use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many probes may run at once, of all the monitors that it is given to. Clones are one limit.
///
/// A probe waits for its turn before it starts, so that neither its [`timeout`](crate::Monitor::timeout) nor its latency has that in it, and the next interval begins when
/// it starts. The turns come in the order in which they were asked for. Too small a limit makes the intervals longer: a monitor whose upstream hangs keeps a place for as
/// long as a probe may last.
///
/// Probes [on demand](crate::Monitor::on_demand) take turns too; who asks for one waits no longer than a probe may last, its turn included. A
/// [`Composite`](crate::Composite) is one probe. A [`GrpcWatch`](crate::GrpcWatch) takes turns only where it asks by `Check`, and a [`Check`](crate::Check) of a probe never.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::num::NonZeroUsize;
/// use portcullis_health_check::{Monitor, ProbeLimit, State};
///
/// let limit = ProbeLimit::new(NonZeroUsize::new(50).unwrap());
/// let orders = Monitor::new(|| async { Ok(()) }).probe_limit(limit.clone()).start();
/// let users = Monitor::new(|| async { Ok(()) }).probe_limit(limit).start();
/// orders.wait_for(State::Up).await;
/// users.wait_for(State::Up).await;
/// # }
/// ```
#[derive(Clone)]
pub struct ProbeLimit {
    most: NonZeroUsize,
    places: Arc<Semaphore>,
}

/// The right to run one probe; dropped, it is another's.
pub(crate) type Place = OwnedSemaphorePermit;

// === impl ProbeLimit ===

impl ProbeLimit {
    /// A limit of so many probes at once.
    #[must_use]
    pub fn new(most: NonZeroUsize) -> Self {
        let places = most.get().min(Semaphore::MAX_PERMITS);
        Self {
            most,
            places: Arc::new(Semaphore::new(places)),
        }
    }
}

/// Whether they are one limit, and not only as large.
impl PartialEq for ProbeLimit {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.places, &other.places)
    }
}

impl Eq for ProbeLimit {}

impl fmt::Debug for ProbeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProbeLimit").field(&self.most).finish()
    }
}

/// Waits for a turn, where there is a limit.
pub(crate) async fn place(limit: Option<&ProbeLimit>) -> Option<Place> {
    let places = Arc::clone(&limit?.places);
    // An error would be that it was closed, which nobody does.
    places.acquire_owned().await.ok()
}
