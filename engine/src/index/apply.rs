//! From frames to changes of the index: the only place where its content is decided.

mod pending;

use std::collections::BTreeMap;
use std::slice;

use super::keys::{self, Head, Place, SnapshotEntry, Timeline, applied, correlation};
use super::{AggregateId, Direction, Family, Index, Layer, Range, Timelines, damaged};
use crate::error::Result;
use crate::event::{ClaimRange, Retention};
use crate::limits::POSITION_STRIDE;
use crate::log::codec::BadRecord;
use crate::log::frame::Header;
use crate::log::record::{KeyRef, Pages, Record, SnapshotRef, records};
use crate::log::{LogEnd, Resume};
use crate::types::{Address, AggregateKey, Domain, Edition, Position, Sequence};

/// Changes that become readable together.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) layer: Layer,
    pub(crate) timelines: Timelines,
    next_timeline: Option<keys::TimelineId>,
    /// Events removed with editions.
    pub(crate) deleted: u64,
    /// How far the log has been applied.
    resume: Option<Resume>,
}

impl Changes {
    /// Applies a verified commit frame on top of `index` and of earlier changes.
    ///
    /// The writer knows the `heads` that the aggregates with new events had, in the order of their
    /// records; without them they are looked up.
    pub(crate) fn apply(
        &mut self,
        index: &Index,
        header: &Header,
        payload: &[u8],
        heads: Option<&[Option<Head>]>,
    ) -> Result<()> {
        Applier {
            index,
            changes: self,
            header,
            heads: heads.map(<[_]>::iter),
            after_deletion: false,
        }
        .frame(payload)
    }

    /// An aggregate's head, if it is among the changes.
    pub(crate) fn head(&self, index: &Index, key: &AggregateKey) -> Result<Option<Head>> {
        let known = self
            .timelines
            .get(key.edition.as_str(), key.domain.as_str());
        let timeline = known.or_else(|| index.registry().get(&key.edition, &key.domain));
        let Some(timeline) = timeline else {
            return Ok(None);
        };
        let id = AggregateId {
            timeline: timeline.id,
            root: key.root,
        };
        Ok(self.layer.head(id))
    }

    /// Whether there is anything to publish.
    pub(crate) fn is_empty(&self) -> bool {
        self.layer.is_empty() && self.resume.is_none()
    }

    /// What the index is to hold.
    pub(super) fn into_layer(mut self) -> Layer {
        if let Some(resume) = self.resume {
            let value = applied::encode(resume);
            self.layer.put(Family::Meta, applied::KEY, value.as_ref());
        }
        self.layer
    }
}

struct Applier<'a> {
    index: &'a Index,
    changes: &'a mut Changes,
    header: &'a Header,
    /// See [`Changes::apply`].
    heads: Option<slice::Iter<'a, Option<Head>>>,
    /// Whether the frame has deleted an edition: its events, which stand before that in the frame,
    /// are not those of a namesake that begins behind it.
    after_deletion: bool,
}

