//! Reading snapshots.

use crate::engine::Engine;
use crate::error::Result;
use crate::event::Snapshot;
use crate::index::keys::{self, SnapshotEntry};
use crate::index::{AggregateId, Direction, Family, Range, damaged};
use crate::log::FrameReader;
use crate::log::record::{Record, records};
use crate::read::View;
use crate::types::{AggregateKey, Sequence, Timestamp};

impl Engine {
    /// The newest snapshot of a sequence below `before`, and if a time is given, taken no later.
    /// On a branch, one of main serves if it lies below the divergence.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn snapshot(
        &self,
        view: &View,
        before: Sequence,
        taken_by: Option<Timestamp>,
    ) -> Result<Option<Snapshot>> {
        for (id, from, to) in view.parts(Sequence::ZERO, before).into_iter().rev() {
            let mut range = Range::of(Family::Snapshots, id, from, to);
            loop {
                let newest = self.shared.index.scan(&range, Direction::Backwards, 1)?;
                let Some((key, value)) = newest.into_iter().next() else {
                    break;
                };
                let entry = SnapshotEntry::decode(&value).map_err(damaged)?;
                if taken_by.is_none_or(|time| entry.created_at <= time) {
                    match self.load_snapshot(&key, &entry)? {
                        Some(snapshot) => return Ok(Some(snapshot)),
                        // A newer one has taken its place meanwhile.
                        None => continue,
                    }
                }
                range.to = Some(key);
            }
        }
        Ok(None)
    }

    /// Every snapshot of the aggregate's own timeline, oldest first.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn snapshots(&self, key: &AggregateKey) -> Result<Vec<Snapshot>> {
        let Some(id) = self.shared.index.id(key) else {
            return Ok(Vec::new());
        };
        let all = Range::prefix(Family::Snapshots, &id.key());
        let entries = self
            .shared
            .index
            .scan(&all, Direction::Forwards, usize::MAX)?;
        let mut found = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            let entry = SnapshotEntry::decode(value).map_err(damaged)?;
            found.extend(self.load_snapshot(key, &entry)?);
        }
        Ok(found)
    }

    /// The snapshot that an index entry leads to; `None` if it was superseded since the entry was
    /// read, for then the log need not hold it any more.
    fn load_snapshot(&self, index_key: &[u8], entry: &SnapshotEntry) -> Result<Option<Snapshot>> {
        let sequence = keys::sequence_of(index_key).map_err(damaged)?;
        let id = AggregateId::parse(index_key).map_err(damaged)?;
        // One commit may hold snapshots of several aggregates with the same root.
        let name = self.shared.index.registry().known_name(id.timeline);
        let mut reader =
            FrameReader::new(self.shared.log.clone(), self.shared.settled()).trusting();
        let frame = reader.frame(entry.frame)?;
        for record in records(&frame.payload, frame.header.recorded_at) {
            let record = record.map_err(|problem| reader.corrupt(entry.frame, problem))?;
            if let Record::Snapshot { key, snapshot } = record
                && snapshot.sequence == sequence
                && key.root == id.root
                && name.as_ref().is_some_and(|(edition, domain)| {
                    key.edition == edition.as_str() && key.domain == domain.as_str()
                })
            {
                if snapshot.state.is_empty() && !self.leads_to(index_key, entry)? {
                    return Ok(None);
                }
                return Ok(Some(Snapshot {
                    sequence,
                    retention: snapshot.retention,
                    created_at: Some(snapshot.created_at),
                    state: frame.payload.slice_ref(snapshot.state),
                }));
            }
        }
        if !self.leads_to(index_key, entry)? {
            return Ok(None);
        }
        Err(reader.corrupt(
            entry.frame,
            "the snapshot that the index names is not there",
        ))
    }

    /// Whether the index still has this entry.
    fn leads_to(&self, key: &[u8], entry: &SnapshotEntry) -> Result<bool> {
        let now = self.shared.index.get(Family::Snapshots, key)?;
        Ok(now.is_some_and(|now| now == entry.encode()))
    }
}
