//! Reading single aggregates, and what the index lists.

use bytes::Bytes;

use crate::engine::Engine;
use crate::error::Result;
use crate::event::{ClaimRange, Retention, Snapshot, Span};
use crate::index::keys::{self, Head, Location, SnapshotEntry};
use crate::index::{AggregateId, Direction, Family, Range, damaged};
use crate::log::record::{Pages, Record, records};
use crate::log::{Frame, FrameReader};
use crate::shared::Shared;
use crate::types::{AggregateKey, Domain, Edition, Sequence, Timestamp};

mod list;

pub use list::{EditionDomain, Listed};

/// An aggregate as it stood when [`Engine::aggregate`] was called.
#[derive(Debug, Clone)]
pub struct View {
    key: AggregateKey,
    /// Own timeline, with the events it holds itself.
    own: Option<(AggregateId, Head)>,
    /// Main timeline of a branch, and the end of what it inherits.
    inherited: Option<(AggregateId, Head, Sequence)>,
    next: Sequence,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPage {
    /// Its number.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: Bytes,
    /// Its correlation id; empty if it has none.
    pub correlation: Bytes,
    /// The cascade it was stored for as pending; empty for a committed one.
    pub cascade: Bytes,
}

/// A decision about an event, or that there is none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark {
    /// Which event.
    pub sequence: Sequence,
    /// The cascade it was stored for; empty for a committed one.
    pub cascade: String,
    /// Its cascade was committed.
    pub confirmed: bool,
    /// It is void.
    pub revoked: bool,
}

impl View {
    /// The aggregate.
    #[must_use]
    pub fn key(&self) -> &AggregateKey {
        &self.key
    }

    /// Sequence of the next event.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Where a branch leaves main: it inherits what is below. `None` on main.
    #[must_use]
    pub fn divergence(&self) -> Option<Sequence> {
        if self.key.edition.is_main() {
            return None;
        }
        let own = self.own.map(|(_, head)| head.first);
        own.or(self.inherited.map(|(_, _, to)| to))
            .or(Some(self.next))
    }

    /// Whether any event is or was pending, or is revoked.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        self.own.is_some_and(|(_, head)| head.marked)
            || self.inherited.is_some_and(|(_, head, _)| head.marked)
    }

    /// Parts of `from..to`, each on one timeline, in sequence order.
    fn parts(&self, from: Sequence, to: Sequence) -> Vec<(AggregateId, Sequence, Sequence)> {
        let mut parts = Vec::with_capacity(2);
        if let Some((id, _, end)) = self.inherited {
            parts.push((id, from, to.min(end)));
        }
        if let Some((id, head)) = self.own {
            parts.push((id, from.max(head.first), to.min(head.next)));
        }
        parts.retain(|(_, from, to)| from < to);
        parts
    }
}

