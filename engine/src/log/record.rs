//! What a commit's payload consists of.
//!
//! Names stand in full in every record: a record that referred to a name defined in an earlier
//! frame could not be read without it, and sealed segments are compressed anyway.

mod encode;

pub(crate) use encode::{
    put_checkpoint, put_claim, put_cluster, put_delete_edition, put_delete_snapshot, put_dropped,
    put_emptied, put_fork, put_pages, put_settle, put_snapshot,
};

use super::codec::{BadRecord, Decoder};
use crate::event::{ClaimRange, Retention, Span, Verdict};
use crate::types::{AggregateKey, Domain, Edition, Position, Root, Sequence, Timestamp};

const PAGES: u8 = 1;
const SNAPSHOT: u8 = 2;
const CLAIM: u8 = 3;
const FORK: u8 = 4;
const DELETE_EDITION: u8 = 5;
const SETTLE: u8 = 6;
const CHECKPOINT: u8 = 7;
const DELETE_SNAPSHOT: u8 = 8;
const DROPPED: u8 = 9;

/// Bytes of the smallest page: a time, a start, a length and an empty body.
const PAGE_LEN_MIN: u64 = 4;

const PENDING: u8 = 1;
const ISOLATED: u8 = 2;
const EXT: u8 = 4;

/// One fact of a commit, borrowed from its frame.
#[derive(Debug, Clone)]
pub(crate) enum Record<'a> {
    Pages(Pages<'a>),
    Snapshot {
        key: KeyRef<'a>,
        snapshot: SnapshotRef<'a>,
    },
    Claim {
        key: KeyRef<'a>,
        kind: &'a [u8],
        claim: &'a [u8],
        range: ClaimRange,
    },
    Fork {
        edition: &'a str,
        domain: &'a str,
        divergence: Option<Sequence>,
    },
    DeleteEdition {
        edition: &'a str,
        domain: Option<&'a str>,
    },
    Settle {
        key: KeyRef<'a>,
        verdict: Verdict,
        sequences: Vec<Sequence>,
    },
    Checkpoint {
        consumer: &'a str,
        position: Position,
    },
    DeleteSnapshot {
        key: KeyRef<'a>,
        sequence: Sequence,
    },
    /// Events stood here that are out of reach since their branch was deleted.
    Dropped {
        key: KeyRef<'a>,
        first: Sequence,
        count: u32,
    },
}

/// An aggregate's key, borrowed from its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRef<'a> {
    pub(crate) domain: &'a str,
    pub(crate) edition: &'a str,
    pub(crate) root: Root,
}

impl KeyRef<'_> {
    /// # Errors
    /// For names that the engine never writes.
    pub(crate) fn to_key(self) -> Result<AggregateKey, BadRecord> {
        Ok(AggregateKey {
            domain: Domain::new(self.domain).map_err(|_| BadRecord("a domain is malformed"))?,
            edition: Edition::new(self.edition)
                .map_err(|_| BadRecord("an edition is malformed"))?,
            root: self.root,
        })
    }
}

/// Events that were committed together for one aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages<'a> {
    pub(crate) key: KeyRef<'a>,
    pub(crate) first: Sequence,
    pub(crate) count: u32,
    pub(crate) isolated: bool,
    pub(crate) correlation: &'a str,
    /// The cascade the pages are pending for.
    pub(crate) cascade: Option<&'a str>,
    pub(crate) ext: &'a [u8],
    body: Decoder<'a>,
}

/// One event, borrowed from its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRef<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) created_at: Timestamp,
    pub(crate) type_name: Span,
    pub(crate) body: &'a [u8],
}

impl<'a> Pages<'a> {
    /// The events in sequence order. `recorded_at` is that of the frame.
    pub(crate) fn pages(
        &self,
        recorded_at: Timestamp,
    ) -> impl Iterator<Item = Result<PageRef<'a>, BadRecord>> + use<'a> {
        let mut rest = self.body;
        let first = self.first;
        (0..self.count).map(move |n| {
            let created = recorded_at.nanos().wrapping_add(rest.int()?);
            Ok(PageRef {
                sequence: first.plus(n).ok_or(BadRecord("a sequence is too large"))?,
                created_at: Timestamp::from_nanos(created),
                type_name: Span {
                    start: rest.u32()?,
                    len: rest.u32()?,
                },
                body: rest.bytes()?,
            })
        })
    }
}

/// A snapshot, borrowed from its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotRef<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) retention: Retention,
    pub(crate) created_at: Timestamp,
    pub(crate) state: &'a [u8],
}

/// The records of a commit's payload, in the order they were written.
pub(crate) fn records(
    payload: &[u8],
    recorded_at: Timestamp,
) -> impl Iterator<Item = Result<Record<'_>, BadRecord>> {
    records_with_bytes(payload, recorded_at).map(|record| record.map(|(record, _)| record))
}

