//! Reading snapshots.

use crate::engine::Engine;
use crate::error::Result;
use crate::event::Snapshot;
use crate::index::keys::{self, Place, SnapshotEntry};
use crate::index::{AggregateId, Direction, Family, Range, damaged};
use crate::log::FrameReader;
use crate::log::record::{Record, records};
use crate::read::{Part, View};
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
        for part in view.parts(Sequence::ZERO, before).into_iter().rev() {
            let Some(newest) = part.head.snapshot else {
                continue;
            };
            if newest.sequence < part.from {
                continue;
            }
            if newest.sequence < part.to && taken_by.is_none() {
                let found = self.load_snapshot(part.id, newest)?;
                // Without it, a newer one has taken its place meanwhile.
                if found.is_some() {
                    return Ok(found);
                }
            }
            let found = self.older_snapshot(part, taken_by)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The newest snapshot of a part, which need not be the aggregate's newest.
    fn older_snapshot(
        &self,
        Part { id, from, to, .. }: Part,
        taken_by: Option<Timestamp>,
    ) -> Result<Option<Snapshot>> {
        let mut range = Range::of(Family::Snapshots, id, from, to);
        loop {
            let newest = self.shared.index.scan(&range, Direction::Backwards, 1)?;
            let Some((key, value)) = newest.into_iter().next() else {
                return Ok(None);
            };
            let entry = SnapshotEntry::decode(&value).map_err(damaged)?;
            if taken_by.is_none_or(|time| entry.created_at <= time) {
                match self.load_snapshot(id, place(&key, &entry)?)? {
                    // A newer one has taken its place meanwhile.
                    None => continue,
                    found => return Ok(found),
                }
            }
            range.to = Some(key);
        }
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
            found.extend(self.load_snapshot(id, place(key, &entry)?)?);
        }
        Ok(found)
    }

    /// The snapshot that stands at a place the index named; `None` if it was superseded since, for
    /// then the log need not hold it any more.
    fn load_snapshot(&self, id: AggregateId, place: Place) -> Result<Option<Snapshot>> {
        let Place {
            sequence,
            frame: at,
        } = place;
        // One commit may hold snapshots of several aggregates with the same root.
        let name = self.shared.index.registry().known_name(id.timeline);
        let mut reader =
            FrameReader::new(self.shared.log.clone(), self.shared.settled()).trusting();
        let frame = reader.frame(at)?;
        for record in records(&frame.payload, frame.header.recorded_at) {
            let record = record.map_err(|problem| reader.corrupt(at, problem))?;
            if let Record::Snapshot { key, snapshot } = record
                && snapshot.sequence == sequence
                && key.root == id.root
                && name.as_ref().is_some_and(|(edition, domain)| {
                    key.edition == edition.as_str() && key.domain == domain.as_str()
                })
            {
                if snapshot.state.is_empty() && !self.leads_to(id, place)? {
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
        if !self.leads_to(id, place)? {
            return Ok(None);
        }
        Err(reader.corrupt(at, "the snapshot that the index names is not there"))
    }

    /// Whether the index still names this place.
    fn leads_to(&self, id: AggregateId, place: Place) -> Result<bool> {
        let now = self
            .shared
            .index
            .get(Family::Snapshots, &id.at(place.sequence))?;
        let now = now.map(|now| SnapshotEntry::decode(&now)).transpose();
        Ok(now
            .map_err(damaged)?
            .is_some_and(|now| now.frame == { place.frame }))
    }
}

/// Where the snapshot of an index entry stands.
fn place(key: &[u8], entry: &SnapshotEntry) -> Result<Place> {
    Ok(Place {
        sequence: keys::sequence_of(key).map_err(damaged)?,
        frame: entry.frame,
    })
}
