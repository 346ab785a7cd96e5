//! Rules that name several places, or paths, as rules that name one place each.

use super::compile::Placed;
use crate::address::path::Segment;
use crate::address::{Place, Root};
use crate::rule::{Source, Verb};
use crate::{Address, Rule};

// === impl Placed ===

impl Placed {
    /// Rules that name one place each, and paths as what is done to each element on the way.
    pub(crate) fn apart(self) -> Vec<Self> {
        let Self {
            rule,
            path,
            among,
            selected,
        } = self;
        let placed = |rule| Self {
            among: among.clone(),
            selected: selected.clone(),
            ..Self::new(rule, path.clone())
        };
        let is_apart = rule.verb.has_source()
            || matches!(rule.verb, Verb::Update | Verb::Remove | Verb::ForEach);
        // All places get the same one. `replace` must ask each place whether something is there.
        let is_one = matches!(rule.source, Some(Source::Generate(_)));
        let is_apart = is_apart && (!is_one || rule.verb == Verb::Replace);
        if !is_apart || rule.at.is_empty() {
            return vec![placed(rule)];
        }
        let each = rule.at.iter().map(|address| {
            let rule = Rule {
                at: vec![address.clone()],
                ..rule.clone()
            };
            match &address.0 {
                Place::Path(root, segments) if !rule.verb.has_source() && rule.to.is_empty() => {
                    placed(rule.clone())
                        .along(*root, segments)
                        .unwrap_or_else(|| placed(rule))
                }
                _ => placed(rule),
            }
        });
        each.collect()
    }

    /// The same, done to each element on the way.
    fn along(&self, root: Root, segments: &[Segment]) -> Option<Self> {
        let tokens: Vec<_> = segments.iter().map_while(Segment::token).collect();
        let (segment, rest) = segments.get(tokens.len()..)?.split_first()?;
        let rest_tokens: Option<Vec<_>> = rest.iter().map(Segment::token).collect();
        let place = match rest_tokens {
            Some(tokens) => Place::Pointer(Root::Item, tokens),
            None => Place::Path(Root::Item, rest.to_vec()),
        };
        let mut inner = Rule {
            at: vec![Address(place)],
            ..self.rule.clone()
        };
        // What asks for the element around these ones is asked there.
        let outer = inner.when.take_if(|when| when.asks_item());
        Some(Self {
            rule: Rule {
                when: outer,
                rules: vec![inner],
                ..Rule::at(Verb::ForEach, vec![Address(Place::Pointer(root, tokens))])
            },
            path: self.path.clone(),
            among: Some(segment.clone()),
            selected: self.selected.clone(),
        })
    }

    /// The field that mistakes about its addresses are told of.
    pub(crate) fn verb_name(&self) -> &'static str {
        match (&self.among, self.rule.rules.first()) {
            (Some(_), Some(inner)) => Self::new(inner.clone(), Vec::new()).verb_name(),
            _ => self.rule.verb.name(),
        }
    }
}
