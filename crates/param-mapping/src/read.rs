//! Addresses as they are followed: what a rule finds, and how that is said at its target.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use http::header::COOKIE;
use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::InvalidConfig;

use crate::address::Root;
use crate::address::path::Segment;
use crate::env::{Env, Frame};
use crate::out::Text;
use crate::refusal::Refusal;
use crate::{Address, Cookies, Form, PathTemplate, json, query};

mod found;

pub(crate) use self::found::{Found, scalar};
use self::found::{bad_encoding, bytes, header_line};

/// An address, bound to a plan.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) address: Address,
    pub(crate) kind: ReadKind,
}

#[derive(Debug)]
pub(crate) enum ReadKind {
    /// A node of the trie of a document.
    Node(Root, usize),
    /// From there on down a path.
    Walk {
        root: Root,
        node: usize,
        path: Vec<Segment>,
        /// It leads to one place at most.
        is_single: bool,
        last_of_twins: bool,
    },
    Query(String),
    Header(HeaderName),
    Cookie(String),
    Segment(Box<PathTemplate>, String),
    Path,
    Form(String),
    /// By its number.
    Var(usize),
    Method,
    Status,
    Event,
    Secret(Secret),
}

/// A text that is never shown, as JSON.
pub(crate) struct Secret(pub(crate) String);

// === impl Read ===

impl Read {
    pub(crate) fn find<'a>(&'a self, env: &Env<'a>) -> Result<Option<Found<'a>>, Refusal> {
        Ok(match &self.kind {
            ReadKind::Node(root, node) => {
                let frame = frame(*root, env);
                frame
                    .and_then(|frame| frame.text_at(*node))
                    .map(Found::Json)
            }
            ReadKind::Walk { is_single, .. } => {
                let mut nodes = self.nodes(env)?;
                if *is_single {
                    nodes.pop().map(Found::Json)
                } else if nodes.is_empty() {
                    None
                } else {
                    let texts: Vec<_> = nodes.iter().map(|node| &*node.text).collect();
                    Some(Found::Json(Text::made(format!("[{}]", texts.join(",")))))
                }
            }
            ReadKind::Query(name) => {
                let Some(query) = env.head.query else {
                    return Ok(None);
                };
                let values: Vec<_> = query::values(query, name).collect();
                (!values.is_empty()).then_some(Found::Query(values))
            }
            ReadKind::Header(name) => {
                let Some(headers) = env.head.headers else {
                    return Ok(None);
                };
                let values: Vec<_> = headers.get_all(name).iter().collect();
                (!values.is_empty()).then_some(Found::Header(values))
            }
            ReadKind::Cookie(name) => {
                let mut values = Vec::new();
                for line in cookie_lines(env) {
                    let line = header_line(line, &self.address)?;
                    let cookies = Cookies::new(line);
                    let named = cookies.values(name);
                    values.extend(named.map(|value| Cow::Borrowed(value.as_bytes())));
                }
                (!values.is_empty()).then_some(Found::Plain(values, None))
            }
            ReadKind::Segment(template, name) => {
                let Some(path) = env.head.path else {
                    return Ok(None);
                };
                let part = template.get(path, name);
                let part = part.map_err(|_| bad_encoding(&self.address))?;
                part.map(|part| Found::Plain(vec![bytes(part)], None))
            }
            ReadKind::Path => env
                .head
                .path
                .map(|path| Found::Plain(vec![path.as_bytes().into()], None)),
            ReadKind::Form(name) => {
                let fields = env.form.into_iter().flat_map(Form::fields);
                let named = fields.filter(|field| field.name() == name.as_bytes());
                let values: Vec<_> = named.map(|field| (&**field.value()).into()).collect();
                (!values.is_empty()).then_some(Found::Plain(values, Some(name)))
            }
            ReadKind::Var(slot) => {
                let value = env.vars.get(*slot).and_then(OnceLock::get);
                value.map(|text| Found::Json(Text::constant(text)))
            }
            ReadKind::Method => env
                .head
                .method
                .map(|method| Found::Json(Text::made(json::encode_string(method.as_str())))),
            ReadKind::Status => env
                .head
                .status
                .map(|status| Found::Json(Text::made(status.as_u16().to_string()))),
            ReadKind::Event => env
                .event
                .map(|name| Found::Json(Text::made(json::encode_string(name)))),
            ReadKind::Secret(Secret(text)) => Some(Found::Json(Text::constant(text))),
        })
    }

