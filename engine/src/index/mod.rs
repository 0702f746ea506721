//! What finds things in the log. Everything here can be deleted and rebuilt from it.
//!
//! Changes go into a layer in memory and are readable from there at once. When the layer is
//! large it is frozen, a new one takes its place, and the frozen one is written to the files of
//! the [`Base`] behind the writer's back. Without a base the layer in memory is the index.

pub(crate) mod apply;
pub(crate) mod keys;
mod layer;
mod merge;
mod pages;
mod registry;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocks;

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub(crate) use keys::{AggregateId, Family};
pub(crate) use layer::Layer;
pub(crate) use pages::Stretch;
pub(crate) use registry::{Registry, Timelines};

use crate::error::{Error, Result};
use crate::event::ClaimRange;
use crate::log::Resume;
use crate::log::codec::BadRecord;
use crate::types::{AggregateKey, Sequence};
use keys::{Head, Timeline};
use merge::Merge;

/// A key with its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// Order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forwards,
    Backwards,
}

/// Part of a family: keys from `from` up to, but not including, `to`.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) family: Family,
    pub(crate) from: Vec<u8>,
    /// `None`: to the end of the family.
    pub(crate) to: Option<Vec<u8>>,
}

impl Range {
    pub(crate) fn prefix(family: Family, prefix: &[u8]) -> Self {
        Self {
            family,
            from: prefix.to_vec(),
            to: keys::after_prefix(prefix),
        }
    }

    /// Entries of an aggregate about the events of `from..to`.
    pub(crate) fn of(family: Family, id: AggregateId, from: Sequence, to: Sequence) -> Self {
        Self {
            family,
            from: id.at(from).to_vec(),
            to: Some(id.at(to).to_vec()),
        }
    }

    /// One key.
    fn only(family: Family, key: &[u8]) -> Self {
        Self {
            family,
            from: key.to_vec(),
            to: Some([key, &[0]].concat()),
        }
    }

    fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    fn holds(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && self.to.as_deref().is_none_or(|to| key < to)
    }
}

/// Files that hold what no longer fits in memory.
pub(crate) trait Base: Send + Sync {
    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// The first entries of a range, or the last ones with the last first.
    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>>;
    /// Writes a layer, all or nothing; durable when it returns.
    fn write(&self, layer: &Layer) -> Result<()>;
}

/// The index: layers in memory over an optional base.
pub(crate) struct Index {
    layers: RwLock<Layers>,
    registry: RwLock<Registry>,
    base: Option<Box<dyn Base>>,
    /// Notified after each attempt to write a layer out.
    written_out: (Mutex<()>, Condvar),
}

struct Layers {
    active: Layer,
    frozen: Option<Arc<Layer>>,
}

