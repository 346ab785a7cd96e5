use std::mem;
use std::sync::Arc;

use http::Extensions;
use http::request::Parts;
use portcullis_gateway_error::AttemptLog;
use portcullis_timeout::Deadline;

use crate::{Idempotent, RetryPolicy};

/// The head of a request as the caller sent it, kept for further attempts.
pub(crate) struct Head {
    /// Its extensions are empty as long as nobody looks at those that `known` has.
    parts: Parts,
    /// The extensions, where all of them are of our own types: these are kept without an allocation, which a clone of the map would cost for each.
    known: Option<Known>,
    deadline: Option<Deadline>,
    log: Option<AttemptLog>,
    has_policy: bool,
    /// The text of the authority, once it was asked for.
    authority: Option<Arc<str>>,
}

struct Known {
    idempotent: Option<Idempotent>,
    /// Few requests have one, and it is large.
    policy: Option<Box<RetryPolicy>>,
}

// === impl Head ===

impl Head {
    /// Copies what another attempt needs.
    pub(crate) fn keep(request: &mut Parts) -> Self {
        // Without the extensions, which may be cheaper to keep.
        let extensions = mem::take(&mut request.extensions);
        let mut parts = request.clone();
        request.extensions = extensions;

        let extensions = &request.extensions;
        let deadline = extensions.get().copied();
        let log = extensions.get().cloned();
        let known = Known {
            idempotent: extensions.get().copied(),
            policy: extensions.get().cloned().map(Box::new),
        };
        let count = [
            deadline.is_some(),
            log.is_some(),
            known.idempotent.is_some(),
            known.policy.is_some(),
        ];
        let known = if count.into_iter().filter(|is| *is).count() == extensions.len() {
            Some(known)
        } else {
            parts.extensions = extensions.clone();
            None
        };
        Self {
            parts,
            known,
            deadline,
            log,
            has_policy: extensions.get::<RetryPolicy>().is_some(),
            authority: None,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    pub(crate) const fn log(&self) -> Option<&AttemptLog> {
        self.log.as_ref()
    }

    /// Whether the request says itself what is retried.
    pub(crate) const fn has_policy(&self) -> bool {
        self.has_policy
    }

    /// Where the request goes, as far as it says so itself.
    pub(crate) fn authority(&mut self) -> Option<Arc<str>> {
        if self.authority.is_none() {
            let authority = self.parts.uri.authority();
            self.authority = authority.map(|authority| authority.as_str().into());
        }
        self.authority.clone()
    }

    /// The whole head.
    pub(crate) fn whole(&mut self) -> &Parts {
        let extensions = &mut self.parts.extensions;
        if let Some(known) = &self.known
            && extensions.is_empty()
        {
            fn put<T: Clone + Send + Sync + 'static>(
                extensions: &mut Extensions,
                value: Option<T>,
            ) {
                if let Some(value) = value {
                    extensions.insert(value);
                }
            }
            put(extensions, self.deadline);
            put(extensions, self.log.clone());
            put(extensions, known.idempotent);
            put(extensions, known.policy.as_deref().cloned());
        }
        &self.parts
    }

    /// The whole head, for another attempt.
    pub(crate) fn again(&mut self) -> Parts {
        self.whole();
        if self.known.is_none() {
            return self.parts.clone();
        }
        // The next one who looks makes them again, which costs what a clone would.
        let extensions = mem::take(&mut self.parts.extensions);
        let mut parts = self.parts.clone();
        parts.extensions = extensions;
        parts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;

    #[test]
    fn what_is_kept_is_what_the_caller_sent() {
        let mut request = Request::put("http://a/b?c")
            .version(http::Version::HTTP_2)
            .header("x-one", "1")
            .header("x-one", "2")
            .extension(Idempotent(true))
            .extension(RetryPolicy::off())
            .extension(AttemptLog::default())
            .extension(Deadline::after(Duration::from_secs(3)))
            .body(())
            .unwrap()
            .into_parts()
            .0;

        for foreign in [false, true] {
            if foreign {
                request.extensions.insert("a type of somebody else");
            }
            let mut kept = Head::keep(&mut request);

            assert_eq!(kept.parts.extensions.is_empty(), !foreign);
            assert_eq!(kept.deadline(), request.extensions.get().copied());
            assert_eq!(kept.authority().as_deref(), Some("a"));
            for whole in [kept.whole().clone(), kept.again(), kept.again()] {
                assert_eq!(
                    (&whole.method, &whole.uri, whole.version, &whole.headers),
                    (
                        &request.method,
                        &request.uri,
                        request.version,
                        &request.headers
                    )
                );
                assert_eq!(whole.extensions.len(), request.extensions.len());
                assert_eq!(
                    whole.extensions.get::<Idempotent>(),
                    Some(&Idempotent(true))
                );
                assert_eq!(
                    whole.extensions.get::<RetryPolicy>(),
                    Some(&RetryPolicy::off())
                );
                assert_eq!(whole.extensions.get::<&str>().is_some(), foreign);
            }
        }
    }
}
