//! How fast is one aggregate of 100,000 events read from its first to its last? Against reading
//! the same log from its first byte to its last with a checksum over it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

use std::hint::black_box;
use std::time::Duration;

use angzarr_benches::{engine, raw};
use angzarr_engine::{Engine, Sequence};
use angzarr_server::bench::workload::Workload;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const EVENTS: u32 = 100_000;

fn replay(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = engine::open(folder.path()).unwrap();
    let workload = Workload::fresh(1, 256);
    Runtime::new()
        .unwrap()
        .block_on(engine::fill(&store, &workload, EVENTS))
        .unwrap();

    let mut group = criterion.benchmark_group("replay one aggregate of 100,000 events");
    group
        .throughput(Throughput::Elements(u64::from(EVENTS)))
        .sample_size(20);
    group.measurement_time(Duration::from_secs(6));
    let files = raw::files(&folder.path().join("log")).unwrap();
    let bytes = store.stats().log_bytes;
    group.bench_function("limit: sequential read and checksum", |bencher| {
        bencher.iter(|| raw::checksum(&files, bytes).unwrap());
    });
    group.bench_function("engine", |bencher| {
        bencher.iter(|| assert_eq!(read(&store, &workload, 0), EVENTS as usize));
    });
    group.finish();
}

fn read(engine: &Engine, workload: &Workload, aggregate: u32) -> usize {
    let view = engine
        .aggregate(&engine::key(workload, aggregate), None)
        .unwrap();
    let mut cursor = engine.pages(&view, Sequence::new(0), view.next(), false);
    let mut events = 0;
    loop {
        let chunk = cursor.next_chunk(1 << 20).unwrap();
        if chunk.is_empty() {
            return events;
        }
        events += black_box(&chunk).len();
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
