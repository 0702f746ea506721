//! Keys and values of the index, one codec per family.
//!
//! Numbers in keys are big-endian, so that byte order is number order. Strings in keys stand
//! behind a length byte, so that one is never a prefix of another. An aggregate's key is the
//! number of its timeline (4 bytes) and its root (16).

pub(crate) mod applied;
pub(crate) mod cascade;
pub(crate) mod correlation;
mod head;

pub(crate) use head::{Head, Place};

use crate::event::{ClaimRange, Retention};
use crate::log::codec::{BadRecord, Decoder, put_bytes, put_int, put_uint};
use crate::types::{Address, Position, Root, Sequence, Timestamp};

/// A sorted map of its own within the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Name -> fact about the index itself.
    Meta,
    /// Edition and domain -> [`Timeline`].
    Timelines,
    /// Aggregate -> [`Head`].
    Heads,
    /// Aggregate and first sequence -> [`Location`].
    Pages,
    /// Aggregate and sequence -> [`SnapshotEntry`].
    Snapshots,
    /// Aggregate and sequence -> [`Mark`].
    Marks,
    /// Tagged: cascades, their participants, and cascades by age.
    Cascades,
    /// Tagged: aggregates by correlation id.
    Correlations,
    /// Aggregate, kind and key -> events.
    Claims,
    /// Consumer -> position.
    Checkpoints,
    /// Position -> address, one entry for every so many bytes of log.
    Positions,
}

impl Family {
    /// Every family, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Meta,
        Self::Timelines,
        Self::Heads,
        Self::Pages,
        Self::Snapshots,
        Self::Marks,
        Self::Cascades,
        Self::Correlations,
        Self::Claims,
        Self::Checkpoints,
        Self::Positions,
    ];

    /// Place in [`ALL`](Self::ALL).
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// Whether a [`Layer`](super::Layer) keeps it by aggregate.
    pub(super) fn is_by_aggregate(self) -> bool {
        matches!(self, Self::Heads | Self::Pages)
    }

    /// Name of the column family.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Timelines => "timelines",
            Self::Heads => "heads",
            Self::Pages => "pages",
            Self::Snapshots => "snapshots",
            Self::Marks => "marks",
            Self::Cascades => "cascades",
            Self::Correlations => "correlations",
            Self::Claims => "claims",
            Self::Checkpoints => "checkpoints",
            Self::Positions => "positions",
        }
    }
}

/// Number of a timeline: one edition of one domain. Never used twice, so that what a deleted
/// edition left in the index is out of reach at once.
pub(crate) type TimelineId = u32;

/// An aggregate within the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AggregateId {
    pub(crate) timeline: TimelineId,
    pub(crate) root: Root,
}

impl AggregateId {
    /// Bytes of an encoded id.
    pub(crate) const LEN: usize = 20;

    pub(crate) fn key(self) -> [u8; Self::LEN] {
        let mut key = [0; Self::LEN];
        let (timeline, root) = key.split_at_mut(4);
        timeline.copy_from_slice(&self.timeline.to_be_bytes());
        root.copy_from_slice(self.root.as_bytes());
        key
    }

    pub(crate) fn parse(key: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(key);
        let timeline = u32::from_be_bytes(rest.array()?);
        Ok(Self {
            timeline,
            root: Root::new(rest.array()?),
        })
    }

    /// The first id whose key does not come before these bytes' first ones.
    pub(super) fn not_before(bytes: &[u8]) -> Self {
        let mut key = [0; Self::LEN];
        for (byte, from) in key.iter_mut().zip(bytes) {
            *byte = *from;
        }
        let (timeline, root) = key.split_at(4);
        Self {
            timeline: u32::from_be_bytes(timeline.try_into().unwrap_or_default()),
            root: Root::new(root.try_into().unwrap_or_default()),
        }
    }

    /// Key of one of the aggregate's sequences.
    pub(crate) fn at(self, sequence: Sequence) -> [u8; Self::LEN + 4] {
        let mut key = [0; Self::LEN + 4];
        let (id, number) = key.split_at_mut(Self::LEN);
        id.copy_from_slice(&self.key());
        number.copy_from_slice(&sequence.get().to_be_bytes());
        key
    }

    /// Key of a claim.
    pub(crate) fn claim(self, kind: &[u8], claim: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(Self::LEN + 2 + kind.len() + claim.len());
        key.extend_from_slice(&self.key());
        put_bytes(&mut key, kind);
        key.extend_from_slice(claim);
        key
    }
}

/// The sequence at the end of a key made by [`AggregateId::at`].
pub(crate) fn sequence_of(key: &[u8]) -> Result<Sequence, BadRecord> {
    let bytes = key.last_chunk().ok_or(BadRecord("a key is too short"))?;
    Ok(Sequence::new(u32::from_be_bytes(*bytes)))
}

