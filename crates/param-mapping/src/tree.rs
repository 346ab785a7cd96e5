//! What the rules do to a JSON text, by place, and how the text is written anew around it.

use std::borrow::Cow;

use crate::json::{self, Item};
use crate::refusal::Refusal;

/// A place that rules name, or that lies on the way to one.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The last token of its pointer, the same as the key of a member with its colon, and as the index of an element.
    token: String,
    key: String,
    index: Option<usize>,
    address: String,
    /// The rules that read it.
    pub(crate) reads: Vec<usize>,
    pub(crate) removed: bool,
    /// The rule that writes it, and the one that gives it a default.
    pub(crate) write: Option<usize>,
    pub(crate) default: Option<usize>,
    children: Vec<Self>,
}

/// A JSON text, looked into as far as a [`Node`] reaches.
#[derive(Debug)]
pub(crate) struct View<'a> {
    text: &'a str,
    /// `None` for a scalar, and where the node has no children.
    inside: Option<Inside<'a>>,
}

/// What of an object or an array the children name. The rest is only known to be between.
#[derive(Debug)]
struct Inside<'a> {
    /// Where the first item starts and the last one ends: behind the bracket where there is none.
    start: usize,
    end: usize,
    named: Vec<Named<'a>>,
}

#[derive(Debug)]
struct Named<'a> {
    /// Where the item before it ends, or the bracket.
    before: usize,
    item: Item,
    /// Where the item behind it starts, if there is one.
    after: usize,
    child: usize,
    view: View<'a>,
}

/// What each rule writes, as JSON; `None` where it writes nothing this time.
pub(crate) type Values<'a> = [Option<Cow<'a, str>>];

// === impl Node ===

impl Node {
    /// The place with these tokens below this one, made if need be.
    pub(crate) fn at(&mut self, tokens: &[String]) -> &mut Self {
        let Some((token, rest)) = tokens.split_first() else {
            return self;
        };
        let known = self
            .children
            .iter()
            .position(|child| child.token == *token)
            .unwrap_or(self.children.len());
        if known == self.children.len() {
            let parent = if self.address.is_empty() {
                "body:"
            } else {
                &self.address
            };
            let escaped = token.replace('~', "~0").replace('/', "~1");
            let address = format!("{parent}/{escaped}");
            self.children.push(Self {
                token: token.clone(),
                index: token
                    .parse()
                    .ok()
                    .filter(|index: &usize| index.to_string() == *token),
                key: json::encode_string(token) + ":",
                address,
                ..Self::default()
            });
        }
        match self.children.get_mut(known) {
            Some(child) => child.at(rest),
            None => unreachable!("pushed above"),
        }
    }