impl Engine {
    /// Looks an aggregate up. `divergence` says where a branch leaves main if nothing is recorded
    /// or stored for it.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn aggregate(&self, key: &AggregateKey, divergence: Option<Sequence>) -> Result<View> {
        let index = &self.shared.index;
        let timeline = index.registry().get(&key.edition, &key.domain);
        let own = match timeline {
            Some(timeline) => {
                let id = AggregateId {
                    timeline: timeline.id,
                    root: key.root,
                };
                index
                    .head_of(id)?
                    .filter(Head::has_events)
                    .map(|head| (id, head))
            }
            None => None,
        };
        let mut inherited = None;
        if !key.edition.is_main() {
            let main = key.on_main();
            if let Some(id) = index.id(&main)
                && let Some(head) = index.head_of(id)?.filter(Head::has_events)
            {
                let recorded = timeline.and_then(|timeline| timeline.divergence);
                let end = own.map(|(_, head)| head.first).or(divergence).or(recorded);
                let end = end.map_or(head.next, |end| end.min(head.next));
                inherited = Some((id, head, end));
            }
        }
        let next = own
            .map(|(_, head)| head.next)
            .or(inherited.map(|(_, _, end)| end))
            .unwrap_or_default();
        Ok(View {
            key: key.clone(),
            own,
            inherited,
            next,
        })
    }

    /// Reads the events of `from..to`, in sequence order or backwards.
    #[must_use]
    pub fn pages(&self, view: &View, from: Sequence, to: Sequence, backwards: bool) -> PageCursor {
        let mut parts = view.parts(from, to);
        if !backwards {
            parts.reverse();
        }
        PageCursor {
            shared: self.shared.clone(),
            reader: FrameReader::new(self.shared.log.clone(), self.shared.settled()),
            parts,
            backwards,
            locations: Vec::new(),
        }
    }

    /// Decisions about the events of `from..to`, in sequence order.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn marks(&self, view: &View, from: Sequence, to: Sequence) -> Result<Vec<PageMark>> {
        let mut marks = Vec::new();
        if !view.has_marks() {
            return Ok(marks);
        }
        for (id, from, to) in view.parts(from, to) {
            let range = Range {
                family: Family::Marks,
                from: id.at(from),
                to: Some(id.at(to)),
            };
            self.shared.index.for_each(&range, |key, value| {
                let mark = keys::Mark::decode(value)?;
                marks.push(PageMark {
                    sequence: keys::sequence_of(key)?,
                    cascade: mark.cascade,
                    confirmed: mark.confirmed,
                    revoked: mark.revoked,
                });
                Ok(())
            })?;
        }
        Ok(marks)
    }

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
            let mut range = Range {
                family: Family::Snapshots,
                from: id.at(from),
                to: Some(id.at(to)),
            };
            loop {
                let newest = self.shared.index.scan(&range, Direction::Backwards, 1)?;
                let Some((key, value)) = newest.into_iter().next() else {
                    break;
                };
                let entry = SnapshotEntry::decode(&value).map_err(damaged)?;
                if taken_by.is_none_or(|time| entry.created_at <= time) {
                    return self.load_snapshot(&key, &entry).map(Some);
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
        entries
            .iter()
            .map(|(key, value)| {
                self.load_snapshot(key, &SnapshotEntry::decode(value).map_err(damaged)?)
            })
            .collect()
    }

    fn load_snapshot(&self, key: &[u8], entry: &SnapshotEntry) -> Result<Snapshot> {
        let sequence = keys::sequence_of(key).map_err(damaged)?;
        let id = AggregateId::parse(key).map_err(damaged)?;
        let mut reader = FrameReader::new(self.shared.log.clone(), self.shared.settled());
        let frame = reader.frame(entry.frame)?;
        for record in records(&frame.payload, frame.header.recorded_at) {
            let record = record.map_err(|problem| reader.corrupt(entry.frame, problem))?;
            if let Record::Snapshot { key, snapshot } = record
                && snapshot.sequence == sequence
                && key.root == id.root
            {
                return Ok(Snapshot {
                    sequence,
                    retention: snapshot.retention,
                    created_at: Some(snapshot.created_at),
                    state: frame.payload.slice_ref(snapshot.state),
                });
            }
        }
        Err(reader.corrupt(
            entry.frame,
            "the snapshot that the index names is not there",
        ))
    }

    /// What a claim stands for, if it is known.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn claim(
        &self,
        key: &AggregateKey,
        kind: &[u8],
        claim: &[u8],
    ) -> Result<Option<ClaimRange>> {
        self.shared.index.claim(key, kind, claim)
    }

    /// Whether anything was ever stored on a timeline, and it was not deleted.
    #[must_use]
    pub fn has_timeline(&self, edition: &Edition, domain: &Domain) -> bool {
        self.shared.index.registry().get(edition, domain).is_some()
    }
}

/// Goes through events of one aggregate, holding one chunk of them at a time.
pub struct PageCursor {
    shared: std::sync::Arc<Shared>,
    reader: FrameReader,
    /// What is still to be read; the next part last.
    parts: Vec<(AggregateId, Sequence, Sequence)>,
    backwards: bool,
    /// Where the events of the next part's beginning stand; the next one last.
    locations: Vec<(Sequence, Location)>,
}

