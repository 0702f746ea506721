//! Changes of the index in memory.

mod aggregate;

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use super::keys::Head;
use super::{AggregateId, Direction, Family, Range};
use aggregate::AggregateChanges;
pub(super) use aggregate::Page;

/// Bytes that an entry costs beside what of it stands elsewhere: nodes of the map are two thirds
/// full. Heads and pages take less and count as much: the bytes that are not in files yet are also
/// the bound of what the next opening has to apply again.
const ENTRY_COST: usize = 96;

/// A key with its new value, or with `None` when it is removed.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// A key or value. The usual ones stand in the map itself, where comparing them follows no pointer.
pub(crate) type Short = SmallVec<[u8; 24]>;

type Map = BTreeMap<Short, Option<Short>>;

/// New values, and removals as `None`.
///
/// Heads and pages, which every append changes, are kept together by aggregate and not as bytes:
/// the writer then finds both in one look through a smaller map.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    aggregates: BTreeMap<AggregateId, AggregateChanges>,
    /// Every family but those two.
    families: [Map; Family::ALL.len()],
    bytes: usize,
}

impl Layer {
    /// The head of an aggregate, if the layer has one.
    pub(crate) fn head(&self, id: AggregateId) -> Option<Head> {
        self.aggregates.get(&id)?.head
    }

    /// Where events of an aggregate stand that the layer has, in sequence order.
    pub(super) fn pages(&self, id: AggregateId) -> &[Page] {
        self.aggregates
            .get(&id)
            .map_or(&[], AggregateChanges::pages)
    }

    pub(crate) fn set_head(&mut self, id: AggregateId, head: Head) {
        self.aggregate(id).head = Some(head);
    }

    /// Sets the head of an aggregate that has got events, and where these stand.
    pub(crate) fn append(&mut self, id: AggregateId, head: Head) {
        let changes = self.aggregate(id);
        changes.head = Some(head);
        if changes.add(head.last.sequence, head.last_location()) {
            self.bytes += ENTRY_COST;
        }
    }

    /// Counted for its head, which all of them have.
    fn aggregate(&mut self, id: AggregateId) -> &mut AggregateChanges {
        let bytes = &mut self.bytes;
        self.aggregates.entry(id).or_insert_with(|| {
            *bytes += ENTRY_COST;
            AggregateChanges::default()
        })
    }

    /// `Some(None)` for a removal, `None` when the layer says nothing about the key.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Option<Option<Vec<u8>>> {
        if family.is_by_aggregate() {
            let only = Range::only(family, key);
            let found = self.scan_aggregates(&only, Direction::Forwards, 1);
            return found.into_iter().next().map(|(_, value)| value);
        }
        let value = self.map(family).get(key)?;
        Some(value.as_deref().map(<[u8]>::to_vec))
    }

    /// Not for heads and pages.
    pub(crate) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.set(family, key.into(), Some(value.into()));
    }

    /// Not for heads and pages, which are never removed.
    pub(crate) fn remove(&mut self, family: Family, key: &[u8]) {
        self.set(family, key.into(), None);
    }

    fn set(&mut self, family: Family, key: Short, value: Option<Short>) {
        debug_assert!(!family.is_by_aggregate());
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
        for (id, later) in later.aggregates {
            let changes = self.aggregate(id);
            changes.head = later.head.or(changes.head);
            let pages = later.pages().iter();
            let added = pages.filter(|(first, location)| changes.add(*first, *location));
            let added = added.count();
            self.bytes += added * ENTRY_COST;
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

    /// What its changes count for: at least what they take in memory, and the same whichever way they
    /// are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Shows every change of a family, in key order, to what writes it out.
    #[cfg(any(test, feature = "fuzz", feature = "rocksdb"))]
    pub(crate) fn for_each(&self, family: Family, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        match family {
            Family::Heads => {
                for (id, changes) in &self.aggregates {
                    if let Some(head) = changes.head {
                        visit(&id.key(), Some(&head.encode()));
                    }
                }
            }
            Family::Pages => {
                for (id, changes) in &self.aggregates {
                    for (first, location) in changes.pages() {
                        visit(&id.at(*first), Some(&location.encode()));
                    }
                }
            }
            _ => {
                for (key, value) in self.map(family) {
                    visit(key, value.as_deref());
                }
            }
        }
    }

    fn map(&self, family: Family) -> &Map {
        static EMPTY: Map = Map::new();
        self.families.get(family.number()).unwrap_or(&EMPTY)
    }

    /// The first changes in a range, or the last ones with the last first.
    pub(crate) fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Vec<Change> {
        if range.family.is_by_aggregate() {
            return self.scan_aggregates(range, direction, limit);
        }
        let to = range
            .to
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let found = self
            .map(range.family)
            .range::<[u8], _>((Bound::Included(range.from.as_slice()), to))
            .map(|(key, value)| (key.to_vec(), value.as_deref().map(<[u8]>::to_vec)));
        match direction {
            Direction::Forwards => found.take(limit).collect(),
            Direction::Backwards => found.rev().take(limit).collect(),
        }
    }

    fn scan_aggregates(&self, range: &Range, direction: Direction, limit: usize) -> Vec<Change> {
        let first = Bound::Included(AggregateId::not_before(&range.from));
        // Part of the last one may be within the range.
        let last = range.to.as_deref().map(AggregateId::not_before);
        let ids = (first, last.map_or(Bound::Unbounded, Bound::Included));
        let aggregates = self.aggregates.range(ids);
        let head = |(id, changes): (&AggregateId, &AggregateChanges)| {
            let (key, head) = (id.key(), changes.head?);
            range
                .holds(&key)
                .then(|| (key.to_vec(), Some(head.encode())))
        };
        match (range.family, direction) {
            (Family::Heads, Direction::Forwards) => {
                aggregates.filter_map(head).take(limit).collect()
            }
            (Family::Heads, Direction::Backwards) => {
                aggregates.rev().filter_map(head).take(limit).collect()
            }
            (_, Direction::Forwards) => aggregates
                .flat_map(|(id, changes)| changes.within(*id, range))
                .take(limit)
                .collect(),
            (_, Direction::Backwards) => aggregates
                .rev()
                .flat_map(|(id, changes)| changes.within(*id, range).rev())
                .take(limit)
                .collect(),
        }
    }
}
