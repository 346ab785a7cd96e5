use super::{Scanner, Stop};

/// The items of one object or array, while they are walked over.
pub(super) struct Items {
    first: Option<usize>,
    last: usize,
    /// The last entry that was named.
    named: Option<usize>,
}

// === impl Items ===

impl Items {
    pub(super) const fn new(behind_bracket: usize) -> Self {
        Self {
            first: None,
            last: behind_bracket,
            named: None,
        }
    }

    /// One value, before which the scanner stands.
    #[inline]
    pub(super) fn item(
        &mut self,
        scanner: &mut Scanner<'_>,
        parent: usize,
        start: usize,
        child: Option<usize>,
        depth: usize,
    ) -> Result<(), Stop> {
        self.first = self.first.or(Some(start));
        let before = self.last;
        if let Some(named) = self.named {
            scanner.place(named, |entry| {
                if entry.value.end == before {
                    entry.after = start;
                }
            });
        }
        let Some(child) = child else {
            scanner.skip(depth)?;
            self.last = scanner.at;
            return Ok(());
        };
        if scanner
            .entries
            .get(child)
            .is_some_and(|entry| entry.is_there)
        {
            if !scanner.trie.last_of_twins {
                return Err(Stop::Twice(child));
            }
            scanner.shadow(parent, child);
            if self.named == Some(child) {
                self.named = Some(scanner.entries.len() - 1);
            }
        }
        let value = scanner.at;
        scanner.value(child, depth)?;
        let end = scanner.at;
        scanner.place(child, |entry| {
            entry.is_there = true;
            entry.key = start;
            entry.value = value..end;
            entry.before = before;
            entry.after = end;
        });
        match self.named {
            Some(named) => scanner.place(named, |entry| entry.next = Some(child)),
            None => scanner.place(parent, |entry| entry.child = Some(child)),
        }
        self.named = Some(child);
        self.last = end;
        Ok(())
    }

    pub(super) fn close(self, scanner: &mut Scanner<'_>, node: usize) {
        scanner.place(node, |entry| {
            entry.is_open = true;
            entry.first = self.first.unwrap_or(self.last);
            entry.last = self.last;
        });
    }
}
