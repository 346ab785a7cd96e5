use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway_error::ErrorKind;
use tokio::task::JoinSet;

use crate::monitor::look;
use crate::probe::Finding;
use crate::{Probe, ProbeError};

/// Several probes as one: all of them must succeed, or any of them.
///
/// They run at the same time, each within its own time. The error names every one that failed, and has the kind of the first of them. Where those that decide are up and one
/// of them is [`degraded`](ProbeError::degraded), so is the whole; of any, one that is not degraded is enough.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use portcullis_gateway_error::ErrorKind;
/// use portcullis_health_check::{Composite, Probe, ProbeError};
///
/// let refused = || async { Err(ProbeError::new(ErrorKind::ConnectionRefused, "refused")) };
/// let probe = Composite::all("http", || async { Ok(()) }).with("admin", refused);
/// assert_eq!(probe.probe().await.unwrap_err().to_string(), "admin: refused");
/// # }
/// ```
#[must_use = "a probe does nothing until it is probed"]
#[derive(Clone)]
pub struct Composite {
    needed: Needed,
    parts: Vec<Part>,
    /// For a part that has no limit of its own.
    part_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needed {
    All,
    Any,
}

#[derive(Clone)]
struct Part {
    name: Arc<str>,
    probe: Arc<dyn DynProbe>,
}

/// A probe whose type is forgotten.
trait DynProbe: Send + Sync {
    fn look(self: Arc<Self>, limit: Duration) -> Looking;
    fn limit(&self) -> Option<Duration>;
}

type Looking = Pin<Box<dyn Future<Output = Finding> + Send>>;

// === impl Composite ===

impl Composite {
    /// A probe that succeeds when all of its parts do, of which this is the first.
    pub fn all(name: impl Into<Arc<str>>, probe: impl Probe) -> Self {
        Self::new(Needed::All).with(name, probe)
    }

    /// A probe that succeeds as soon as any of its parts does, of which this is the first. The others are dropped then.
    pub fn any(name: impl Into<Arc<str>>, probe: impl Probe) -> Self {
        Self::new(Needed::Any).with(name, probe)
    }

    const fn new(needed: Needed) -> Self {
        Self {
            needed,
            parts: Vec::new(),
            part_timeout: Duration::from_secs(1),
        }
    }

    /// Adds a part.
    pub fn with(mut self, name: impl Into<Arc<str>>, probe: impl Probe) -> Self {
        self.parts.push(Part {
            name: name.into(),
            probe: Arc::new(probe),
        });
        self
    }

    /// Replaces how long a part may last that has no limit of its own. Default: 1 s.
    pub const fn part_timeout(mut self, limit: Duration) -> Self {
        self.part_timeout = limit;
        self
    }

    fn limit_of(&self, part: &Part) -> Duration {
        part.probe.limit().unwrap_or(self.part_timeout)
    }

    /// What the errors say of the whole, those of parts that are degraded included.
    fn sum_up(&self, errors: Vec<(usize, ProbeError)>) -> Result<(), ProbeError> {
        let (degraded, failed): (Vec<_>, Vec<_>) = errors
            .into_iter()
            .partition(|(_, error)| error.is_degraded());
        let is_up = match self.needed {
            Needed::All => failed.is_empty(),
            Needed::Any => !degraded.is_empty(),
        };
        let error = if is_up {
            self.join(degraded).map(ProbeError::degraded)
        } else {
            self.join(failed)
        };
        error.map_or(Ok(()), Err)
    }

    /// The errors in the order of the parts as one.
    fn join(&self, mut errors: Vec<(usize, ProbeError)>) -> Option<ProbeError> {
        errors.sort_by_key(|(index, _)| *index);
        let (_, first) = errors.first()?;
        let failure = first.failure();
        let decisive = match self.needed {
            Needed::All => errors.iter().any(|(_, error)| error.is_decisive()),
            Needed::Any => errors.iter().all(|(_, error)| error.is_decisive()),
        };
        let named: Vec<_> = errors
            .iter()
            .filter_map(|(index, error)| Some(format!("{}: {error}", self.parts.get(*index)?.name)))
            .collect();
        let error = ProbeError::new(failure, named.join("; "));
        Some(if decisive { error.decisive() } else { error })
    }
}

impl Probe for Composite {
    async fn probe(&self) -> Result<(), ProbeError> {
        // Dropped with this future, it ends them all.
        let mut looking = JoinSet::new();
        for (index, part) in self.parts.iter().enumerate() {
            let look = Arc::clone(&part.probe).look(self.limit_of(part));
            looking.spawn(async move { (index, look.await) });
        }
        let mut errors = Vec::new();
        while let Some(joined) = looking.join_next().await {
            match joined {
                Ok((_, Ok(None))) if self.needed == Needed::Any => return Ok(()),
                Ok((_, Ok(None))) => {}
                Ok((index, Ok(Some(error)) | Err(error))) => errors.push((index, error)),
                // A part that panics is an error of it already; this one is the runtime's, which ends.
                Err(_) => {
                    let details = "a part was cancelled";
                    return Err(ProbeError::new(ErrorKind::ProxyInternalError, details));
                }
            }
        }
        self.sum_up(errors)
    }

    /// That of the part that may last longest, and a second, so that the parts end first and are named.
    fn timeout(&self) -> Option<Duration> {
        let longest = self.parts.iter().map(|part| self.limit_of(part)).max()?;
        Some(longest.saturating_add(Duration::from_secs(1)))
    }
}

impl fmt::Debug for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parts.iter().map(|part| &part.name).collect();
        f.debug_struct("Composite")
            .field("needed", &self.needed)
            .field("parts", &names)
            .field("part_timeout", &self.part_timeout)
            .finish()
    }
}

// === impl DynProbe ===

impl<P: Probe> DynProbe for P {
    fn look(self: Arc<Self>, limit: Duration) -> Looking {
        Box::pin(look(self, limit, None))
    }

    fn limit(&self) -> Option<Duration> {
        self.timeout()
    }
}