/// The smallest key greater than every key with this prefix; `None` if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Key of a timeline.
pub(crate) fn timeline_key(edition: &str, domain: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + edition.len() + domain.len());
    put_bytes(&mut key, edition.as_bytes());
    put_bytes(&mut key, domain.as_bytes());
    key
}

/// Edition and domain of a timeline's key.
pub(crate) fn parse_timeline_key(key: &[u8]) -> Result<(&str, &str), BadRecord> {
    let mut rest = Decoder(key);
    Ok((rest.str()?, rest.str()?))
}

/// What the index knows of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) id: TimelineId,
    /// Log address from which on records belong to it: older ones are of a deleted namesake.
    pub(crate) since: Address,
    /// Where the branch leaves main, if that is recorded.
    pub(crate) divergence: Option<Sequence>,
    /// Events of its own.
    pub(crate) events: u64,
    /// Its events are gone; kept so that its number and its past are not taken for another's.
    pub(crate) deleted: bool,
}

impl Timeline {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, self.id.into());
        put_uint(&mut out, self.since.get());
        put_optional(&mut out, self.divergence);
        put_uint(&mut out, self.events);
        out.push(self.deleted.into());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(value);
        Ok(Self {
            id: rest.u32()?,
            since: Address::new(rest.uint()?),
            divergence: optional(&mut rest)?,
            events: rest.uint()?,
            deleted: rest.byte()? != 0,
        })
    }
}

/// Where events that were committed together stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// Their frame.
    pub(crate) frame: Address,
    /// How many there are.
    pub(crate) count: u32,
}

impl Location {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10);
        put_uint(&mut out, self.frame.get());
        put_uint(&mut out, self.count.into());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(value);
        Ok(Self {
            frame: Address::new(rest.uint()?),
            count: rest.u32()?,
        })
    }
}

/// Where a snapshot stands, and what decides whether a read may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotEntry {
    pub(crate) frame: Address,
    pub(crate) created_at: Timestamp,
    pub(crate) retention: Retention,
}

impl SnapshotEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        put_uint(&mut out, self.frame.get());
        put_int(&mut out, self.created_at.nanos());
        out.push(match self.retention {
            Retention::Default => 0,
            Retention::Persist => 1,
            Retention::Transient => 2,
        });
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(value);
        Ok(Self {
            frame: Address::new(rest.uint()?),
            created_at: Timestamp::from_nanos(rest.int()?),
            retention: match rest.byte()? {
                0 => Retention::Default,
                1 => Retention::Persist,
                2 => Retention::Transient,
                _ => return Err(BadRecord("a retention is unknown")),
            },
        })
    }
}

/// What was decided about an event that is not plainly committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The cascade it was stored for; empty for one that was stored as committed.
    pub(crate) cascade: String,
    pub(crate) confirmed: bool,
    pub(crate) revoked: bool,
}

impl Mark {
    /// Whether its cascade may still decide about it.
    pub(crate) fn is_pending(&self) -> bool {
        !self.cascade.is_empty() && !self.confirmed && !self.revoked
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.cascade.len());
        out.push(u8::from(self.confirmed) | u8::from(self.revoked) << 1);
        put_bytes(&mut out, self.cascade.as_bytes());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(value);
        let flags = rest.byte()?;
        Ok(Self {
            cascade: rest.str()?.to_owned(),
            confirmed: flags & 1 != 0,
            revoked: flags & 2 != 0,
        })
    }
}

/// Value of a claim.
pub(crate) fn encode_range(range: ClaimRange) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    put_uint(&mut out, range.first.get().into());
    put_uint(&mut out, range.count.into());
    out
}

/// Reads [`encode_range`].
pub(crate) fn decode_range(value: &[u8]) -> Result<ClaimRange, BadRecord> {
    let mut rest = Decoder(value);
    Ok(ClaimRange {
        first: Sequence::new(rest.u32()?),
        count: rest.u32()?,
    })
}

/// A number as key or value.
pub(crate) fn number(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// Reads [`number`].
pub(crate) fn parse_number(bytes: &[u8]) -> Result<u64, BadRecord> {
    Ok(u64::from_be_bytes(Decoder(bytes).array()?))
}

fn put_optional(out: &mut Vec<u8>, sequence: Option<Sequence>) {
    put_uint(out, sequence.map_or(0, |s| u64::from(s.get()) + 1));
}

fn optional(rest: &mut Decoder<'_>) -> Result<Option<Sequence>, BadRecord> {
    match rest.uint()? {
        0 => Ok(None),
        n => u32::try_from(n - 1)
            .map(|n| Some(Sequence::new(n)))
            .map_err(|_| BadRecord("a sequence is too large")),
    }
}

#[cfg(test)]
mod tests;
