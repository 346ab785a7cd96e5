//! Addresses as they are followed: what a rule finds, and how that is said at its target.

use std::borrow::Cow;
use std::fmt;

use http::header::COOKIE;
use http::{HeaderName, HeaderValue};
use portcullis_gateway_error::InvalidConfig;

use crate::address::path::Segment;
use crate::address::{Place, Root};
use crate::constant::Output;
use crate::env::{Env, Frame};
use crate::out::Text;
use crate::refusal::Refusal;
use crate::{Address, Cookies, Form, PathTemplate, fields, json, query};

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
    Method,
    Status,
    Secret(Secret),
}

/// A text that is never shown, as JSON.
pub(crate) struct Secret(pub(crate) String);

/// The values at one address.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    Json(Text<'a>),
    /// Still encoded, and not empty.
    Query(Vec<&'a str>),
    /// Not empty.
    Header(Vec<&'a HeaderValue>),
    /// Not encoded, and not empty; and the name of the field, if they are of one.
    Plain(Vec<Cow<'a, [u8]>>, Option<&'a str>),
}

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
            ReadKind::Method => env
                .head
                .method
                .map(|method| Found::Json(Text::made(json::encode_string(method.as_str())))),
            ReadKind::Status => env
                .head
                .status
                .map(|status| Found::Json(Text::made(status.as_u16().to_string()))),
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
            ReadKind::Method => env.head.method.is_some(),
            ReadKind::Status => env.head.status.is_some(),
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
        )
    }

    fn twice(&self) -> Refusal {
        let detail = format!("{} is given twice", self.address);
        Refusal::bad(&self.address, detail)
    }
}

fn frame<'a>(root: Root, env: &Env<'a>) -> Option<&'a Frame<'a>> {
    match root {
        Root::Body => env.body,
        Root::Item => env.item.and_then(|item| item.frame),
        Root::Data => None,
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

// === impl Found ===

impl<'a> Found<'a> {
    /// Says it as the target takes it. Between two places of one kind no byte changes.
    pub(crate) fn output(
        self,
        from: &dyn fmt::Display,
        to: &'a Address,
    ) -> Result<Output<'a>, Refusal> {
        Ok(match &to.0 {
            Place::Query(name) => Output::Query(name, self.into_query(from, to)?),
            Place::Header(name) => Output::Header(name, self.into_headers(from, to)?),
            Place::Status => Output::Status(self.into_json(from)?),
            Place::Cookie(_) | Place::Segment(_) | Place::WholePath => {
                Output::Plain(to, self.into_plain(from, to)?)
            }
            Place::Form(name) => {
                let field = match self {
                    Self::Plain(_, field) => field,
                    _ => None,
                };
                let values = self.into_bytes(from, to)?.into_iter();
                let values = values.map(|bytes| fields::Value { bytes, from: field });
                Output::Field(name, values.collect())
            }
            _ => Output::Body(self.into_json(from)?),
        })
    }

    /// One JSON value. Of all that is no JSON it is a string.
    pub(crate) fn into_json(self, from: &dyn fmt::Display) -> Result<Text<'a>, Refusal> {
        let (count, first) = match self {
            Self::Json(text) => return Ok(text),
            Self::Query(values) => {
                let first = values.first().map(|value| decoded(value, from));
                (values.len(), first)
            }
            Self::Header(values) => {
                let first = values.first().map(|value| header_text(value, from));
                (values.len(), first)
            }
            Self::Plain(values, _) => {
                let count = values.len();
                let first = values.into_iter().next();
                (count, first.map(|value| plain_text(value, from)))
            }
        };
        // A body holds one value at one place; to choose among several would hide some from whoever looks at the others.
        match first {
            Some(text) if count == 1 => Ok(Text::made(json::encode_string(&text?))),
            _ => Err(too_many(from, count)),
        }
    }

    /// One text, as bytes that are not encoded.
    fn into_plain(self, from: &dyn fmt::Display, to: &Address) -> Result<Cow<'a, [u8]>, Refusal> {
        let mut values = self.into_bytes(from, to)?;
        match values.pop() {
            Some(value) if values.is_empty() => Ok(value),
            _ => Err(too_many(from, values.len() + 1)),
        }
    }

    /// All values, as bytes that are not encoded.
    fn into_bytes(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<Cow<'a, [u8]>>, Refusal> {
        match self {
            Self::Json(Text {
                text: Cow::Borrowed(text),
                ..
            }) => Ok(vec![bytes(scalar(text, from, to)?)]),
            Self::Json(text) => {
                let text = scalar(&text.text, from, to)?.into_owned();
                Ok(vec![bytes(text.into())])
            }
            Self::Query(values) => values
                .into_iter()
                .map(|value| decoded(value, from).map(bytes))
                .collect(),
            Self::Header(values) => {
                let values = values.into_iter();
                Ok(values.map(|value| value.as_bytes().into()).collect())
            }
            Self::Plain(values, _) => Ok(values),
        }
    }

    /// All values, each as a JSON string if it is none of JSON.
    pub(crate) fn texts(self, from: &dyn fmt::Display) -> Result<Vec<Text<'a>>, Refusal> {
        let made = |text: Cow<'_, str>| Text::made(json::encode_string(&text));
        match self {
            Self::Json(text) => Ok(vec![text]),
            Self::Query(values) => values
                .into_iter()
                .map(|value| decoded(value, from).map(made))
                .collect(),
            Self::Header(values) => values
                .into_iter()
                .map(|value| header_text(value, from).map(made))
                .collect(),
            Self::Plain(values, _) => values
                .into_iter()
                .map(|value| plain_text(value, from).map(made))
                .collect(),
        }
    }

    fn into_query(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<Cow<'a, str>>, Refusal> {
        let encode = |bytes: &[u8]| Cow::Owned(query::encode(bytes));
        Ok(match self {
            Self::Json(text) => vec![encode(scalar(&text.text, from, to)?.as_bytes())],
            Self::Query(values) => values.into_iter().map(Cow::Borrowed).collect(),
            Self::Header(values) => {
                let values = values.into_iter();
                values.map(|value| encode(value.as_bytes())).collect()
            }
            Self::Plain(values, _) => values.iter().map(|value| encode(value)).collect(),
        })
    }

    fn into_headers(
        self,
        from: &dyn fmt::Display,
        to: &Address,
    ) -> Result<Vec<HeaderValue>, Refusal> {
        let header = |text: &[u8]| {
            // Not `from_str`, which takes ASCII only.
            HeaderValue::from_bytes(text).map_err(|_| {
                let detail = format!("{from} holds a character that {to} cannot hold");
                Refusal::bad(&from, detail)
            })
        };
        match self {
            Self::Json(text) => Ok(vec![header(scalar(&text.text, from, to)?.as_bytes())?]),
            Self::Query(values) => {
                let values = values.into_iter();
                values
                    .map(|value| header(decoded(value, from)?.as_bytes()))
                    .collect()
            }
            Self::Plain(values, _) => values.iter().map(|value| header(value)).collect(),
            Self::Header(values) => Ok(values.into_iter().cloned().collect()),
        }
    }
}

