//! What rules can see while one request or response is mapped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, Method, StatusCode};

use crate::address::Place;
use crate::out::{Out, Text};
use crate::report::{ChangeKind, Notes};
use crate::scan::{Entry, Stop, scan};
use crate::trie::Trie;
use crate::vars::VarValues;
use crate::{Address, Cookies, Form, json, query};

/// A document that was looked into.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) text: &'a str,
    /// Where in the input it stands, if it does.
    pub(crate) origin: Option<usize>,
    pub(crate) entries: Vec<Entry>,
}

/// All that addresses lead to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Env<'a> {
    pub(crate) head: Head<'a>,
    /// The body, or the data of an event.
    pub(crate) body: Option<&'a Frame<'a>>,
    pub(crate) form: Option<&'a Form>,
    pub(crate) item: Option<Item<'a>>,
    pub(crate) vars: &'a VarValues,
    /// What was looked up in this message, so that each table is made once however many elements ask.
    pub(crate) lookups: Option<&'a Lookups>,
    /// What somebody should know of, where somebody asks.
    pub(crate) notes: Option<&'a Notes>,
    /// The name of an event.
    pub(crate) event: Option<&'a str>,
}

/// By the transform that asks: what it takes, by the type and the text of the key.
pub(crate) type Lookups = RefCell<HashMap<usize, LookupTable>>;

pub(crate) type LookupTable = HashMap<(&'static str, String), String>;

/// The head of a message, as far as there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) method: Option<&'a Method>,
    pub(crate) path: Option<&'a str>,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) status: Option<StatusCode>,
}

/// The element at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// `None` until it is looked into.
    pub(crate) frame: Option<&'a Frame<'a>>,
    pub(crate) key: Option<&'a str>,
    pub(crate) position: usize,
    /// Of what it is in; 0 where no rule asks.
    pub(crate) length: usize,
}

// === impl Frame ===

impl<'a> Frame<'a> {
    pub(crate) fn at(index: usize, text: &'a Text<'_>, trie: &Trie) -> Result<Self, Stop> {
        Ok(Self {
            text: &text.text,
            origin: text.origin,
            entries: scan(&text.text, trie, index)?,
        })
    }

    /// What is at the node with this index, if anything is.
    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index).filter(|entry| entry.is_there)
    }

    pub(crate) fn text_at(&self, index: usize) -> Option<Text<'a>> {
        let entry = self.entry(index)?;
        Some(Text::part(self.text, self.origin, entry.value.clone()))
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a str {
        json::slice(self.text, range)
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub(crate) fn copy(&self, range: Range<usize>, out: &mut Out) {
        out.push_part(self.text, self.origin, range);
    }
}

// === impl Head ===

impl Head<'_> {
    /// Whether there is a header, a query parameter or a cookie of this name.
    pub(crate) fn holds(&self, address: &Address) -> bool {
        match &address.0 {
            Place::Header(name) => self.headers.is_some_and(|all| all.contains_key(name)),
            Place::Query(name) => self
                .query
                .is_some_and(|query| query::values(query, name).next().is_some()),
            Place::Cookie(name) => {
                let lines = self.headers.map(|headers| headers.get_all(COOKIE));
                let mut lines = lines.into_iter().flatten();
                lines.any(|line| {
                    let line = str::from_utf8(line.as_bytes()).unwrap_or_default();
                    Cookies::new(line).get(name).is_some()
                })
            }
            _ => false,
        }
    }
}

// === impl Env ===

impl<'a> Env<'a> {
    /// Whether there is something at an address of the head or a form.
    pub(crate) fn holds(&self, address: &Address) -> bool {
        match &address.0 {
            Place::Form(name) => self.form.is_some_and(|form| form.field(name).is_some()),
            _ => self.head.holds(address),
        }
    }

    /// Notes a change at an address.
    pub(crate) fn note(&self, kind: ChangeKind, address: &Arc<str>) {
        if let Some(notes) = self.notes {
            notes.add(kind, address, None);
        }
    }

    pub(crate) const fn at_item<'b>(
        &self,
        key: Option<&'b str>,
        position: usize,
        length: usize,
    ) -> Env<'b>
    where
        'a: 'b,
    {
        Env {
            head: self.head,
            body: self.body,
            form: self.form,
            vars: self.vars,
            lookups: self.lookups,
            notes: self.notes,
            event: self.event,
            item: Some(Item {
                frame: None,
                key,
                position,
                length,
            }),
        }
    }
}
