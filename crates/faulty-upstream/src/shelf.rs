use std::collections::{HashMap, VecDeque};

/// A map that forgets its oldest entries when it is full.
#[derive(Debug)]
pub(crate) struct Shelf<V> {
    slots: HashMap<String, Slot<V>>,
    /// The names, oldest first.
    order: VecDeque<String>,
    limits: ShelfLimits,
    /// What all slots cost.
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ShelfLimits {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    bytes: usize,
}

// === impl Shelf ===

impl<V> Shelf<V> {
    pub(crate) fn new(limits: ShelfLimits) -> Self {
        Self {
            slots: HashMap::new(),
            order: VecDeque::new(),
            limits,
            bytes: 0,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.slots.get(name).map(|slot| &slot.value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.slots.get_mut(name).map(|slot| &mut slot.value)
    }

    /// The entry of this name, made if it is not there.
    pub(crate) fn entry(&mut self, name: &str, make: impl FnOnce() -> V) -> &mut V {
        if !self.slots.contains_key(name) {
            self.order.push_back(name.to_owned());
            self.bytes += name.len();
            self.evict(name);
        }
        &mut self
            .slots
            .entry(name.to_owned())
            .or_insert_with(|| Slot {
                value: make(),
                bytes: name.len(),
            })
            .value
    }

    /// Puts an entry there, in place of one that may be there.
    pub(crate) fn insert(&mut self, name: &str, value: V) {
        self.remove(name);
        self.entry(name, || value);
    }

    /// Says that an entry has grown by this much.
    pub(crate) fn charge(&mut self, name: &str, bytes: usize) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.bytes += bytes;
            self.bytes += bytes;
            self.evict(name);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        let slot = self.slots.remove(name)?;
        self.bytes -= slot.bytes;
        self.order.retain(|other| other != name);
        Some(slot.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.order
            .iter()
            .filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// Forgets the oldest entries, but not this one.
    fn evict(&mut self, keep: &str) {
        while self.order.len() > self.limits.entries || self.bytes > self.limits.bytes {
            match self.order.front() {
                Some(oldest) if oldest == keep && self.order.len() == 1 => return,
                // Its turn will come, when others are touched.
                Some(oldest) if oldest == keep => self.order.rotate_left(1),
                Some(_) => {}
                None => return,
            }
            if let Some(oldest) = self.order.pop_front()
                && let Some(slot) = self.slots.remove(&oldest)
            {
                self.bytes -= slot.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shelf: &Shelf<u32>) -> Vec<&str> {
        shelf.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn oldest_entry_goes_when_there_are_too_many() {
        let mut shelf = Shelf::new(ShelfLimits {
            entries: 2,
            bytes: 100,
        });
        for (value, name) in ["a", "b", "c"].into_iter().enumerate() {
            *shelf.entry(name, || 0) += u32::try_from(value).unwrap();
        }

        assert_eq!(names(&shelf), ["b", "c"]);
        assert_eq!(shelf.get("a"), None);
        assert_eq!(shelf.get("c"), Some(&2));
    }

    #[test]
    fn oldest_other_entry_goes_when_one_grows() {
        let mut shelf = Shelf::new(ShelfLimits {
            entries: 9,
            bytes: 10,
        });
        for name in ["a", "b", "c"] {
            shelf.insert(name, 0);
        }

        shelf.charge("a", 7);
        assert_eq!(names(&shelf), ["a", "b", "c"], "10 of 10 bytes");
        shelf.charge("a", 1);
        assert_eq!(names(&shelf), ["c", "a"]);
        shelf.charge("a", 100);
        assert_eq!(names(&shelf), ["a"], "what is in use stays");

        shelf.insert("a", 1);
        shelf.charge("a", 9);
        assert_eq!(shelf.get("a"), Some(&1));
        shelf.insert("b", 2);
        assert_eq!(names(&shelf), ["b"]);
    }
}