impl Applier<'_> {
    fn frame(&mut self, payload: &[u8]) -> Result<()> {
        let mut position = self.header.position;
        for record in records(payload, self.header.recorded_at) {
            match record.map_err(damaged)? {
                Record::Pages(pages) => {
                    self.pages(&pages, position)?;
                    position = position.plus(pages.count.into());
                }
                Record::Snapshot { key, snapshot } => self.snapshot(key, snapshot)?,
                Record::Claim {
                    key,
                    kind,
                    claim,
                    range,
                } => self.claim(key, kind, claim, range)?,
                Record::Fork {
                    edition,
                    domain,
                    divergence,
                } => {
                    self.fork(edition, domain, divergence)?;
                }
                Record::DeleteEdition { edition, domain } => {
                    self.delete_edition(edition, domain)?;
                    self.after_deletion = true;
                }
                Record::Settle {
                    key,
                    verdict,
                    sequences,
                } => {
                    self.settle(key, verdict, &sequences)?;
                }
                Record::Checkpoint { consumer, position } => {
                    self.put(
                        Family::Checkpoints,
                        consumer.as_bytes(),
                        keys::number(position.get()),
                    );
                }
                Record::DeleteSnapshot { key, sequence } => {
                    let id = self.aggregate(key)?;
                    self.changes
                        .layer
                        .remove(Family::Snapshots, &id.at(sequence));
                }
                Record::Dropped { count, .. } => position = position.plus(count.into()),
            }
        }
        self.place();
        Ok(())
    }

    fn pages(&mut self, pages: &Pages<'_>, position: Position) -> Result<()> {
        let id = self.aggregate(pages.key)?;
        let known = self.heads.as_mut().and_then(|heads| heads.next().copied());
        let head = match known {
            Some(head) => {
                debug_assert_eq!(head, self.head(id)?, "the head of {:?}", pages.key);
                head
            }
            None => self.head(id)?,
        };
        let next = pages
            .first
            .plus(pages.count)
            .ok_or(BadRecord("a sequence is too large"));
        let next = next.map_err(damaged)?;
        let head = Head::appended(head, self.at(pages.first), next, pages.cascade.is_some());
        self.changes.layer.append(id, head);
        if !pages.key.edition.is_empty() {
            self.count_events(pages.key, pages.count)?;
        }
        if !pages.correlation.is_empty() {
            self.correlate(pages.correlation, id, position)?;
        }
        if let Some(cascade) = pages.cascade {
            self.pend(cascade, id, pages)?;
        }
        Ok(())
    }

    fn count_events(&mut self, key: KeyRef<'_>, count: u32) -> Result<()> {
        let (edition, domain) = names(key.edition, key.domain)?;
        let mut timeline = self.timeline(&edition, &domain);
        timeline.events = timeline.events.saturating_add(count.into());
        self.set_timeline(edition, domain, timeline);
        Ok(())
    }

    fn correlate(&mut self, text: &str, id: AggregateId, position: Position) -> Result<()> {
        let member = correlation::member(text, id);
        if self.get(Family::Correlations, &member)?.is_none() {
            self.put(Family::Correlations, member, Vec::new());
            let ordered = correlation::ordered(text, position);
            self.put(Family::Correlations, ordered, id.key());
        }
        Ok(())
    }

    fn snapshot(&mut self, key: KeyRef<'_>, snapshot: SnapshotRef<'_>) -> Result<()> {
        let id = self.aggregate(key)?;
        let older = Range {
            family: Family::Snapshots,
            from: id.key().to_vec(),
            to: Some(id.at(snapshot.sequence).to_vec()),
        };
        for (key, value) in self.scan(&older)? {
            if SnapshotEntry::decode(&value).map_err(damaged)?.retention != Retention::Persist {
                self.changes.layer.remove(Family::Snapshots, &key);
            }
        }
        let entry = SnapshotEntry {
            frame: self.header.address,
            created_at: snapshot.created_at,
            retention: snapshot.retention,
        };
        self.put(Family::Snapshots, id.at(snapshot.sequence), entry.encode());
        // One of a branch without events of its own is never read.
        if let Some(head) = self.head(id)? {
            let head = head.with_snapshot(self.at(snapshot.sequence));
            self.changes.layer.set_head(id, head);
        }
        Ok(())
    }

    /// This frame, as the place of something.
    fn at(&self, sequence: Sequence) -> Place {
        Place {
            sequence,
            frame: self.header.address,
        }
    }

    fn claim(
        &mut self,
        key: KeyRef<'_>,
        kind: &[u8],
        claim: &[u8],
        range: ClaimRange,
    ) -> Result<()> {
        let id = self.aggregate(key)?;
        self.put(
            Family::Claims,
            id.claim(kind, claim),
            keys::encode_range(range),
        );
        Ok(())
    }

    fn fork(&mut self, edition: &str, domain: &str, divergence: Option<Sequence>) -> Result<()> {
        let (edition, domain) = names(edition, domain)?;
        let mut timeline = self.timeline(&edition, &domain);
        timeline.divergence = timeline.divergence.or(divergence);
        self.set_timeline(edition, domain, timeline);
        Ok(())
    }

    fn delete_edition(&mut self, edition: &str, domain: Option<&str>) -> Result<()> {
        let edition =
            Edition::new(edition).map_err(|_| damaged(BadRecord("an edition is malformed")))?;
        let mut found: BTreeMap<Domain, Timeline> = BTreeMap::new();
        let before = self.index.registry();
        let changed = self.changes.timelines.of(&edition);
        for (of, timeline) in before.of(&edition).chain(changed) {
            found.insert(of.clone(), *timeline);
        }
        drop(before);
        for (of, mut timeline) in found {
            let meant = domain.is_none_or(|domain| domain == of.as_str());
            if !meant || timeline.deleted {
                continue;
            }
            self.drop_pending(timeline.id)?;
            self.changes.deleted = self.changes.deleted.saturating_add(timeline.events);
            timeline.deleted = true;
            self.set_timeline(edition.clone(), of, timeline);
        }
        Ok(())
    }

    /// Records how far the log has been applied, and now and then where a position stands.
    fn place(&mut self) {
        let header = self.header;
        self.changes.resume = Some(Resume {
            last: header.address,
            end: LogEnd::behind(header),
        });
        let stride = |address: Address| address.get() / POSITION_STRIDE;
        if header.events > 0 && stride(header.address) != stride(header.end()) {
            let key = keys::number(header.position.get());
            self.put(Family::Positions, key, keys::number(header.address.get()));
        }
    }

    /// The aggregate's id; its timeline begins here if there is none yet.
    fn aggregate(&mut self, key: KeyRef<'_>) -> Result<AggregateId> {
        let timeline = match self.known(key.edition, key.domain) {
            Some(timeline) if !timeline.deleted => timeline,
            _ => {
                let (edition, domain) = names(key.edition, key.domain)?;
                let timeline = self.timeline(&edition, &domain);
                self.set_timeline(edition, domain, timeline);
                timeline
            }
        };
        Ok(AggregateId {
            timeline: timeline.id,
            root: key.root,
        })
    }

    fn known(&self, edition: &str, domain: &str) -> Option<Timeline> {
        let changed = self.changes.timelines.get(edition, domain);
        changed.or_else(|| self.index.registry().known(edition, domain))
    }

    /// The timeline as it is, or as it begins.
    fn timeline(&mut self, edition: &Edition, domain: &Domain) -> Timeline {
        let known = self.known(edition.as_str(), domain.as_str());
        if let Some(timeline) = known.filter(|timeline| !timeline.deleted) {
            return timeline;
        }
        let id = self
            .changes
            .next_timeline
            .unwrap_or_else(|| self.index.registry().next_id());
        self.changes.next_timeline = Some(id.saturating_add(1));
        Timeline {
            id,
            since: if self.after_deletion {
                self.header.end()
            } else {
                self.header.address
            },
            divergence: None,
            events: 0,
            deleted: false,
        }
    }

    fn set_timeline(&mut self, edition: Edition, domain: Domain, timeline: Timeline) {
        let key = keys::timeline_key(edition.as_str(), domain.as_str());
        self.put(Family::Timelines, key, timeline.encode());
        self.changes.timelines.insert(edition, domain, timeline);
    }

    fn head(&self, id: AggregateId) -> Result<Option<Head>> {
        match self.changes.layer.head(id) {
            Some(head) => Ok(Some(head)),
            None => self.index.head_of(id),
        }
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.changes.layer.get(family, key) {
            Some(value) => Ok(value),
            None => self.index.get(family, key),
        }
    }

    fn scan(&self, range: &Range) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut found: BTreeMap<_, _> = self
            .index
            .scan(range, Direction::Forwards, usize::MAX)?
            .into_iter()
            .collect();
        for (key, value) in self
            .changes
            .layer
            .scan(range, Direction::Forwards, usize::MAX)
        {
            match value {
                Some(value) => found.insert(key, value),
                None => found.remove(&key),
            };
        }
        Ok(found)
    }

    fn put(&mut self, family: Family, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.changes.layer.put(family, key.as_ref(), value.as_ref());
    }
}

fn names(edition: &str, domain: &str) -> Result<(Edition, Domain)> {
    Ok((
        Edition::new(edition).map_err(|_| damaged(BadRecord("an edition is malformed")))?,
        Domain::new(domain).map_err(|_| damaged(BadRecord("a domain is malformed")))?,
    ))
}