impl PageCursor {
    /// The next events, in about `bytes` of payload at most, but at least one frame; empty at the
    /// end.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn next_chunk(&mut self, bytes: usize) -> Result<Vec<StoredPage>> {
        let mut pages = Vec::new();
        let mut size = 0usize;
        while size < bytes {
            if self.locations.is_empty() {
                self.locate()?;
            }
            let Some(&(id, from, to)) = self.parts.last() else {
                break;
            };
            let Some((first, location)) = self.locations.pop() else {
                self.parts.pop();
                continue;
            };
            let frame = self.reader.frame(location.frame)?;
            let mut found = Vec::new();
            size = size.saturating_add(self.take_pages(&frame, id, first, &mut found)?);
            found.retain(|page: &StoredPage| page.sequence >= from && page.sequence < to);
            if self.backwards {
                found.reverse();
            }
            pages.append(&mut found);
            self.shrink_part(first, location);
        }
        Ok(pages)
    }

    /// Whether everything was returned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.locations.is_empty() && self.parts.iter().all(|(_, from, to)| from >= to)
    }

    /// Finds where the next events stand.
    fn locate(&mut self) -> Result<()> {
        const STEP: usize = 256;
        let Some(&(id, from, to)) = self.parts.last() else {
            return Ok(());
        };
        if from >= to {
            return Ok(());
        }
        // The entry that holds `from` may begin before it.
        let upto = Range {
            family: Family::Pages,
            from: id.at(Sequence::ZERO),
            to: from.plus(1).map(|next| id.at(next)),
        };
        let range = |from: Vec<u8>| Range {
            family: Family::Pages,
            from,
            to: Some(id.at(to)),
        };
        let index = &self.shared.index;
        let entries = if self.backwards {
            let holder = index.scan(&upto, Direction::Backwards, 1)?;
            let from = holder
                .into_iter()
                .next()
                .map_or_else(|| id.at(from), |(key, _)| key);
            let mut entries = index.scan(&range(from), Direction::Backwards, STEP)?;
            entries.reverse();
            entries
        } else {
            let ahead = index.scan(&range(id.at(from)), Direction::Forwards, STEP)?;
            let exact = ahead.first().is_some_and(|(key, _)| *key == id.at(from));
            let mut entries = if exact {
                Vec::new()
            } else {
                index.scan(&upto, Direction::Backwards, 1)?
            };
            entries.extend(ahead);
            entries.reverse();
            entries
        };
        self.locations.clear();
        for (key, value) in entries {
            let first = keys::sequence_of(&key).map_err(damaged)?;
            self.locations
                .push((first, Location::decode(&value).map_err(damaged)?));
        }
        self.reader.advance_limit(self.shared.settled());
        Ok(())
    }

    /// Notes that the events of a location have been read.
    fn shrink_part(&mut self, first: Sequence, location: Location) {
        let end = first
            .plus(location.count)
            .unwrap_or(Sequence::new(u32::MAX));
        if let Some((_, from, to)) = self.parts.last_mut() {
            if self.backwards {
                *to = first.min(*to);
            } else {
                *from = end.max(*from);
            }
        }
    }

    /// Appends the events that begin at `first`, and returns their payload's size.
    fn take_pages(
        &self,
        frame: &Frame,
        id: AggregateId,
        first: Sequence,
        pages: &mut Vec<StoredPage>,
    ) -> Result<usize> {
        let corrupt = |problem| self.reader.corrupt(frame.header.address, problem);
        for record in records(&frame.payload, frame.header.recorded_at) {
            match record.map_err(corrupt)? {
                Record::Pages(found) if self.is_wanted(&found, id, first) => {
                    return append_pages(frame, &found, pages).map_err(corrupt);
                }
                _ => {}
            }
        }
        Err(self.reader.corrupt(
            frame.header.address,
            "the events that the index names are missing",
        ))
    }

    fn is_wanted(&self, found: &Pages<'_>, id: AggregateId, first: Sequence) -> bool {
        found.first == first
            && found.key.root == id.root
            && self
                .shared
                .index
                .registry()
                .name(id.timeline)
                .is_none_or(|(edition, domain)| {
                    edition.as_str() == found.key.edition && domain.as_str() == found.key.domain
                })
    }
}

fn append_pages(
    frame: &Frame,
    found: &Pages<'_>,
    pages: &mut Vec<StoredPage>,
) -> Result<usize, crate::log::codec::BadRecord> {
    let slice = |bytes: &[u8]| {
        if bytes.is_empty() {
            Bytes::new()
        } else {
            frame.payload.slice_ref(bytes)
        }
    };
    let correlation = slice(found.correlation.as_bytes());
    let cascade = slice(found.cascade.unwrap_or_default().as_bytes());
    let mut size = 0;
    for page in found.pages(frame.header.recorded_at) {
        let page = page?;
        size += page.body.len();
        pages.push(StoredPage {
            sequence: page.sequence,
            created_at: page.created_at,
            type_name: page.type_name,
            body: slice(page.body),
            correlation: correlation.clone(),
            cascade: cascade.clone(),
        });
    }
    Ok(size)
}

impl Retention {
    /// Whether a newer snapshot makes this one go.
    #[must_use]
    pub fn is_superseded(self) -> bool {
        self != Self::Persist
    }
}
