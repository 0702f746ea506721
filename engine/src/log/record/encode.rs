//! Writes the records of a commit.

use super::{
    CHECKPOINT, CLAIM, DELETE_EDITION, DELETE_SNAPSHOT, DROPPED, EXT, FORK, ISOLATED, PAGES,
    PENDING, SETTLE, SNAPSHOT,
};
use super::{KeyRef, Pages};
use crate::event::{Claim, ClaimRange, Retention, Snapshot, Verdict, Write};
use crate::log::codec::{BadRecord, put_bytes, put_int, put_uint};
use crate::types::{AggregateKey, Consumer, Domain, Edition, Position, Sequence, Timestamp};

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

/// Appends events again, those that `keep` refuses without their bodies.
pub(crate) fn put_emptied(
    out: &mut Vec<u8>,
    pages: &Pages<'_>,
    recorded_at: Timestamp,
    keep: impl Fn(Sequence) -> bool,
) -> Result<(), BadRecord> {
    let mut result = Ok(());
    put_record(out, PAGES, |out| {
        put_key_ref(out, pages.key);
        put_uint(out, pages.first.get().into());
        let pending = if pages.cascade.is_some() { PENDING } else { 0 };
        let isolated = if pages.isolated { ISOLATED } else { 0 };
        let ext = if pages.ext.is_empty() { 0 } else { EXT };
        out.push(pending | isolated | ext);
        put_bytes(out, pages.correlation.as_bytes());
        if let Some(cascade) = pages.cascade {
            put_bytes(out, cascade.as_bytes());
        }
        if !pages.ext.is_empty() {
            put_bytes(out, pages.ext);
        }
        put_uint(out, pages.count.into());
        for page in pages.pages(recorded_at) {
            let page = match page {
                Ok(page) => page,
                Err(problem) => {
                    result = Err(problem);
                    return;
                }
            };
            let kept = keep(page.sequence);
            put_int(
                out,
                page.created_at.nanos().wrapping_sub(recorded_at.nanos()),
            );
            put_uint(out, if kept { page.type_name.start.into() } else { 0 });
            put_uint(out, if kept { page.type_name.len.into() } else { 0 });
            put_bytes(out, if kept { page.body } else { &[] });
        }
    });
    result
}

/// Appends that events of a deleted branch stood here.
pub(crate) fn put_dropped(out: &mut Vec<u8>, key: KeyRef<'_>, first: Sequence, count: u32) {
    put_record(out, DROPPED, |out| {
        put_key_ref(out, key);
        put_uint(out, first.get().into());
        put_uint(out, count.into());
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

/// Appends bytes by which records of one aggregate sort together.
pub(crate) fn put_cluster(out: &mut Vec<u8>, key: KeyRef<'_>) {
    put_key_ref(out, key);
}

fn put_key_ref(out: &mut Vec<u8>, key: KeyRef<'_>) {
    put_bytes(out, key.domain.as_bytes());
    put_bytes(out, key.edition.as_bytes());
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
