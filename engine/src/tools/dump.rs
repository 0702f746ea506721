//! Shows what stands in a log.

use std::path::Path;

use bytes::Bytes;

use super::walk::{Damage, Seen, is_commit, open_log, walk_from};
use super::{check_folder, lock};
use crate::disk::OsDisk;
use crate::error::Result;
use crate::event::{ClaimRange, Retention, Span, Verdict};
use crate::log::codec::BadRecord;
use crate::log::record::{Record, records};
use crate::log::{Frame, Segment};
use crate::types::{Address, AggregateKey, Position, Sequence, Timestamp};

/// Which frames of a log to show.
#[derive(Debug, Clone, Copy)]
pub struct DumpRange {
    /// Those that begin at or behind this address,
    pub from: Address,
    /// and before this one,
    pub to: Address,
    /// with events at or behind this position, or none,
    pub from_position: Position,
    /// and not only behind this one.
    pub to_position: Position,
}

/// One thing that stands in a log.
#[derive(Debug, Clone)]
pub enum Dump {
    /// A whole frame.
    Frame(DumpedFrame),
    /// A place that is not as it was written.
    Damage(Damage),
    /// An unfinished write at the end.
    TornTail {
        /// Where it begins.
        address: Address,
        /// Its size.
        bytes: u64,
    },
}

/// A frame with its records.
#[derive(Debug, Clone)]
pub struct DumpedFrame {
    /// File name within the data folder.
    pub file: String,
    /// Where it stands in the log.
    pub address: Address,
    /// The log was known to be synced up to here when it was written.
    pub durable: Address,
    /// Position of its first event, or of the next event if it has none.
    pub position: Position,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// Whether it is a commit; else it is a mark.
    pub is_commit: bool,
    /// Events in it.
    pub events: u32,
    /// Bytes of its payload as it was written.
    pub payload_bytes: u32,
    /// What was committed; the error says why that cannot be told.
    pub records: std::result::Result<Vec<DumpedRecord>, String>,
}

/// One fact of a commit.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the fields are those that docs/FORMAT.md describes"
)]
pub enum DumpedRecord {
    Pages {
        key: AggregateKey,
        correlation: String,
        cascade: Option<String>,
        isolated: bool,
        ext: Bytes,
        pages: Vec<DumpedPage>,
    },
    Snapshot {
        key: AggregateKey,
        sequence: Sequence,
        retention: Retention,
        created_at: Timestamp,
        state: Bytes,
    },
    Claim {
        key: AggregateKey,
        kind: Bytes,
        claim: Bytes,
        range: ClaimRange,
    },
    Fork {
        edition: String,
        domain: String,
        divergence: Option<Sequence>,
    },
    DeleteEdition {
        edition: String,
        domain: Option<String>,
    },
    Settle {
        key: AggregateKey,
        verdict: Verdict,
        sequences: Vec<Sequence>,
    },
    Checkpoint {
        consumer: String,
        position: Position,
    },
    DeleteSnapshot {
        key: AggregateKey,
        sequence: Sequence,
    },
    Dropped {
        key: AggregateKey,
        first: Sequence,
        count: u32,
    },
}

/// One event of a commit.
#[derive(Debug, Clone)]
pub struct DumpedPage {
    /// Place in its aggregate.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: Bytes,
}