impl Index {
    /// An index over what a base holds already.
    pub(crate) fn new(base: Option<Box<dyn Base>>) -> Result<Self> {
        let index = Self {
            layers: RwLock::new(Layers {
                active: Layer::default(),
                frozen: None,
            }),
            registry: RwLock::new(Registry::default()),
            base,
            written_out: Default::default(),
        };
        let mut registry = Registry::default();
        index.for_each(&Range::prefix(Family::Timelines, &[]), |key, value| {
            let (edition, domain) = keys::parse_timeline_key(key)?;
            registry.load(edition, domain, Timeline::decode(value)?)
        })?;
        *index
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner) = registry;
        Ok(index)
    }

    /// Where the log has been applied up to.
    pub(crate) fn applied(&self) -> Result<Option<Resume>> {
        let value = self.get(Family::Meta, keys::applied::KEY)?;
        value
            .map(|value| keys::applied::decode(&value))
            .transpose()
            .map_err(damaged)
    }

    /// Timelines, for looking up several at once.
    pub(crate) fn registry(&self) -> std::sync::RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The aggregate's id, if its timeline has ever been written to.
    pub(crate) fn id(&self, key: &AggregateKey) -> Option<AggregateId> {
        let timeline = self.registry().get(&key.edition, &key.domain)?;
        Some(AggregateId {
            timeline: timeline.id,
            root: key.root,
        })
    }

    /// The value of a key.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = layers.active.get(family, key) {
                return Ok(value);
            }
            if let Some(value) = layers
                .frozen
                .as_ref()
                .and_then(|frozen| frozen.get(family, key))
            {
                return Ok(value);
            }
        }
        match &self.base {
            Some(base) => base.get(family, key),
            None => Ok(None),
        }
    }

    /// The aggregate's head on its own timeline.
    pub(crate) fn head(&self, key: &AggregateKey) -> Result<Option<Head>> {
        match self.id(key) {
            Some(id) => self.head_of(id),
            None => Ok(None),
        }
    }

    /// The aggregate's head on its own timeline.
    pub(crate) fn head_of(&self, id: AggregateId) -> Result<Option<Head>> {
        {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            let frozen = || layers.frozen.as_ref().and_then(|frozen| frozen.head(id));
            if let Some(head) = layers.active.head(id).or_else(frozen) {
                return Ok(Some(head));
            }
        }
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let value = base.get(Family::Heads, &id.key())?;
        value
            .map(|value| Head::decode(&value))
            .transpose()
            .map_err(damaged)
    }

    /// What a claim stands for.
    pub(crate) fn claim(
        &self,
        key: &AggregateKey,
        kind: &[u8],
        claim: &[u8],
    ) -> Result<Option<ClaimRange>> {
        let Some(id) = self.id(key) else {
            return Ok(None);
        };
        let value = self.get(Family::Claims, &id.claim(kind, claim))?;
        value
            .map(|value| keys::decode_range(&value))
            .transpose()
            .map_err(damaged)
    }

    /// Up to `limit` entries of a range: its first ones, or its last ones with the last first.
    pub(crate) fn scan(
        &self,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let mut range = range.clone();
        let mut found = Vec::new();
        while found.len() < limit && !range.is_empty() {
            let step = (limit - found.len()).min(crate::limits::SCAN_STEP);
            let merge = self.scan_step(&range, direction, step)?;
            let bound = merge.take(direction, &mut found);
            match (bound, direction) {
                (None, _) => break,
                (Some(bound), Direction::Forwards) => {
                    range.from = bound;
                    range.from.push(0);
                }
                (Some(bound), Direction::Backwards) => range.to = Some(bound),
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The layers are read before the base: what moves from one to the other meanwhile is then
    /// seen twice rather than not at all.
    fn scan_step(&self, range: &Range, direction: Direction, step: usize) -> Result<Merge> {
        let mut merge = Merge::new(step);
        {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            merge.add(layers.active.scan(range, direction, step));
            if let Some(frozen) = &layers.frozen {
                merge.add(frozen.scan(range, direction, step));
            }
        }
        if let Some(base) = &self.base {
            let entries = base.scan(range, direction, step)?;
            merge.add(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, Some(value)))
                    .collect(),
            );
        }
        Ok(merge)
    }

    /// Visits every entry of a range in key order, without holding more than a step of them.
    pub(crate) fn for_each(
        &self,
        range: &Range,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), BadRecord>,
    ) -> Result<()> {
        let mut range = range.clone();
        loop {
            let entries = self.scan(&range, Direction::Forwards, crate::limits::SCAN_STEP)?;
            let Some((last, _)) = entries.last() else {
                return Ok(());
            };
            range.from = last.clone();
            range.from.push(0);
            for (key, value) in &entries {
                visit(key, value).map_err(damaged)?;
            }
        }
    }

    /// Makes changes readable.
    pub(crate) fn publish(&self, changes: apply::Changes) {
        if !changes.timelines.is_empty() {
            let mut registry = self
                .registry
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            registry.apply(&changes.timelines);
        }
        let layer = changes.into_layer();
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        layers.active.extend(layer);
    }

    /// Bytes of changes that are only in memory.
    pub(crate) fn unwritten_bytes(&self) -> usize {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        layers.active.bytes() + layers.frozen.as_ref().map_or(0, |frozen| frozen.bytes())
    }

    /// Whether there are files to write to.
    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Writes what is in memory to the base. The log must be synced beyond all of it.
    pub(crate) fn write_out(&self) -> Result<()> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let leftover = {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            layers.frozen.is_some()
        };
        let mut written = self.write_layer(base.as_ref());
        if leftover && written.is_ok() {
            written = self.write_layer(base.as_ref());
        }
        self.written_out.1.notify_all();
        written
    }

    fn write_layer(&self, base: &dyn Base) -> Result<()> {
        let Some(frozen) = self.freeze() else {
            return Ok(());
        };
        base.write(&frozen)?;
        self.layers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .frozen = None;
        Ok(())
    }

    /// The layer to write next: one that could not be written before, which must stay readable,
    /// or else the one in use.
    fn freeze(&self) -> Option<Arc<Layer>> {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        if layers.frozen.is_none() && !layers.active.is_empty() {
            layers.frozen = Some(Arc::new(std::mem::take(&mut layers.active)));
        }
        layers.frozen.clone()
    }

    /// Waits while more than `limit` bytes of changes are only in memory, so that files that take
    /// them slowly slow the writer down instead of filling the memory.
    pub(crate) fn wait_for_room(&self, limit: usize, give_up: impl Fn() -> bool) {
        /// Looks again now and then, for `give_up` notifies nobody.
        const LOOK: Duration = Duration::from_millis(100);
        let mut turn = self
            .written_out
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while self.has_base() && self.unwritten_bytes() > limit && !give_up() {
            let waited = self.written_out.1.wait_timeout(turn, LOOK);
            turn = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The error for an index entry that does not have its documented form.
pub(crate) fn damaged(problem: BadRecord) -> Error {
    Error::Corrupt {
        file: "index".to_owned(),
        offset: 0,
        address: crate::types::Address::default(),
        problem: format!("{problem}; stop the server and remove the folder index: it is rebuilt"),
    }
}

#[cfg(test)]
mod tests;
