//! What the store should be: plain maps, no files, no caches.
//!
//! Knows the engine by its public interface only; the model tests use it too.

use std::collections::BTreeMap;

use angzarr_engine::{
    AggregateKey, CascadeId, Claim, ClaimRange, Commit, Consumer, Control, Domain, Edition, Error,
    Expected, Outcome, Position, Retention, Sequence, Settle, Timestamp, Verdict, Write,
};
use bytes::Bytes;

/// Everything that is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// Timelines that exist, each with its recorded divergence.
    pub(crate) timelines: BTreeMap<(Edition, Domain), Option<u32>>,
    pub(crate) aggregates: BTreeMap<AggregateKey, Aggregate>,
    /// Cascades with pending events: how many, and since when.
    pub(crate) cascades: BTreeMap<CascadeId, (u64, Timestamp)>,
    pub(crate) checkpoints: BTreeMap<Consumer, Position>,
    /// Where each event that still exists stands.
    pub(crate) log: BTreeMap<u64, (AggregateKey, u32)>,
    /// For each correlation id, the aggregates that have it and where they first did.
    pub(crate) correlations: BTreeMap<Bytes, BTreeMap<u64, AggregateKey>>,
    /// Events ever stored.
    pub(crate) written: u64,
    /// Whether segments have been rewritten: without what they leave out of deleted branches, a
    /// cascade that had events there may look younger or older to a new index.
    pub(crate) rewritten: bool,
}

/// One aggregate on one timeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aggregate {
    /// Sequence of its first own event, if it has any.
    pub(crate) first: u32,
    pub(crate) events: Vec<Event>,
    pub(crate) claims: BTreeMap<Claim, ClaimRange>,
    pub(crate) snapshots: BTreeMap<u32, Kept>,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) position: u64,
    pub(crate) body: Bytes,
    pub(crate) created_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) correlation: Bytes,
    pub(crate) ext: Bytes,
    pub(crate) isolated: bool,
    pub(crate) cascade: Option<CascadeId>,
    pub(crate) confirmed: bool,
    pub(crate) revoked: bool,
}

/// A stored snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) state: Bytes,
    pub(crate) created_at: Timestamp,
    pub(crate) retention: Retention,
}

/// What becomes of a commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Stored {
        outcomes: Vec<Outcome>,
        forks: Vec<(Edition, Domain, u32)>,
    },
    Duplicate(Vec<Outcome>),
    Conflict {
        key: AggregateKey,
        expected: u32,
        actual: u32,
    },
    Invalid,
    Refused,
}

impl Decision {
    /// Whether an answer of the engine says the same.
    pub(crate) fn agrees(&self, answer: &Result<Vec<Outcome>, Error>) -> bool {
        match (self, answer) {
            (Self::Stored { outcomes, .. } | Self::Duplicate(outcomes), Ok(found)) => {
                outcomes == found
            }
            (
                Self::Conflict {
                    key,
                    expected,
                    actual,
                },
                Err(Error::Conflict {
                    key: of,
                    expected: named,
                    actual: found,
                }),
            ) => key == of && *expected == named.get() && *actual == found.get(),
            (Self::Invalid, Err(Error::Invalid(_))) => true,
            (Self::Refused, Err(Error::Refused(_))) => true,
            _ => false,
        }
    }
}

impl Aggregate {
    pub(crate) fn next(&self) -> Option<u32> {
        (!self.events.is_empty()).then(|| self.first + count(self.events.len()))
    }

    fn event_mut(&mut self, sequence: Sequence) -> Option<&mut Event> {
        let place = sequence.get().checked_sub(self.first)?;
        self.events.get_mut(place as usize)
    }
}

impl Event {
    pub(crate) fn is_pending(&self) -> bool {
        self.cascade.is_some() && !self.confirmed && !self.revoked
    }
}

impl Model {
    pub(crate) fn own(&self, key: &AggregateKey) -> Option<&Aggregate> {
        self.aggregates.get(key)
    }

    pub(crate) fn divergence(&self, edition: &Edition, domain: &Domain) -> Option<u32> {
        let recorded = self.timelines.get(&(edition.clone(), domain.clone()));
        recorded.copied().flatten()
    }

    fn main_next(&self, key: &AggregateKey) -> u32 {
        let main = self.own(&key.on_main());
        main.and_then(Aggregate::next).unwrap_or(0)
    }

