//! How long does opening take after a crash? Against reading the same log with a checksum over
//! it. With RocksDB only the part of the log that the index had not written yet is read again.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

use std::time::Duration;

use angzarr_benches::{engine, raw};
use angzarr_server::bench::workload::Workload;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const AGGREGATES: u32 = 10_000;
const EVENTS_EACH: u32 = 20;

fn open(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().unwrap();
    let live = scratch.path().join("live");
    let crashed = scratch.path().join("crashed");
    let workload = Workload::fresh(AGGREGATES, 256);
    let bytes = {
        let store = engine::open(&live).unwrap();
        Runtime::new()
            .unwrap()
            .block_on(engine::fill(&store, &workload, EVENTS_EACH))
            .unwrap();
        // What a killed process leaves behind: nothing was closed, nothing written out.
        raw::copy(&live, &crashed).unwrap();
        store.stats().log_bytes
    };

    let mut group = criterion.benchmark_group("open after a crash, 200,000 events");
    let events = u64::from(AGGREGATES * EVENTS_EACH);
    group
        .throughput(Throughput::Elements(events))
        .sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    let files = raw::files(&crashed.join("log")).unwrap();
    group.bench_function("limit: sequential read and checksum", |bencher| {
        bencher.iter(|| raw::checksum(&files, bytes).unwrap());
    });
    let mut copies = 0;
    group.bench_function("engine", |bencher| {
        bencher.iter_batched(
            || {
                copies += 1;
                let folder = scratch.path().join(format!("copy-{copies}"));
                raw::copy(&crashed, &folder).unwrap();
                folder
            },
            |folder| {
                let store = engine::open(&folder).unwrap();
                assert_eq!(store.position().get(), events);
                // Dropped by the harness, outside the measured time.
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
