//! What a commit's payload consists of.
//!
//! Names stand in full in every record: a record that referred to a name defined in an earlier
//! frame could not be read without it, and sealed segments are compressed anyway.

use super::codec::{BadRecord, Decoder, put_bytes, put_int, put_uint};
use crate::event::{Claim, ClaimRange, Retention, Snapshot, Span, Verdict, Write};
use crate::types::{AggregateKey, Consumer, Domain, Edition, Position, Root, Sequence, Timestamp};

const PAGES: u8 = 1;
const SNAPSHOT: u8 = 2;
const CLAIM: u8 = 3;
const FORK: u8 = 4;
const DELETE_EDITION: u8 = 5;
const SETTLE: u8 = 6;
const CHECKPOINT: u8 = 7;
const DELETE_SNAPSHOT: u8 = 8;

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
    let mut rest = Decoder(payload);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = next_record(&mut rest, recorded_at);
        if record.is_err() {
            rest = Decoder(&[]);
        }
        Some(record)
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

/// Appends the events of a write, numbered from `first`.
pub(crate) fn put_pages(out: &mut Vec<u8>, write: &Write, first: Sequence, recorded_at: Timestamp) {
    put_record(out, PAGES, |out| {
        put_key(out, &write.key);
        put_uint(out, first.get().into());
        let pending = if write.cascade.is_some() { PENDING } else { 0 };
        let isolated = if write.isolated { ISOLATED } else { 0 };
        let ext = if write.ext.is_empty() { 0 } else { EXT };
        out.push(pending | isolated | ext);
        put_bytes(out, write.correlation.as_str().as_bytes());
        if let Some(cascade) = &write.cascade {
            put_bytes(out, cascade.as_str().as_bytes());
        }
        if !write.ext.is_empty() {
            put_bytes(out, &write.ext);
        }
        put_uint(out, write.pages.len() as u64);
        for page in &write.pages {
            let created_at = page.created_at.unwrap_or(recorded_at);
            put_int(out, created_at.nanos().wrapping_sub(recorded_at.nanos()));
            put_uint(out, page.type_name.start.into());
            put_uint(out, page.type_name.len.into());
            put_bytes(out, &page.body);
        }
    });
}

/// Appends a snapshot.
pub(crate) fn put_snapshot(
    out: &mut Vec<u8>,
    key: &AggregateKey,
    snapshot: &Snapshot,
    recorded_at: Timestamp,
) {
    put_record(out, SNAPSHOT, |out| {
        put_key(out, key);
        put_uint(out, snapshot.sequence.get().into());
        out.push(match snapshot.retention {
            Retention::Default => 0,
            Retention::Persist => 1,
            Retention::Transient => 2,
        });
        let created_at = snapshot.created_at.unwrap_or(recorded_at);
        put_int(out, created_at.nanos().wrapping_sub(recorded_at.nanos()));
        put_bytes(out, &snapshot.state);
    });
}

/// Appends an idempotency key with the events it stands for.
pub(crate) fn put_claim(out: &mut Vec<u8>, key: &AggregateKey, claim: &Claim, range: ClaimRange) {
    put_record(out, CLAIM, |out| {
        put_key(out, key);
        put_bytes(out, &claim.kind);
        put_bytes(out, &claim.key);
        put_uint(out, range.first.get().into());
        put_uint(out, range.count.into());
    });
}

/// Appends where a branch leaves main in a domain.
pub(crate) fn put_fork(
    out: &mut Vec<u8>,
    edition: &Edition,
    domain: &Domain,
    divergence: Option<Sequence>,
) {
    put_record(out, FORK, |out| {
        put_bytes(out, edition.as_str().as_bytes());
        put_bytes(out, domain.as_str().as_bytes());
        put_uint(out, divergence.map_or(0, |d| u64::from(d.get()) + 1));
    });
}

/// Appends the removal of a branch.
pub(crate) fn put_delete_edition(out: &mut Vec<u8>, edition: &Edition, domain: Option<&Domain>) {
    put_record(out, DELETE_EDITION, |out| {
        put_bytes(out, edition.as_str().as_bytes());
        put_bytes(out, domain.map_or("", Domain::as_str).as_bytes());
    });
}

/// Appends a decision about events.
pub(crate) fn put_settle(
    out: &mut Vec<u8>,
    key: &AggregateKey,
    verdict: Verdict,
    sequences: &[Sequence],
) {
    put_record(out, SETTLE, |out| {
        put_key(out, key);
        out.push(match verdict {
            Verdict::Confirmed => 1,
            Verdict::Revoked => 2,
        });
        put_uint(out, sequences.len() as u64);
        for sequence in sequences {
            put_uint(out, sequence.get().into());
        }
    });
}

/// Appends a consumer's checkpoint.
pub(crate) fn put_checkpoint(out: &mut Vec<u8>, consumer: &Consumer, position: Position) {
    put_record(out, CHECKPOINT, |out| {
        put_bytes(out, consumer.as_str().as_bytes());
        put_uint(out, position.get());
    });
}

/// Appends the removal of a snapshot.
pub(crate) fn put_delete_snapshot(out: &mut Vec<u8>, key: &AggregateKey, sequence: Sequence) {
    put_record(out, DELETE_SNAPSHOT, |out| {
        put_key(out, key);
        put_uint(out, sequence.get().into());
    });
}

fn put_key(out: &mut Vec<u8>, key: &AggregateKey) {
    put_bytes(out, key.domain.as_str().as_bytes());
    put_bytes(out, key.edition.as_str().as_bytes());
    out.extend_from_slice(key.root.as_bytes());
}

/// Writes kind and length around what `fill` writes. A payload is bounded by
/// [`PAYLOAD_MAX`](crate::limits::PAYLOAD_MAX), so a length always fits.
fn put_record(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let start = out.len();
    fill(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(target) = out.get_mut(at..start) {
        target.copy_from_slice(&len.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