/// The same, each with the bytes it stands in.
pub(crate) fn records_with_bytes(
    payload: &[u8],
    recorded_at: Timestamp,
) -> impl Iterator<Item = Result<(Record<'_>, &[u8]), BadRecord>> {
    let mut rest = Decoder(payload);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let before = rest.0;
        let record = next_record(&mut rest, recorded_at);
        if record.is_err() {
            rest = Decoder(&[]);
        }
        let len = before.len() - rest.0.len();
        Some(record.map(|record| (record, before.get(..len).unwrap_or_default())))
    })
}

fn next_record<'a>(
    rest: &mut Decoder<'a>,
    recorded_at: Timestamp,
) -> Result<Record<'a>, BadRecord> {
    let kind = rest.byte()?;
    let len = usize::try_from(u32::from_le_bytes(rest.array()?))
        .map_err(|_| BadRecord("it ends early"))?;
    let mut body = Decoder(rest.take(len)?);
    let record = match kind {
        PAGES => return Ok(Record::Pages(decode_pages(body)?)),
        SNAPSHOT => decode_snapshot(&mut body, recorded_at)?,
        CLAIM => Record::Claim {
            key: decode_key(&mut body)?,
            kind: body.bytes()?,
            claim: body.bytes()?,
            range: ClaimRange {
                first: Sequence::new(body.u32()?),
                count: body.u32()?,
            },
        },
        FORK => Record::Fork {
            edition: body.str()?,
            domain: body.str()?,
            divergence: match body.uint()? {
                0 => None,
                n => Some(Sequence::new(
                    u32::try_from(n - 1).map_err(|_| BadRecord("a sequence is too large"))?,
                )),
            },
        },
        DELETE_EDITION => Record::DeleteEdition {
            edition: body.str()?,
            domain: Some(body.str()?).filter(|d| !d.is_empty()),
        },
        SETTLE => decode_settle(&mut body)?,
        CHECKPOINT => Record::Checkpoint {
            consumer: body.str()?,
            position: Position::new(body.uint()?),
        },
        DELETE_SNAPSHOT => Record::DeleteSnapshot {
            key: decode_key(&mut body)?,
            sequence: Sequence::new(body.u32()?),
        },
        DROPPED => Record::Dropped {
            key: decode_key(&mut body)?,
            first: Sequence::new(body.u32()?),
            count: body.u32()?,
        },
        _ => return Err(BadRecord("its kind is unknown")),
    };
    if !body.is_empty() {
        return Err(BadRecord("it goes on after its end"));
    }
    Ok(record)
}

fn decode_key<'a>(body: &mut Decoder<'a>) -> Result<KeyRef<'a>, BadRecord> {
    Ok(KeyRef {
        domain: body.str()?,
        edition: body.str()?,
        root: Root::new(body.array()?),
    })
}

fn decode_pages(mut body: Decoder<'_>) -> Result<Pages<'_>, BadRecord> {
    let key = decode_key(&mut body)?;
    let first = Sequence::new(body.u32()?);
    let flags = body.byte()?;
    if flags & !(PENDING | ISOLATED | EXT) != 0 {
        return Err(BadRecord("a flag is unknown"));
    }
    let correlation = body.str()?;
    let cascade = if flags & PENDING != 0 {
        Some(body.str()?)
    } else {
        None
    };
    let ext = if flags & EXT != 0 { body.bytes()? } else { &[] };
    let count = body.u32()?;
    // Nobody gets to count to a number that the bytes cannot hold.
    if u64::from(count) * PAGE_LEN_MIN > body.0.len() as u64 {
        return Err(BadRecord("it has fewer pages than it says"));
    }
    first
        .plus(count)
        .ok_or(BadRecord("a sequence is too large"))?;
    Ok(Pages {
        key,
        first,
        count,
        isolated: flags & ISOLATED != 0,
        correlation,
        cascade,
        ext,
        body,
    })
}

fn decode_snapshot<'a>(
    body: &mut Decoder<'a>,
    recorded_at: Timestamp,
) -> Result<Record<'a>, BadRecord> {
    let key = decode_key(body)?;
    let sequence = Sequence::new(body.u32()?);
    let retention = match body.byte()? {
        0 => Retention::Default,
        1 => Retention::Persist,
        2 => Retention::Transient,
        _ => return Err(BadRecord("a retention is unknown")),
    };
    let created_at = Timestamp::from_nanos(recorded_at.nanos().wrapping_add(body.int()?));
    let snapshot = SnapshotRef {
        sequence,
        retention,
        created_at,
        state: body.bytes()?,
    };
    Ok(Record::Snapshot { key, snapshot })
}

fn decode_settle<'a>(body: &mut Decoder<'a>) -> Result<Record<'a>, BadRecord> {
    let key = decode_key(body)?;
    let verdict = match body.byte()? {
        1 => Verdict::Confirmed,
        2 => Verdict::Revoked,
        _ => return Err(BadRecord("a verdict is unknown")),
    };
    let count = body.u32()?;
    let sequences = (0..count)
        .map(|_| body.u32().map(Sequence::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Record::Settle {
        key,
        verdict,
        sequences,
    })
}

#[cfg(test)]
mod tests;
