//! Frames for people.

use angzarr_engine::AggregateKey;
use angzarr_proto::v1::EventPage;
use prost::Message;

use super::json::{claim_text, retention_text, time, verdict_text};
use super::{DumpedFrame, DumpedPage, DumpedRecord, Found, positions};
use crate::cli::{
    event::fit,
    payload,
    stats::size,
    target::{hex, root_bytes_text},
};
use crate::output::{Ink, Output};

pub(super) fn item(output: &Output, item: &Found, with_records: bool) -> Vec<String> {
    match item {
        Found::Frame(it) => frame(output, it, with_records),
        Found::Damage(damage) => {
            let bytes = damage.until.get().saturating_sub(damage.address.get());
            let mark = output.paint(Ink::Bad, "damage");
            vec![format!(
                "{:>12} {mark} {} at offset {}: {}; {} without a whole frame",
                damage.address.get(),
                damage.file,
                damage.offset,
                damage.problem,
                size(bytes)
            )]
        }
        Found::TornTail { address, bytes } => {
            let mark = output.paint(Ink::Warn, "torn tail");
            vec![format!("{:>12} {mark} of {}", address.get(), size(*bytes))]
        }
    }
}

fn frame(output: &Output, frame: &DumpedFrame, with_records: bool) -> Vec<String> {
    let kind = if frame.is_commit { "commit" } else { "mark" };
    let place = match positions(frame) {
        None => String::new(),
        Some((first, last)) if first == last => format!(" · position {first}"),
        Some((first, last)) => format!(" · positions {first}-{last}"),
    };
    let mut lines = vec![format!(
        "{:>12} {}{place} · {} · {} in {}",
        frame.address.get(),
        output.paint(Ink::Title, kind),
        time(frame.recorded_at).unwrap_or_default(),
        size(frame.payload_bytes.into()),
        output.paint(Ink::Faint, &frame.file),
    )];
    if with_records {
        match &frame.records {
            Ok(records) => records.iter().for_each(|it| record(output, it, &mut lines)),
            Err(problem) => lines.push(format!("  {}", output.paint(Ink::Bad, problem))),
        }
    }
    lines
}

fn record(output: &Output, record: &DumpedRecord, lines: &mut Vec<String>) {
    let line = match record {
        DumpedRecord::Pages {
            key,
            correlation,
            cascade,
            isolated,
            pages,
            ..
        } => {
            let correlation = some(" · correlation ", correlation);
            let cascade = some(" · pending for ", cascade.as_deref().unwrap_or_default());
            let isolated = if *isolated { " · isolated" } else { "" };
            lines.push(format!(
                "  pages {}{correlation}{cascade}{isolated}",
                name(output, key)
            ));
            lines.extend(pages.iter().map(|it| page(output, it)));
            return;
        }
        DumpedRecord::Snapshot {
            key,
            sequence,
            retention,
            state,
            ..
        } => format!(
            "snapshot {} at {sequence} · {} · {}",
            name(output, key),
            retention_text(*retention),
            size(state.len() as u64)
        ),
        DumpedRecord::Claim {
            key,
            kind,
            claim,
            range,
        } => format!(
            "claim {} {} {} · {} events from {}",
            name(output, key),
            claim_text(kind),
            hex(claim),
            range.count,
            range.first
        ),
        DumpedRecord::Fork {
            edition,
            domain,
            divergence,
        } => {
            let at = divergence.map_or(String::new(), |at| format!(" at {at}"));
            format!("fork {} {domain}{at}", output.paint(Ink::Branch, edition))
        }
        DumpedRecord::DeleteEdition { edition, domain } => {
            let domain = some(" ", domain.as_deref().unwrap_or_default());
            format!(
                "delete edition {}{domain}",
                output.paint(Ink::Branch, edition)
            )
        }
        DumpedRecord::Settle {
            key,
            verdict,
            sequences,
        } => {
            let name = name(output, key);
            format!("settle {name} {} {sequences:?}", verdict_text(*verdict))
        }
        DumpedRecord::Checkpoint { consumer, position } => {
            format!("checkpoint {consumer} at position {position}")
        }
        DumpedRecord::DeleteSnapshot { key, sequence } => {
            format!("delete snapshot {} at {sequence}", name(output, key))
        }
        DumpedRecord::Dropped { key, first, count } => {
            format!(
                "dropped {} · {count} events from {first}",
                name(output, key)
            )
        }
    };
    lines.push(format!("  {line}"));
}

fn page(output: &Output, page: &DumpedPage) -> String {
    let decoded = EventPage::decode(page.body.clone()).ok();
    let (kind, text) = payload::describe(decoded.and_then(|page| page.payload).as_ref());
    let used = 12 + kind.chars().count();
    format!(
        "    {} {} {}",
        output.paint(Ink::Number, format!("{:>5}", page.sequence)),
        output.paint(Ink::Type, &kind),
        fit(output, &text, used)
    )
}

fn name(output: &Output, key: &AggregateKey) -> String {
    let root = root_bytes_text(key.root.as_bytes());
    let domain = output.paint(Ink::Title, &key.domain);
    if key.edition.is_main() {
        return format!("{domain} {root}");
    }
    let edition = output.paint(Ink::Branch, &key.edition);
    format!("{domain} {root} ({edition})")
}

fn some(before: &str, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("{before}{text}")
}
