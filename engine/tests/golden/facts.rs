//! Everything that can be read of a store, one line a fact.

use std::fmt::Write as _;

use angzarr_engine::*;

use super::history::{cascade, key};

/// Reads the store in every way there is.
pub fn read(engine: &Engine) -> String {
    let mut out = String::new();
    let stats = engine.stats();
    let id: String = stats
        .database_id
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    writeln!(out, "database {id}, position {}", stats.position).unwrap();
    names(engine, &mut out);
    for domain in ["order", "stock"] {
        for edition in ["", "what-if", "plan", "bare", "gone", "lost"] {
            for root in 1..=9 {
                aggregate(engine, &key(domain, edition, root), &mut out);
            }
        }
    }
    log(engine, &mut out);
    let consumer = Consumer::new("projector").unwrap();
    let checkpoint = engine.checkpoint(&consumer).unwrap();
    writeln!(out, "checkpoint {checkpoint:?}").unwrap();
    out
}

fn names(engine: &Engine, out: &mut String) {
    let domains = engine.domains();
    let domains: Vec<_> = domains.iter().map(Domain::as_str).collect();
    writeln!(out, "domains {domains:?}").unwrap();
    for (edition, domains) in engine.editions() {
        for EditionDomain {
            domain,
            divergence,
            events,
        } in domains
        {
            let divergence = divergence.map(Sequence::get);
            writeln!(
                out,
                "edition {edition} in {domain}: from {divergence:?}, {events} events"
            )
            .unwrap();
        }
    }
    for id in ["kept", "void", "open"] {
        let found = engine.participants(&cascade(id)).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(key, at)| format!("{key} {at:?}"))
            .collect();
        writeln!(out, "cascade {id}: {found:?}").unwrap();
    }
    let stale = engine
        .stale_cascades(Timestamp::from_nanos(i64::MAX), None, 10)
        .unwrap();
    writeln!(out, "stale {:?}", stale.items).unwrap();
    for id in ["story-1", "story-2"] {
        let id = CorrelationId::new(id).unwrap();
        let found = engine.correlated(&id, Position::START, 10).unwrap().items;
        let found: Vec<_> = found
            .iter()
            .map(|(at, key)| format!("{at} {key}"))
            .collect();
        writeln!(out, "correlated {}: {found:?}", id.as_str()).unwrap();
    }
}

fn aggregate(engine: &Engine, key: &AggregateKey, out: &mut String) {
    let view = engine.aggregate(key, None).unwrap();
    let snapshots = engine.snapshots(key).unwrap();
    let claims = [
        ("external", b"payment-17".as_slice()),
        ("command", &[0, 255, 7]),
    ];
    for (kind, claim) in claims {
        if let Some(range) = engine.claim(key, kind.as_bytes(), claim).unwrap() {
            writeln!(out, "{key} claim {kind} {:?} +{}", range.first, range.count).unwrap();
        }
    }
    if view.next() == Sequence::ZERO && snapshots.is_empty() {
        return;
    }
    writeln!(
        out,
        "{key} next {}, leaves main at {:?}",
        view.next(),
        view.divergence()
    )
    .unwrap();
    let mut pages = engine.pages(&view, Sequence::ZERO, view.next(), false);
    loop {
        let chunk = pages.next_chunk(1 << 16).unwrap();
        if chunk.is_empty() {
            break;
        }
        for page in chunk {
            let kind = String::from_utf8_lossy(page.type_name.of(&page.body)).into_owned();
            let (body, at) = (short(&page.body), page.created_at.nanos());
            let (correlation, cascade) = (text(&page.correlation), text(&page.cascade));
            writeln!(
                out,
                "{key} {} {kind} at {at} {correlation:?} {cascade:?}: {body}",
                page.sequence
            )
            .unwrap();
        }
    }
    for mark in engine.marks(&view, Sequence::ZERO, view.next()).unwrap() {
        writeln!(out, "{key} {mark:?}").unwrap();
    }
    for found in &snapshots {
        let state = text(&found.state);
        let (at, taken) = (found.sequence, found.created_at.map(Timestamp::nanos));
        writeln!(
            out,
            "{key} snapshot {at} {:?} {taken:?} {state:?}",
            found.retention
        )
        .unwrap();
    }
}

fn log(engine: &Engine, out: &mut String) {
    let mut cursor = engine.cursor(Position::START, Filter::default()).unwrap();
    while cursor.position() < engine.position() {
        for found in cursor.next_chunk(1 << 16, engine.position()).unwrap() {
            let cascade = found.cascade.map(|id| id.to_string());
            for page in found.pages {
                writeln!(
                    out,
                    "log {} {} {} at {} of {} ext {:?} {:?} {:?}{}: {}",
                    page.position,
                    found.key,
                    page.sequence,
                    page.created_at.nanos(),
                    found.recorded_at.nanos(),
                    text(&found.ext),
                    found.correlation.as_str(),
                    cascade,
                    if found.isolated { " isolated" } else { "" },
                    short(&page.body)
                )
                .unwrap();
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn short(body: &[u8]) -> String {
    let text = text(body);
    match text.len() {
        0..100 => format!("{text:?}"),
        len => format!(
            "{:?} and so on, {len} bytes",
            text.get(..20).unwrap_or_default()
        ),
    }
}
