//! Frames as JSON.

use angzarr_engine::{AggregateKey, Retention, Timestamp, Verdict};
use angzarr_proto::v1::EventPage;
use prost::Message;
use serde_json::{Value, json};

use super::{DumpedFrame, DumpedPage, DumpedRecord, Found, positions};
use crate::cli::{
    payload,
    target::{hex, root_bytes_text},
    verify::damage_json,
};

pub(super) fn item(item: &Found, with_records: bool) -> Value {
    match item {
        Found::Frame(it) => frame(it, with_records),
        Found::Damage(damage) => json!({"kind": "damage", "damage": damage_json(damage)}),
        Found::TornTail { address, bytes } => {
            json!({"kind": "torn tail", "address": address.get(), "bytes": bytes})
        }
    }
}

fn frame(frame: &DumpedFrame, with_records: bool) -> Value {
    let kind = if frame.is_commit { "commit" } else { "mark" };
    let mut value = json!({
        "kind": kind, "file": frame.file, "address": frame.address.get(),
        "durable": frame.durable.get(), "recorded_at": time(frame.recorded_at),
        "payload_bytes": frame.payload_bytes, "events": frame.events,
        "first_position": positions(frame).map(|(first, _)| first),
        "last_position": positions(frame).map(|(_, last)| last),
    });
    let Some(map) = value.as_object_mut().filter(|_| with_records) else {
        return value;
    };
    match &frame.records {
        Ok(records) => {
            let records = records.iter().map(record).collect();
            map.insert("records".to_owned(), Value::Array(records));
        }
        Err(problem) => {
            map.insert("problem".to_owned(), json!(problem));
        }
    }
    value
}

fn record(record: &DumpedRecord) -> Value {
    match record {
        DumpedRecord::Pages {
            key,
            correlation,
            cascade,
            isolated,
            ext,
            pages,
        } => {
            let pages: Vec<_> = pages.iter().map(page).collect();
            json!({
                "record": "pages", "aggregate": aggregate(key), "correlation_id": correlation,
                "cascade_id": cascade, "isolated": isolated, "ext": hex(ext), "pages": pages,
            })
        }
        DumpedRecord::Snapshot {
            key,
            sequence,
            retention,
            created_at,
            state,
        } => json!({
            "record": "snapshot", "aggregate": aggregate(key), "sequence": sequence.get(),
            "retention": retention_text(*retention), "created_at": time(*created_at),
            "state": hex(state),
        }),
        DumpedRecord::Claim {
            key,
            kind,
            claim,
            range,
        } => json!({
            "record": "claim", "aggregate": aggregate(key), "claim": claim_text(kind),
            "key": hex(claim), "first_sequence": range.first.get(), "events": range.count,
        }),
        DumpedRecord::Fork {
            edition,
            domain,
            divergence,
        } => json!({
            "record": "fork", "edition": edition, "domain": domain,
            "divergence": divergence.map(angzarr_engine::Sequence::get),
        }),
        DumpedRecord::DeleteEdition { edition, domain } => {
            json!({"record": "delete edition", "edition": edition, "domain": domain})
        }
        DumpedRecord::Settle {
            key,
            verdict,
            sequences,
        } => {
            let sequences: Vec<_> = sequences.iter().map(|it| it.get()).collect();
            json!({
                "record": "settle", "aggregate": aggregate(key),
                "verdict": verdict_text(*verdict), "sequences": sequences,
            })
        }
        DumpedRecord::Checkpoint { consumer, position } => {
            json!({"record": "checkpoint", "consumer": consumer, "position": position.get()})
        }
        DumpedRecord::DeleteSnapshot { key, sequence } => json!({
            "record": "delete snapshot", "aggregate": aggregate(key), "sequence": sequence.get(),
        }),
        DumpedRecord::Dropped { key, first, count } => json!({
            "record": "dropped", "aggregate": aggregate(key), "first_sequence": first.get(),
            "events": count,
        }),
    }
}

fn page(page: &DumpedPage) -> Value {
    let decoded = EventPage::decode(page.body.clone()).ok();
    let payload = decoded.and_then(|page| page.payload);
    json!({
        "sequence": page.sequence.get(), "created_at": time(page.created_at),
        "payload": payload::to_json(payload.as_ref()),
    })
}

fn aggregate(key: &AggregateKey) -> Value {
    json!({
        "domain": key.domain.as_str(), "edition": key.edition.to_string(),
        "root": root_bytes_text(key.root.as_bytes()),
    })
}

/// A kind of claim is text unless somebody else wrote it.
pub(super) fn claim_text(kind: &[u8]) -> String {
    String::from_utf8_lossy(kind).into_owned()
}

pub(super) fn retention_text(retention: Retention) -> &'static str {
    match retention {
        Retention::Default => "default",
        Retention::Persist => "persist",
        Retention::Transient => "transient",
    }
}

pub(super) fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Revoked => "revoked",
    }
}

pub(super) fn time(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).ok()?;
    Some(at.to_string())
}
