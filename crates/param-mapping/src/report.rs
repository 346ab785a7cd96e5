//! What a mapping took from a message, or changed in it, beyond moving things about: told to the log, to metrics and to whoever asks.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use http::{Extensions, HeaderValue};
use sfv::{DictSerializer, KeyRef, StringRef};

use crate::plan::Side;

/// What was dropped, clamped and coerced in one exchange. It is in the extensions of the response, if there was anything.
///
/// It names addresses as rules do, and never a value. Of stacked layers it holds what all of them did. What `base: empty` leaves out is not in
/// it, and of what an `allow` list or `unmapped: drop` leaves out the place it was in.
///
/// ```
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// use portcullis_param_mapping::{ChangeKind, Mapping, ParamMappingLayer, Report, Rule};
/// # use portcullis_param_mapping::RequestBody;
/// # use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mapping = Mapping::builder().rule(Rule::remove("query:debug".parse()?)).build()?;
/// let layer = ParamMappingLayer::new(mapping).report_header("x-mapped".parse()?);
/// # let upstream = tower::service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
/// #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
/// # });
/// # let request = Request::get("/?debug=1").body(Full::<Bytes>::default())?;
/// let response = layer.layer(upstream).oneshot(request).await?;
///
/// assert_eq!(response.headers()["x-mapped"], r#"dropped=("query:debug")"#);
/// let report = response.extensions().get::<Report>().ok_or("no report")?;
/// let changes: Vec<_> = report.changes().map(|change| (change.kind(), change.param())).collect();
/// assert_eq!(changes, [(ChangeKind::Dropped, "query:debug")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    changes: Vec<Change>,
}

/// One kind of change at one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    kind: ChangeKind,
    /// The same text as in the plan.
    param: Arc<str>,
    count: usize,
    /// Of what was dropped because it did not fit.
    reason: Option<Box<str>>,
}

/// What a rule may do to a value that somebody should know of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It is gone: by `remove`, `allow` or `unmapped: drop`, by `otherwise: drop` of a table, or by `on_error: drop`.
    Dropped,
    /// It was outside the limits of `clamp`, and another number stands for it.
    Clamped,
    /// `coerce` made another text of it.
    Coerced,
}

/// The changes of one message, as they are noted while it is mapped. As many as there are rules, whatever the message holds.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<Change>>);

/// What the transforms of one rule did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Which of its sources had the value, counted from 0.
    pub(crate) source: usize,
    pub(crate) dropped: bool,
    pub(crate) clamped: bool,
    pub(crate) coerced: bool,
}

// === impl Report ===

impl Report {
    /// Returns the changes, those of the request before those of the response.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// Adds a change that a layer of your own made; one of the same kind and address counts once more.
    pub fn add(&mut self, kind: ChangeKind, param: &str) {
        let mut known = self.changes.iter_mut();
        match known.find(|change| change.kind == kind && *change.param == *param) {
            Some(change) => change.count += 1,
            None => self.changes.push(Change {
                kind,
                param: param.into(),
                count: 1,
                reason: None,
            }),
        }
    }

    /// Puts the changes of an earlier message in front.
    pub fn follow(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.changes.extend(later.changes);
    }

    /// Returns the changes as [`report_header`](crate::ParamMappingLayer::report_header) tells them; nothing where there are none.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let mut dictionary = DictSerializer::new();
        for kind in ChangeKind::ALL {
            let of_kind = self.changes().filter(|change| change.kind == kind);
            let mut params: Vec<_> = of_kind.map(Change::param).collect();
            // The request and the response may have the same.
            let mut known = std::collections::HashSet::new();
            params.retain(|param| known.insert(*param));
            if params.is_empty() {
                continue;
            }
            let mut list = dictionary.inner_list(kind.key());
            for param in params {
                // A name that is not ASCII is written as in a URI.
                let ascii =
                    percent_encoding::utf8_percent_encode(param, percent_encoding::CONTROLS);
                let ascii = ascii.to_string();
                if let Ok(text) = StringRef::from_str(&ascii) {
                    let _ = list.bare_item(text);
                }
            }
            let _ = list.finish();
        }
        HeaderValue::try_from(dictionary.finish()?).ok()
    }
}

// === impl Change ===

impl Change {
    /// Returns what was done.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// Returns the address, as in `body:/top_k`. Inside `for_each` it begins with `item:`.
    #[must_use]
    pub fn param(&self) -> &str {
        &self.param
    }

    /// Returns how often: more than once only for what is done to elements.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }
}

// === impl ChangeKind ===

impl ChangeKind {
    const ALL: [Self; 3] = [Self::Dropped, Self::Clamped, Self::Coerced];

    /// Returns the word for it, as in the header, in logs and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Clamped => "clamped",
            Self::Coerced => "coerced",
        }
    }

    const fn key(self) -> &'static KeyRef {
        KeyRef::constant(self.as_str())
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Notes ===

impl Notes {
    pub(crate) fn add(&self, kind: ChangeKind, param: &Arc<str>, reason: Option<&str>) {
        let mut changes = self.0.borrow_mut();
        let mut known = changes.iter_mut();
        match known.find(|change| change.kind == kind && change.param == *param) {
            Some(change) => change.count += 1,
            None => changes.push(Change {
                kind,
                param: Arc::clone(param),
                count: 1,
                reason: reason.map(Into::into),
            }),
        }
    }

    /// Whether somebody listens.
    pub(crate) fn are_told() -> bool {
        cfg!(feature = "metrics") || tracing::enabled!(tracing::Level::DEBUG)
    }

    /// Tells the log and the metrics, once the message is mapped.
    pub(crate) fn tell(&self, side: Side) {
        for change in &*self.0.borrow() {
            tracing::debug!(
                kind = change.kind.as_str(),
                param = &*change.param,
                count = change.count,
                reason = change.reason.as_deref(),
                side = side.as_str(),
                "parameter changed"
            );
            #[cfg(feature = "metrics")]
            {
                let count = u64::try_from(change.count).unwrap_or(u64::MAX);
                let param = Arc::clone(&change.param);
                metrics::counter!(
                    "param_mapping.changes",
                    "kind" => change.kind.as_str(), "param" => param, "side" => side.as_str()
                )
                .increment(count);
            }
        }
    }

    /// Leaves them with the message.
    pub(crate) fn leave(self, extensions: &mut Extensions) {
        let changes = self.0.into_inner();
        if changes.is_empty() {
            return;
        }
        match extensions.get_mut::<Report>() {
            Some(report) => report.changes.extend(changes),
            None => {
                extensions.insert(Report { changes });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_dictionary_of_lists() {
        let notes = Notes::default();
        for (kind, param) in [
            (ChangeKind::Clamped, "body:/n"),
            (ChangeKind::Dropped, "body:/a\"b"),
            (ChangeKind::Dropped, "query:\u{e4}"),
            (ChangeKind::Dropped, "query:\u{e4}"),
            (ChangeKind::Clamped, "body:/n"),
        ] {
            notes.add(kind, &param.into(), None);
        }
        let mut extensions = Extensions::new();
        notes.leave(&mut extensions);

        let report = extensions.get::<Report>().unwrap();

        assert_eq!(
            report.header().unwrap(),
            r#"dropped=("body:/a\"b" "query:%C3%A4"), clamped=("body:/n")"#
        );
        let counts: Vec<_> = report.changes().map(Change::count).collect();
        assert_eq!(counts, [2, 1, 2]);
        assert!(Report::default().header().is_none());
    }
}
