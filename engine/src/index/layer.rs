//! Changes of the index in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use super::{Direction, Entry, Family, Range};

/// Bytes that an entry costs beside what of it stands elsewhere: nodes of the map are two thirds
/// full.
const ENTRY_COST: usize = 96;

/// A key with its new value, or with `None` when it is removed.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// A key or value. The usual ones stand in the map itself: comparing keys, which is most of what
/// the writer does with a large layer, then follows no pointer for each of them.
pub(crate) type Short = SmallVec<[u8; 24]>;

type Map = BTreeMap<Short, Option<Short>>;

/// New values, and removals as `None`.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    families: [Map; Family::ALL.len()],
    bytes: usize,
}

impl Layer {
    /// `Some(None)` for a removal, `None` when the layer says nothing about the key.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Option<Option<&[u8]>> {
        self.family(family).get(key).map(Option::as_deref)
    }

    pub(crate) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.set(family, key.into(), Some(value.into()));
    }

    pub(crate) fn remove(&mut self, family: Family, key: &[u8]) {
        self.set(family, key.into(), None);
    }

    fn set(&mut self, family: Family, key: Short, value: Option<Short>) {
        let elsewhere = |short: &Short| if short.spilled() { short.len() } else { 0 };
        let size = elsewhere(&key) + value.as_ref().map_or(0, elsewhere) + ENTRY_COST;
        let replaced = self
            .families
            .get_mut(family.number())
            .and_then(|map| map.insert(key, value))
            .is_some();
        if !replaced {
            self.bytes += size;
        }
    }

    /// Takes over what a later layer says.
    pub(crate) fn extend(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        for (family, map) in Family::ALL.into_iter().zip(later.families) {
            for (key, value) in map {
                self.set(family, key, value);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Approximate bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every change of a family, in key order.
    pub(crate) fn family(&self, family: Family) -> &Map {
        static EMPTY: Map = Map::new();
        self.families.get(family.number()).unwrap_or(&EMPTY)
    }

    /// The first changes in a range, or the last ones with the last first.
    pub(crate) fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Vec<Change> {
        let to = range
            .to
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let found = self
            .family(range.family)
            .range::<[u8], _>((Bound::Included(range.from.as_slice()), to))
            .map(|(key, value)| (key.to_vec(), value.as_deref().map(<[u8]>::to_vec)));
        match direction {
            Direction::Forwards => found.take(limit).collect(),
            Direction::Backwards => found.rev().take(limit).collect(),
        }
    }
}

/// Entries of several sources, the newest source first.
pub(crate) struct Merge {
    step: usize,
    sources: Vec<Vec<Change>>,
}

impl Merge {
    pub(crate) fn new(step: usize) -> Self {
        Self {
            step,
            sources: Vec::with_capacity(3),
        }
    }

    pub(crate) fn add(&mut self, source: Vec<Change>) {
        if !source.is_empty() {
            self.sources.push(source);
        }
    }

    /// Appends what is left of the sources when removals have been applied, as far as all of them
    /// reach. Returns that place if any source may go on behind it.
    pub(crate) fn take(self, direction: Direction, found: &mut Vec<Entry>) -> Option<Vec<u8>> {
        let bound = self
            .sources
            .iter()
            .filter(|source| source.len() >= self.step)
            .filter_map(|source| source.last().map(|(key, _)| key))
            .reduce(|a, b| match direction {
                Direction::Forwards => a.min(b),
                Direction::Backwards => a.max(b),
            })
            .cloned();
        let within = |key: &[u8]| match (&bound, direction) {
            (None, _) => true,
            (Some(bound), Direction::Forwards) => key <= bound.as_slice(),
            (Some(bound), Direction::Backwards) => key >= bound.as_slice(),
        };
        let live = |(key, value): Change| value.map(|value| (key, value));
        if self.sources.len() <= 1 {
            let only = self
                .sources
                .into_iter()
                .flatten()
                .filter(|(key, _)| within(key));
            found.extend(only.filter_map(live));
            return bound;
        }
        let mut merged = BTreeMap::new();
        for source in self.sources.into_iter().rev() {
            merged.extend(source.into_iter().filter(|(key, _)| within(key)));
        }
        match direction {
            Direction::Forwards => found.extend(merged.into_iter().filter_map(live)),
            Direction::Backwards => found.extend(merged.into_iter().rev().filter_map(live)),
        }
        bound
    }
}
