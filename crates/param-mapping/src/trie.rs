//! The places in a JSON document that rules name, and what the rules do there.

use std::sync::Arc;

use crate::json;
use crate::plan::Program;

/// The first node is the document itself.
#[derive(Debug)]
pub(crate) struct Trie {
    pub(crate) nodes: Vec<Node>,
    /// Of two members with one name the last one counts. Otherwise there must not be two.
    pub(crate) last_of_twins: bool,
}

/// A place that rules name, or that lies on the way to one.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The last token of its pointer, the same as the key of a member with its colon, and as the index of an element.
    token: String,
    pub(crate) key: String,
    index: Option<usize>,
    pub(crate) address: Arc<str>,
    pub(crate) children: Vec<usize>,
    /// One bit for the looks of each child's token, so that most other names are told apart at once.
    looks: u64,
    /// A rule reads it, so that all of it is named.
    pub(crate) is_read: bool,
    /// The steps that take it away.
    pub(crate) removed: Vec<usize>,
    pub(crate) writes: Vec<Write>,
    /// What is done to each of its elements.
    pub(crate) each: Option<Each>,
    /// The steps that leave nothing in it but what they name.
    pub(crate) only: Vec<usize>,
    /// The steps that keep it so.
    pub(crate) kept: Vec<usize>,
}

/// A step that writes at a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) step: usize,
    pub(crate) mode: Mode,
}

/// What a write does to what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Takes its place.
    Set,
    /// Takes its place, if there is something.
    Replace,
    /// Stands where nothing would be.
    Add,
    /// Stands where nothing, or `null`, would be.
    Default,
    /// Becomes the last, or the first, element of it.
    Append,
    Prepend,
    /// Is laid over it, as RFC 7396 says.
    Merge,
}

/// Rules for the elements of an array or the members of an object.
#[derive(Debug)]
pub(crate) struct Each {
    pub(crate) step: usize,
    pub(crate) program: Program,
}

// === impl Trie ===

impl Trie {
    pub(crate) fn new(root: &str, last_of_twins: bool) -> Self {
        let root = Node {
            address: root.into(),
            ..Node::default()
        };
        Self {
            nodes: vec![root],
            last_of_twins,
        }
    }

    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub(crate) fn is_leaf(&self, index: usize) -> bool {
        self.children(index).is_empty()
    }

    pub(crate) fn children(&self, index: usize) -> &[usize] {
        self.node(index).map_or(&[], |node| &node.children)
    }

    /// The child with the name that stands between these quotes.
    #[inline]
    pub(crate) fn member(
        &self,
        parent: usize,
        name: Option<&[u8]>,
        escaped: bool,
    ) -> Option<usize> {
        let name = name?;
        let node = self.node(parent)?;
        if !escaped && node.looks & looks(name) == 0 {
            return None;
        }
        let mut children = node.children.iter().copied();
        if !escaped {
            return children.find(|child| self.token(*child).as_bytes() == name);
        }
        let quoted = format!("\"{}\"", str::from_utf8(name).ok()?);
        let name = json::decode_string(&quoted);
        children.find(|child| self.token(*child) == name)
    }

    #[inline]
    pub(crate) fn element(&self, parent: usize, position: usize) -> Option<usize> {
        let mut children = self.children(parent).iter().copied();
        children.find(|child| {
            self.node(*child)
                .is_some_and(|node| node.index == Some(position))
        })
    }

    /// The place with these tokens, made if need be.
    pub(crate) fn at(&mut self, tokens: &[String]) -> usize {
        tokens.iter().fold(0, |parent, token| {
            let mut children = self.children(parent).iter().copied();
            match children.find(|child| self.token(*child) == token) {
                Some(child) => child,
                None => self.push(parent, token),
            }
        })
    }

    fn push(&mut self, parent: usize, token: &str) -> usize {
        let child = self.nodes.len();
        let mut address = self.address(parent).to_owned();
        address.push('/');
        address.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let index = token.parse().ok();
        self.nodes.push(Node {
            token: token.to_owned(),
            key: json::encode_string(token) + ":",
            index: index.filter(|index: &usize| index.to_string() == token),
            address: address.into(),
            ..Node::default()
        });
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.push(child);
            parent.looks |= looks(token.as_bytes());
        }
        child
    }

    /// Changes the node with this index, which [`Self::at`] gave.
    pub(crate) fn change(&mut self, index: usize, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(index) {
            change(node);
        }
    }

    pub(crate) fn address(&self, index: usize) -> &str {
        self.node(index).map_or("", |node| &node.address)
    }

    fn token(&self, index: usize) -> &str {
        self.node(index).map_or("", |node| &node.token)
    }
}

/// The bit for a name, by its length and its ends.
#[inline]
fn looks(name: &[u8]) -> u64 {
    let end = |byte: Option<&u8>| byte.copied().map_or(0, usize::from);
    let mixed = name.len() * 5 + end(name.first()) + end(name.last()) * 3;
    1 << (mixed % 64)
}

// === impl Mode ===

impl Mode {
    /// Whether it only fills a gap.
    pub(crate) const fn is_fill(self) -> bool {
        matches!(self, Self::Add | Self::Default)
    }
}

// === impl Node ===

impl Node {
    /// It is on the way to what rules name, and no rule names it as a whole.
    pub(crate) fn is_on_the_way(&self) -> bool {
        !self.is_read
            && !self.children.is_empty()
            && self.removed.is_empty()
            && self.writes.is_empty()
            && self.each.is_none()
            && self.kept.is_empty()
    }
}