fn decoded<'a>(value: &str, from: &dyn fmt::Display) -> Result<Cow<'a, str>, Refusal> {
    query::decode(value)
        .map(Cow::Owned)
        .ok_or_else(|| bad_encoding(from))
}

fn header_text<'a>(
    value: &'a HeaderValue,
    from: &dyn fmt::Display,
) -> Result<Cow<'a, str>, Refusal> {
    header_line(value, from).map(Cow::Borrowed)
}

fn header_line<'a>(value: &'a HeaderValue, from: &dyn fmt::Display) -> Result<&'a str, Refusal> {
    str::from_utf8(value.as_bytes()).map_err(|_| bad_encoding(from))
}

fn cookie_lines<'a>(env: &Env<'a>) -> impl Iterator<Item = &'a HeaderValue> {
    let lines = env.head.headers.map(|headers| headers.get_all(COOKIE));
    lines.into_iter().flatten()
}

fn plain_text<'a>(value: Cow<'a, [u8]>, from: &dyn fmt::Display) -> Result<Cow<'a, str>, Refusal> {
    Ok(match value {
        Cow::Borrowed(value) => {
            Cow::Borrowed(str::from_utf8(value).map_err(|_| bad_encoding(from))?)
        }
        Cow::Owned(value) => Cow::Owned(String::from_utf8(value).map_err(|_| bad_encoding(from))?),
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn too_many(from: &dyn fmt::Display, count: usize) -> Refusal {
    let detail = format!("{from} is given {count} times, once is what fits");
    Refusal::bad(&from, detail)
}

/// The text of a string, a number or a boolean, which is all that a header or a query can hold.
pub(crate) fn scalar<'a>(
    text: &'a str,
    from: &dyn fmt::Display,
    to: &dyn fmt::Display,
) -> Result<Cow<'a, str>, Refusal> {
    match text.as_bytes().first() {
        Some(b'"') => Ok(json::decode_string(text)),
        Some(b'{' | b'[' | b'n') => {
            let found = json::type_name(text);
            let detail =
                format!("{from} is {found}, and {to} needs a string, a number or a boolean");
            Err(Refusal::bad(&from, detail))
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

fn bad_encoding(from: &dyn fmt::Display) -> Refusal {
    Refusal::bad(&from, format!("{from} is not UTF-8, or wrongly encoded"))
}