    /// How many of main's events a reader of a branch sees, if it says where that leaves main.
    pub(crate) fn inherited(&self, key: &AggregateKey, given: Option<u32>) -> u32 {
        if key.edition.is_main() {
            return 0;
        }
        let own = self.own(key).filter(|own| !own.events.is_empty());
        let recorded = self.divergence(&key.edition, &key.domain);
        let end = own.map(|own| own.first).or(given).or(recorded);
        let main = self.main_next(key);
        end.map_or(main, |end| end.min(main))
    }

    /// Sequence of the next event.
    pub(crate) fn next(&self, key: &AggregateKey, given: Option<u32>) -> u32 {
        let own = self.own(key).and_then(Aggregate::next);
        own.unwrap_or_else(|| self.inherited(key, given))
    }

    /// Everything a reader of the timeline sees, numbered from 0.
    pub(crate) fn visible(&self, key: &AggregateKey, given: Option<u32>) -> Vec<&Event> {
        let inherited = self.inherited(key, given) as usize;
        let main = self.own(&key.on_main()).filter(|_| inherited > 0);
        let main = main.iter().flat_map(|main| main.events.iter());
        let own = self.own(key).into_iter().flat_map(|own| own.events.iter());
        main.take(inherited).chain(own).collect()
    }

    /// The pending events of a cascade, by aggregate.
    pub(crate) fn participants(&self, id: &CascadeId) -> Vec<(AggregateKey, Vec<Sequence>)> {
        let mut found = Vec::new();
        for (key, aggregate) in &self.aggregates {
            let pending: Vec<_> = (aggregate.first..)
                .zip(&aggregate.events)
                .filter(|(_, event)| event.is_pending() && event.cascade.as_ref() == Some(id))
                .map(|(sequence, _)| Sequence::new(sequence))
                .collect();
            if !pending.is_empty() {
                found.push((key.clone(), pending));
            }
        }
        found
    }

    /// Whether a commit that was decided upon leaves anything in the log.
    pub(crate) fn leaves_a_frame(&self, commit: &Commit, decision: &Decision) -> bool {
        let Decision::Stored { forks, .. } = decision else {
            return false;
        };
        !forks.is_empty()
            || commit.checkpoint.is_some()
            || commit.writes.iter().any(|write| !is_empty(write))
            || commit
                .controls
                .iter()
                .any(|control| !matches!(control, Control::ExpectPending { .. }))
    }

    /// Stores a commit that was decided upon. Returns how many events it removed.
    pub(crate) fn apply(&mut self, commit: &Commit, decision: &Decision, time: Timestamp) -> u64 {
        let Decision::Stored { outcomes, forks } = decision else {
            return 0;
        };
        let mut deleted = 0;
        for (edition, domain, at) in forks {
            self.fork(edition, domain, Some(*at));
        }
        for (write, outcome) in commit.writes.iter().zip(outcomes) {
            self.apply_write(write, *outcome, time);
        }
        if let Some((consumer, position)) = &commit.checkpoint {
            self.checkpoints.insert(consumer.clone(), *position);
        }
        for control in &commit.controls {
            match control {
                Control::Fork {
                    edition,
                    domain,
                    divergence,
                } => self.fork(edition, domain, divergence.map(Sequence::get)),
                Control::DeleteEdition { edition, domain } => {
                    deleted += self.delete(edition, domain.as_ref());
                }
                Control::DeleteSnapshot { key, sequence } => {
                    if let Some(aggregate) = self.aggregates.get_mut(key) {
                        aggregate.snapshots.remove(&sequence.get());
                    }
                }
                Control::ExpectPending { .. } => {}
            }
        }
        deleted
    }

    fn fork(&mut self, edition: &Edition, domain: &Domain, at: Option<u32>) {
        let name = (edition.clone(), domain.clone());
        let recorded = self.timelines.entry(name).or_default();
        *recorded = recorded.or(at);
    }

