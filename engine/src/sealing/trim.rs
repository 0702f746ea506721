//! What a rewritten segment leaves out. Everything here rests on what is readable, and so is in
//! the log, at the time.

use bytes::Bytes;

use crate::error::Result;
use crate::event::Snapshot;
use crate::index::keys::{Mark, SnapshotEntry, number};
use crate::index::{Family, Index, damaged};
use crate::log::Frame;
use crate::log::codec::BadRecord;
use crate::log::record::{
    self, KeyRef, Pages, Record, SnapshotRef, put_dropped, put_emptied, put_snapshot,
    records_with_bytes,
};
use crate::types::{Address, Domain, Edition, Sequence};

/// A frame's payload without what nobody can reach.
pub(super) struct Trimmed {
    pub(super) payload: Bytes,
    /// Sorts frames of one aggregate together.
    pub(super) cluster: Vec<u8>,
    /// Bytes that belong to branches.
    pub(super) branches: Vec<(Edition, Domain, u64)>,
}

/// Trims the payload of a commit. The inner error says what is wrong with it.
pub(super) fn trim(index: &Index, frame: &Frame) -> Result<Result<Trimmed, BadRecord>> {
    let mut trimmer = Trimmer {
        index,
        frame,
        out: Vec::with_capacity(frame.payload.len()),
        changed: false,
        cluster: None,
        branches: Vec::new(),
    };
    for record in records_with_bytes(&frame.payload, frame.header.recorded_at) {
        let step = match record {
            Ok((record, bytes)) => trimmer.record(&record, bytes)?,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = step {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(Trimmed {
        payload: if trimmer.changed {
            trimmer.out.into()
        } else {
            frame.payload.clone()
        },
        cluster: trimmer.cluster.unwrap_or_default(),
        branches: trimmer.branches,
    }))
}

/// Whether a record at an address belongs to a branch that was not deleted since.
pub(super) fn is_alive(
    index: &Index,
    edition: &str,
    domain: &str,
    at: Address,
) -> Result<bool, BadRecord> {
    if edition.is_empty() {
        return Ok(true);
    }
    let (edition, domain) = names(edition, domain)?;
    Ok(index.registry().holds(&edition, &domain, at))
}

struct Trimmer<'a> {
    index: &'a Index,
    frame: &'a Frame,
    out: Vec<u8>,
    changed: bool,
    cluster: Option<Vec<u8>>,
    branches: Vec<(Edition, Domain, u64)>,
}

impl Trimmer<'_> {
    fn record(&mut self, record: &Record<'_>, bytes: &[u8]) -> Result<Result<(), BadRecord>> {
        if let Some(key) = key_of(record) {
            self.gather(key);
            let alive = match is_alive(self.index, key.edition, key.domain, self.address()) {
                Ok(alive) => alive,
                Err(problem) => return Ok(Err(problem)),
            };
            if !alive {
                self.drop_dead(record, bytes);
                return Ok(Ok(()));
            }
        }
        match record {
            Record::Pages(pages) => return self.pages(pages, bytes),
            Record::Snapshot { key, snapshot } => match self.is_current(*key, snapshot)? {
                Ok(true) => self.out.extend_from_slice(bytes),
                Ok(false) => {
                    if let Err(problem) = self.empty_snapshot(*key, snapshot) {
                        return Ok(Err(problem));
                    }
                }
                Err(problem) => return Ok(Err(problem)),
            },
            Record::Checkpoint { consumer, position } => {
                let newest = self.index.get(Family::Checkpoints, consumer.as_bytes())?;
                if newest.is_none_or(|newest| newest == number(position.get())) {
                    self.out.extend_from_slice(bytes);
                } else {
                    self.changed = true;
                }
            }
            _ => self.out.extend_from_slice(bytes),
        }
        if let Some(key) = key_of(record) {
            return Ok(self.count(key, bytes.len()));
        }
        Ok(Ok(()))
    }

    fn pages(&mut self, pages: &Pages<'_>, bytes: &[u8]) -> Result<Result<(), BadRecord>> {
        let revoked = match self.revoked(pages)? {
            Ok(revoked) => revoked,
            Err(problem) => return Ok(Err(problem)),
        };
        if revoked.is_empty() {
            self.out.extend_from_slice(bytes);
        } else {
            self.changed = true;
            let time = self.frame.header.recorded_at;
            let kept = |sequence| !revoked.contains(&sequence);
            if let Err(problem) = put_emptied(&mut self.out, pages, time, kept) {
                return Ok(Err(problem));
            }
        }
        Ok(self.count(pages.key, bytes.len()))
    }

    /// Which of these events were revoked. Only those stored as pending are looked up: that a
    /// committed event is revoked is too rare to pay for a look-up of every event.
    fn revoked(&self, pages: &Pages<'_>) -> Result<Result<Vec<Sequence>, BadRecord>> {
        let mut found = Vec::new();
        if pages.cascade.is_none() {
            return Ok(Ok(found));
        }
        let key = match pages.key.to_key() {
            Ok(key) => key,
            Err(problem) => return Ok(Err(problem)),
        };
        let Some(id) = self.index.id(&key) else {
            return Ok(Ok(found));
        };
        for sequence in (0..pages.count).filter_map(|n| pages.first.plus(n)) {
            let mark = self.index.get(Family::Marks, &id.at(sequence))?;
            let mark = mark.map(|value| Mark::decode(&value)).transpose();
            if mark.map_err(damaged)?.is_some_and(|mark| mark.revoked) {
                found.push(sequence);
            }
        }
        Ok(Ok(found))
    }

    /// Whether the index leads to this very snapshot.
    fn is_current(
        &self,
        key: KeyRef<'_>,
        snapshot: &SnapshotRef<'_>,
    ) -> Result<Result<bool, BadRecord>> {
        let key = match key.to_key() {
            Ok(key) => key,
            Err(problem) => return Ok(Err(problem)),
        };
        let Some(id) = self.index.id(&key) else {
            return Ok(Ok(true));
        };
        let entry = self
            .index
            .get(Family::Snapshots, &id.at(snapshot.sequence))?;
        let entry = entry.map(|value| SnapshotEntry::decode(&value)).transpose();
        let entry = entry.map_err(damaged)?;
        Ok(Ok(entry.is_some_and(|entry| entry.frame == self.address())))
    }

    /// Leaves out a snapshot's state. That there was one must stay: it did away with older ones,
    /// which an index built anew would otherwise bring back.
    fn empty_snapshot(
        &mut self,
        key: KeyRef<'_>,
        snapshot: &SnapshotRef<'_>,
    ) -> Result<(), BadRecord> {
        let emptied = Snapshot {
            sequence: snapshot.sequence,
            retention: snapshot.retention,
            created_at: Some(snapshot.created_at),
            state: Bytes::new(),
        };
        let time = self.frame.header.recorded_at;
        put_snapshot(&mut self.out, &key.to_key()?, &emptied, time);
        self.changed |= !snapshot.state.is_empty();
        Ok(())
    }

    /// Leaves out a record of a deleted branch; of its events, the count must stay, for positions
    /// are counted by it.
    fn drop_dead(&mut self, record: &Record<'_>, bytes: &[u8]) {
        match record {
            Record::Pages(pages) => {
                self.changed = true;
                put_dropped(&mut self.out, pages.key, pages.first, pages.count);
            }
            Record::Dropped { .. } => self.out.extend_from_slice(bytes),
            _ => self.changed = true,
        }
    }

    fn count(&mut self, key: KeyRef<'_>, bytes: usize) -> Result<(), BadRecord> {
        if !key.edition.is_empty() {
            let (edition, domain) = names(key.edition, key.domain)?;
            self.branches.push((edition, domain, bytes as u64));
        }
        Ok(())
    }

    fn gather(&mut self, key: KeyRef<'_>) {
        if self.cluster.is_none() {
            let mut cluster = Vec::with_capacity(2 + key.domain.len() + key.edition.len() + 16);
            record::put_cluster(&mut cluster, key);
            self.cluster = Some(cluster);
        }
    }

    fn address(&self) -> Address {
        self.frame.header.address
    }
}

fn key_of<'a>(record: &Record<'a>) -> Option<KeyRef<'a>> {
    match record {
        Record::Pages(pages) => Some(pages.key),
        Record::Snapshot { key, .. }
        | Record::Claim { key, .. }
        | Record::Settle { key, .. }
        | Record::DeleteSnapshot { key, .. }
        | Record::Dropped { key, .. } => Some(*key),
        Record::Fork { .. } | Record::DeleteEdition { .. } | Record::Checkpoint { .. } => None,
    }
}

fn names(edition: &str, domain: &str) -> Result<(Edition, Domain), BadRecord> {
    Ok((
        Edition::new(edition).map_err(|_| BadRecord("an edition is malformed"))?,
        Domain::new(domain).map_err(|_| BadRecord("a domain is malformed"))?,
    ))
}