    /// The values one by one, where an address leads to several.
    pub(crate) fn nodes<'a>(&'a self, env: &Env<'a>) -> Result<Vec<Text<'a>>, Refusal> {
        let ReadKind::Walk {
            root,
            node,
            path,
            last_of_twins,
            ..
        } = &self.kind
        else {
            return match self.find(env)? {
                None => Ok(Vec::new()),
                Some(Found::Json(text)) => Ok(vec![text]),
                Some(found) => found.texts(&self.address),
            };
        };
        let mut nodes = Vec::new();
        if let Some(frame) = frame(*root, env)
            && let Some(entry) = frame.entry(*node)
        {
            let text = frame.slice(entry.value.clone());
            let origin = frame.origin.map(|origin| origin + entry.value.start);
            walk(text, origin, path, *last_of_twins, &mut nodes).map_err(|()| self.twice())?;
        }
        Ok(nodes)
    }

    pub(crate) fn is_there(&self, env: &Env<'_>) -> Result<bool, Refusal> {
        Ok(match &self.kind {
            ReadKind::Node(root, node) => {
                frame(*root, env).is_some_and(|frame| frame.entry(*node).is_some())
            }
            ReadKind::Walk { .. } => !self.nodes(env)?.is_empty(),
            ReadKind::Query(name) => env
                .head
                .query
                .is_some_and(|query| query::values(query, name).next().is_some()),
            ReadKind::Header(name) => env
                .head
                .headers
                .is_some_and(|headers| headers.contains_key(name)),
            ReadKind::Cookie(_) | ReadKind::Segment(..) => self.find(env)?.is_some(),
            ReadKind::Path => env.head.path.is_some(),
            ReadKind::Form(name) => env.form.is_some_and(|form| form.field(name).is_some()),
            ReadKind::Var(slot) => env.vars.get(*slot).is_some_and(|var| var.get().is_some()),
            ReadKind::Method => env.head.method.is_some(),
            ReadKind::Status => env.head.status.is_some(),
            ReadKind::Event => env.event.is_some(),
            ReadKind::Secret(_) => true,
        })
    }

    /// Whether what is there has no type but that of a text.
    pub(crate) const fn is_text(&self) -> bool {
        matches!(
            self.kind,
            ReadKind::Query(_)
                | ReadKind::Header(_)
                | ReadKind::Cookie(_)
                | ReadKind::Segment(..)
                | ReadKind::Path
                | ReadKind::Form(_)
                | ReadKind::Event
        )
    }

    fn twice(&self) -> Refusal {
        let detail = format!("{} is given twice", self.address);
        Refusal::bad(&self.address, detail)
    }
}

fn frame<'a>(root: Root, env: &Env<'a>) -> Option<&'a Frame<'a>> {
    match root {
        Root::Body | Root::Data => env.body,
        Root::Item => env.item.and_then(|item| item.frame),
    }
}

/// Follows a path through valid JSON. Fails where a member that it names is there twice, and must not be.
fn walk<'a>(
    text: &'a str,
    origin: Option<usize>,
    path: &[Segment],
    last_of_twins: bool,
    nodes: &mut Vec<Text<'a>>,
) -> Result<(), ()> {
    let Some((segment, rest)) = path.split_first() else {
        nodes.push(Text::part(text, origin, 0..text.len()));
        return Ok(());
    };
    let Some(items) = json::items(text) else {
        return Ok(());
    };
    let length = match segment {
        Segment::Index(_) | Segment::Slice(_) => json::items(text).map_or(0, Iterator::count),
        Segment::Name(_) | Segment::Wildcard => 0,
    };
    let mut twin = None;
    for (position, item) in items.enumerate() {
        let key = (!item.key.is_empty()).then(|| json::decode_string(json::slice(text, item.key)));
        if !segment.selects(key.as_deref(), position, length) {
            continue;
        }
        if matches!(segment, Segment::Name(_)) {
            if twin.is_some() && !last_of_twins {
                return Err(());
            }
            twin = Some(item.value);
            continue;
        }
        let value = json::slice(text, item.value.clone());
        let origin = origin.map(|origin| origin + item.value.start);
        walk(value, origin, rest, last_of_twins, nodes)?;
    }
    if let Some(value) = twin {
        let origin = origin.map(|origin| origin + value.start);
        walk(json::slice(text, value), origin, rest, last_of_twins, nodes)?;
    }
    Ok(())
}

// === impl Secret ===

impl Secret {
    pub(crate) fn from_env(name: &str) -> Result<Self, InvalidConfig> {
        let text = std::env::var(name).map_err(|_| {
            InvalidConfig::whole(format!("the environment has no text in `{name}`"))
        })?;
        Ok(Self(json::encode_string(&text)))
    }

    /// What the file holds, without a line end behind it.
    pub(crate) fn from_file(path: &str) -> Result<Self, InvalidConfig> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            InvalidConfig::whole(format!("`{path}` cannot be read: {}", error.kind()))
        })?;
        let text = text.trim_end_matches(['\r', '\n']);
        Ok(Self(json::encode_string(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn cookie_lines<'a>(env: &Env<'a>) -> impl Iterator<Item = &'a HeaderValue> {
    let lines = env.head.headers.map(|headers| headers.get_all(COOKIE));
    lines.into_iter().flatten()
}