    /// Looks into a valid JSON text without space around it.
    pub(crate) fn look<'a>(&self, text: &'a str) -> Result<View<'a>, Refusal> {
        let items = if self.children.is_empty() {
            None
        } else {
            json::items(text)
        };
        let Some(items) = items else {
            return Ok(View { text, inside: None });
        };
        let is_object = text.starts_with('{');
        let (mut start, mut end) = (None, 1);
        let mut named: Vec<Named<'a>> = Vec::new();
        for (position, item) in items.enumerate() {
            start = start.or(Some(item.key.start));
            let before = std::mem::replace(&mut end, item.value.end);
            if let Some(last) = named.last_mut()
                && last.item.value.end == before
            {
                last.after = item.key.start;
            }
            let child = if is_object {
                let key = json::decode_string(json::slice(text, item.key.clone()));
                self.children.iter().position(|child| child.token == key)
            } else {
                let mut children = self.children.iter();
                children.position(|child| child.index == Some(position))
            };
            let Some((child, node)) =
                child.and_then(|child| Some((child, self.children.get(child)?)))
            else {
                continue;
            };
            if named.iter().any(|named| named.child == child) {
                let detail = format!("{} is given twice", node.address);
                return Err(Refusal::bad(&node.address, detail));
            }
            let view = node.look(json::slice(text, item.value.clone()))?;
            named.push(Named {
                before,
                after: item.value.end,
                item,
                child,
                view,
            });
        }
        let start = start.unwrap_or(end);
        let inside = Some(Inside { start, end, named });
        Ok(View { text, inside })
    }

    /// Hands out what the rules read: the text of each place that is there, to each rule that reads it.
    pub(crate) fn gather<'a>(&self, view: &View<'a>, found: &mut [Option<&'a str>]) {
        for rule in &self.reads {
            if let Some(found) = found.get_mut(*rule) {
                *found = Some(view.text);
            }
        }
        for named in view.inside.iter().flat_map(|inside| &inside.named) {
            if let Some(child) = self.children.get(named.child) {
                child.gather(&named.view, found);
            }
        }
    }

    /// Writes this place anew: removals first, then what is written, from the outside inwards, then defaults. Says whether anything is there then.
    pub(crate) fn emit(
        &self,
        original: Option<&View<'_>>,
        values: &Values<'_>,
        out: &mut String,
    ) -> Result<bool, Refusal> {
        let value = |rule: Option<usize>| rule.and_then(|rule| values.get(rule)?.as_deref());
        let replaced;
        let mut base = match value(self.write) {
            Some(text) => {
                replaced = self.look(text)?;
                Some(&replaced)
            }
            None if self.removed => None,
            None => original,
        };
        let default;
        if base.is_none_or(|view| view.text == "null")
            && let Some(text) = value(self.default)
        {
            default = self.look(text)?;
            base = Some(&default);
        }

        let Some(view) = base else {
            return self.create(values, out);
        };
        match &view.inside {
            Some(inside) => self.splice(view.text, inside, values, out)?,
            None => {
                let below = self.children.iter().find_map(|child| child.writer(values));
                if let Some(below) = below {
                    return Err(self.not_writable(view.text, below));
                }
                out.push_str(view.text);
            }
        }
        Ok(true)
    }

    /// Makes an object of what is written below, if anything is.
    fn create(&self, values: &Values<'_>, out: &mut String) -> Result<bool, Refusal> {
        let start = out.len();
        out.push('{');
        if !self.add_missing(|_| true, true, values, out)? {
            out.truncate(start);
            return Ok(false);
        }
        out.push('}');
        Ok(true)
    }

    /// Copies an object or an array and changes what the children name; the bytes of all else stay, the space between members too.
    fn splice(
        &self,
        text: &str,
        inside: &Inside<'_>,
        values: &Values<'_>,
        out: &mut String,
    ) -> Result<(), Refusal> {
        let lead = json::slice(text, 1..inside.start);
        // The text before `at` is written or dropped, and the next item starts at `next`.
        let (mut at, mut next) = (1, inside.start);
        // Whoever is written first has no comma before it, whatever it had.
        let mut is_first = true;
        let separate = |out: &mut String, is_first, from, to| {
            out.push_str(if is_first {
                lead
            } else {
                json::slice(text, from..to)
            });
        };
        out.push_str(json::slice(text, 0..1));
        for Named {
            before,
            item,
            after,
            child,
            view,
        } in &inside.named
        {
            if *before > at {
                separate(out, is_first, at, next);
                out.push_str(json::slice(text, next..*before));
                is_first = false;
            }
            let mark = out.len();
            separate(out, is_first, *before, item.key.start);
            out.push_str(json::slice(text, item.key.start..item.value.start));
            let is_there = match self.children.get(*child) {
                Some(child) => child.emit(Some(view), values, out)?,
                None => false,
            };
            if is_there {
                is_first = false;
            } else {
                out.truncate(mark);
            }
            (at, next) = (item.value.end, *after);
        }
        if inside.end > at {
            separate(out, is_first, at, next);
            out.push_str(json::slice(text, next..inside.end));
            is_first = false;
        }

        let is_missing = |index| inside.named.iter().all(|named| named.child != index);
        if text.starts_with('{') {
            self.add_missing(is_missing, is_first, values, out)?;
        } else {
            let children = self.children.iter().enumerate();
            let mut missing = children.filter(|(index, _)| is_missing(*index));
            if let Some(below) = missing.find_map(|(_, child)| child.writer(values)) {
                return Err(self.not_writable(text, below));
            }
        }
        out.push_str(json::slice(text, inside.end..text.len()));
        Ok(())
    }

    /// Writes the members that are not there yet, and says whether there was one.
    fn add_missing(
        &self,
        is_missing: impl Fn(usize) -> bool,
        mut is_first: bool,
        values: &Values<'_>,
        out: &mut String,
    ) -> Result<bool, Refusal> {
        let mut added = false;
        for (index, child) in self.children.iter().enumerate() {
            if !is_missing(index) {
                continue;
            }
            let mark = out.len();
            if !is_first {
                out.push(',');
            }
            out.push_str(&child.key);
            if child.emit(None, values, out)? {
                (is_first, added) = (false, true);
            } else {
                out.truncate(mark);
            }
        }
        Ok(added)
    }

    /// The address of a place, here or below, that would be written if it were missing.
    fn writer(&self, values: &Values<'_>) -> Option<&str> {
        let writes = |rule: Option<usize>| {
            rule.is_some_and(|rule| matches!(values.get(rule), Some(Some(_))))
        };
        if writes(self.write) || writes(self.default) {
            return Some(&self.address);
        }
        self.children.iter().find_map(|child| child.writer(values))
    }

    fn not_writable(&self, text: &str, below: &str) -> Refusal {
        let here = if self.address.is_empty() {
            "body:"
        } else {
            &self.address
        };
        let found = json::type_name(text);
        Refusal::bad(
            &below,
            format!("{below} cannot be written: {here} is {found}"),
        )
    }
}