/// Visits the frames of a store that is not open, in the order of the log, going on behind damage.
///
/// # Errors
/// [`Error::Locked`](crate::Error::Locked), [`Error::Unsupported`](crate::Error::Unsupported),
/// [`Error::Io`](crate::Error::Io), and what `visit` returns. Damage is visited.
pub fn dump(
    folder: &Path,
    range: DumpRange,
    visit: &mut dyn FnMut(Dump) -> Result<()>,
) -> Result<()> {
    check_folder(folder)?;
    let _lock = lock(folder)?;
    let disk = OsDisk::existing(&folder.join("log"));
    let opened = open_log(&disk)?;
    for damage in opened.damage {
        visit(Dump::Damage(damage))?;
    }
    if opened.segments.is_empty() {
        return Ok(());
    }
    let begins_later = |segment: &Segment| {
        segment.header.base > range.from || segment.header.position > range.from_position
    };
    let later = opened.segments.iter().position(|s| begins_later(s));
    let first = later.unwrap_or(opened.segments.len()).saturating_sub(1);
    let within = |address: Address| range.from <= address && address < range.to;
    let walked = walk_from(&opened.segments, first, &mut |seen| match seen {
        Seen::Frame(segment, frame) => {
            let header = &frame.header;
            let wanted = within(header.address)
                && header.position <= range.to_position
                && header.next_position() > range.from_position;
            if wanted {
                visit(Dump::Frame(to_frame(segment, frame)))?;
            }
            Ok(())
        }
        Seen::Damage(damage) if within(damage.address) => visit(Dump::Damage(damage)),
        Seen::Damage(_) => Ok(()),
    })?;
    let address = walked.end.address;
    if walked.torn_bytes > 0 && within(address) {
        let bytes = walked.torn_bytes;
        visit(Dump::TornTail { address, bytes })?;
    }
    Ok(())
}

fn to_frame(segment: &Segment, frame: &Frame) -> DumpedFrame {
    let header = &frame.header;
    let found = records(&frame.payload, header.recorded_at)
        .map(|record| to_record(frame, record?))
        .collect::<std::result::Result<Vec<_>, BadRecord>>();
    DumpedFrame {
        file: format!("log/{}", segment.name),
        address: header.address,
        durable: header.durable,
        position: header.position,
        recorded_at: header.recorded_at,
        is_commit: is_commit(frame),
        events: header.events,
        payload_bytes: header.payload_len,
        records: found.map_err(|problem| problem.to_string()),
    }
}

fn to_record(frame: &Frame, record: Record<'_>) -> std::result::Result<DumpedRecord, BadRecord> {
    let bytes = |part: &[u8]| Bytes::copy_from_slice(part);
    Ok(match record {
        Record::Pages(found) => DumpedRecord::Pages {
            key: found.key.to_key()?,
            correlation: found.correlation.to_owned(),
            cascade: found.cascade.map(str::to_owned),
            isolated: found.isolated,
            ext: bytes(found.ext),
            pages: found
                .pages(frame.header.recorded_at)
                .map(|page| {
                    let page = page?;
                    Ok(DumpedPage {
                        sequence: page.sequence,
                        created_at: page.created_at,
                        type_name: page.type_name,
                        body: bytes(page.body),
                    })
                })
                .collect::<std::result::Result<_, BadRecord>>()?,
        },
        Record::Snapshot { key, snapshot } => DumpedRecord::Snapshot {
            key: key.to_key()?,
            sequence: snapshot.sequence,
            retention: snapshot.retention,
            created_at: snapshot.created_at,
            state: bytes(snapshot.state),
        },
        Record::Claim {
            key,
            kind,
            claim,
            range,
        } => DumpedRecord::Claim {
            key: key.to_key()?,
            kind: bytes(kind),
            claim: bytes(claim),
            range,
        },
        Record::Fork {
            edition,
            domain,
            divergence,
        } => DumpedRecord::Fork {
            edition: edition.to_owned(),
            domain: domain.to_owned(),
            divergence,
        },
        Record::DeleteEdition { edition, domain } => DumpedRecord::DeleteEdition {
            edition: edition.to_owned(),
            domain: domain.map(str::to_owned),
        },
        Record::Settle {
            key,
            verdict,
            sequences,
        } => DumpedRecord::Settle {
            key: key.to_key()?,
            verdict,
            sequences,
        },
        Record::Checkpoint { consumer, position } => DumpedRecord::Checkpoint {
            consumer: consumer.to_owned(),
            position,
        },
        Record::DeleteSnapshot { key, sequence } => DumpedRecord::DeleteSnapshot {
            key: key.to_key()?,
            sequence,
        },
        Record::Dropped { key, first, count } => DumpedRecord::Dropped {
            key: key.to_key()?,
            first,
            count,
        },
    })
}
