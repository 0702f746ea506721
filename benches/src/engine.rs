//! The engine in this process, filled with events nobody reads twice.

use std::path::Path;

use angzarr_engine::{
    AggregateKey, Commit, Domain, Edition, Engine, Error, Expected, IndexKind, Options, Page, Root,
    Sequence, Span, Write,
};
use angzarr_server::bench::workload::Workload;
use bytes::Bytes;

/// Events of one commit when a store is filled.
const FILL_BATCH: u32 = 100;

/// Opens an engine with the default options: synced before the answer.
///
/// # Errors
/// Those of [`Engine::open`].
pub fn open(folder: &Path) -> Result<Engine, Error> {
    Engine::open(
        folder,
        Options {
            index: IndexKind::default(),
            ..Options::default()
        },
    )
}

/// The key of one of the workload's aggregates.
///
/// # Panics
/// When the workload's domain is no domain.
#[must_use]
pub fn key(workload: &Workload, aggregate: u32) -> AggregateKey {
    AggregateKey {
        domain: Domain::new(&workload.domain).expect("a workload's domain is valid"),
        edition: Edition::default(),
        root: Root::new(workload.root(aggregate)),
    }
}

/// A write of the workload's events from `first` to before `end`, expecting `first` to be next.
#[must_use]
pub fn write(workload: &Workload, aggregate: u32, first: u32, end: u32) -> Write {
    let page = |sequence| Page {
        created_at: None,
        type_name: Span::default(),
        body: Bytes::from(workload.payload(aggregate, sequence)),
    };
    Write {
        expected: Expected::Next(Sequence::new(first)),
        pages: (first..end).map(page).collect(),
        ..Write::to(key(workload, aggregate))
    }
}

/// A commit of one event.
#[must_use]
pub fn commit(workload: &Workload, aggregate: u32, sequence: u32) -> Commit {
    let write = write(workload, aggregate, sequence, sequence + 1);
    Commit {
        writes: vec![write],
        ..Commit::default()
    }
}

/// Writes `events` events to each aggregate of the workload.
///
/// # Errors
/// Those of [`Engine::commit`].
pub async fn fill(engine: &Engine, workload: &Workload, events: u32) -> Result<(), Error> {
    let mut writes = Vec::new();
    let mut pages = 0;
    for aggregate in 0..workload.aggregates {
        for first in (0..events).step_by(FILL_BATCH as usize) {
            let end = events.min(first.saturating_add(FILL_BATCH));
            // An aggregate may stand in a commit once.
            if pages + (end - first) > FILL_BATCH || (first > 0 && !writes.is_empty()) {
                flush(engine, &mut writes).await?;
                pages = 0;
            }
            writes.push(write(workload, aggregate, first, end));
            pages += end - first;
        }
    }
    flush(engine, &mut writes).await
}

async fn flush(engine: &Engine, writes: &mut Vec<Write>) -> Result<(), Error> {
    if !writes.is_empty() {
        let writes = std::mem::take(writes);
        engine
            .commit(Commit {
                writes,
                ..Commit::default()
            })
            .await?;
    }
    Ok(())
}