    fn apply_write(&mut self, write: &Write, outcome: Outcome, time: Timestamp) {
        if is_empty(write) {
            return;
        }
        self.fork(&write.key.edition, &write.key.domain, None);
        self.apply_pages(write, outcome, time);
        for settle in &write.settles {
            self.settle(&write.key, settle);
        }
        let own = self.aggregates.entry(write.key.clone()).or_default();
        if let Some(claim) = &write.claim {
            let range = ClaimRange {
                first: outcome.first,
                count: outcome.count,
            };
            own.claims.insert(claim.clone(), range);
        }
        if let Some(snapshot) = &write.snapshot {
            let at = snapshot.sequence.get();
            own.snapshots
                .retain(|&older, kept| older >= at || kept.retention == Retention::Persist);
            let kept = Kept {
                state: snapshot.state.clone(),
                created_at: snapshot.created_at.unwrap_or(time),
                retention: snapshot.retention,
            };
            own.snapshots.insert(at, kept);
        }
    }

    fn apply_pages(&mut self, write: &Write, outcome: Outcome, time: Timestamp) {
        if write.pages.is_empty() {
            return;
        }
        let correlation = Bytes::copy_from_slice(write.correlation.as_str().as_bytes());
        if !correlation.is_empty() {
            let known = self.correlations.entry(correlation.clone()).or_default();
            if !known.values().any(|key| *key == write.key) {
                known.insert(self.written + 1, write.key.clone());
            }
        }
        if let Some(cascade) = &write.cascade {
            self.cascades.entry(cascade.clone()).or_insert((0, time)).0 += write.pages.len() as u64;
        }
        let own = self.aggregates.entry(write.key.clone()).or_default();
        if own.events.is_empty() {
            own.first = outcome.first.get();
        }
        for (n, page) in (outcome.first.get()..).zip(&write.pages) {
            self.written += 1;
            self.log.insert(self.written, (write.key.clone(), n));
            own.events.push(Event {
                position: self.written,
                body: page.body.clone(),
                created_at: page.created_at.unwrap_or(time),
                recorded_at: time,
                correlation: correlation.clone(),
                ext: write.ext.clone(),
                isolated: write.isolated,
                cascade: write.cascade.clone(),
                confirmed: false,
                revoked: false,
            });
        }
    }

    fn settle(&mut self, key: &AggregateKey, settle: &Settle) {
        let Some(own) = self.aggregates.get_mut(key) else {
            return;
        };
        for &sequence in &settle.sequences {
            let Some(event) = own.event_mut(sequence) else {
                continue;
            };
            let was_pending = event.is_pending();
            match settle.verdict {
                Verdict::Confirmed if event.cascade.is_none() => continue,
                Verdict::Confirmed => event.confirmed = true,
                Verdict::Revoked => event.revoked = true,
            }
            if was_pending && let Some(cascade) = event.cascade.clone() {
                no_longer_pending(&mut self.cascades, &cascade);
            }
        }
    }

    fn delete(&mut self, edition: &Edition, domain: Option<&Domain>) -> u64 {
        let meant = |e: &Edition, d: &Domain| e == edition && domain.is_none_or(|of| of == d);
        let gone = |key: &AggregateKey| meant(&key.edition, &key.domain);
        let mut deleted = 0;
        for (_, aggregate) in self.aggregates.iter().filter(|(key, _)| gone(key)) {
            deleted += aggregate.events.len() as u64;
            for event in aggregate.events.iter().filter(|event| event.is_pending()) {
                if let Some(cascade) = &event.cascade {
                    no_longer_pending(&mut self.cascades, cascade);
                }
            }
        }
        self.aggregates.retain(|key, _| !gone(key));
        self.timelines.retain(|(e, d), _| !meant(e, d));
        self.log.retain(|_, (key, _)| !gone(key));
        for known in self.correlations.values_mut() {
            known.retain(|_, key| !gone(key));
        }
        deleted
    }
}

fn is_empty(write: &Write) -> bool {
    write.pages.is_empty() && write.claim.is_none() && write.snapshot.is_none()
}

fn no_longer_pending(cascades: &mut BTreeMap<CascadeId, (u64, Timestamp)>, id: &CascadeId) {
    if let Some((count, _)) = cascades.get_mut(id) {
        *count -= 1;
        if *count == 0 {
            cascades.remove(id);
        }
    }
}

/// A length as a sequence.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The sequence an expectation stands for, if it is one.
pub(crate) fn wanted(expected: Expected) -> Option<u32> {
    match expected {
        Expected::Any => None,
        Expected::NoEvents => Some(0),
        Expected::Next(sequence) => Some(sequence.get()),
    }
}
