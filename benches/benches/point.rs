//! How soon is one aggregate among a million loaded? Against one read of as many bytes at a
//! random place of the same log, with a checksum.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use angzarr_benches::{engine, raw};
use angzarr_engine::{Engine, Sequence};
use angzarr_server::bench::workload::Workload;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const AGGREGATES: u32 = 1_000_000;

/// What one event of 100 bytes takes in the log, about.
const EVENT_ON_DISK: usize = 200;

fn point(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = engine::open(folder.path()).unwrap();
    let workload = Workload::fresh(AGGREGATES, 100);
    Runtime::new()
        .unwrap()
        .block_on(engine::fill(&store, &workload, 1))
        .unwrap();

    let mut group = criterion.benchmark_group("load one of a million aggregates");
    group.measurement_time(Duration::from_secs(5));
    let files = raw::files(&folder.path().join("log")).unwrap();
    let (files, lengths): (Vec<File>, Vec<u64>) = files
        .iter()
        .map(|path| (File::open(path).unwrap(), path.metadata().unwrap().len()))
        .filter(|(_, length)| *length > EVENT_ON_DISK as u64)
        .unzip();
    let mut number = 0u64;
    group.bench_function("limit: random read and checksum", |bencher| {
        let mut buffer = [0; EVENT_ON_DISK];
        bencher.iter(|| {
            number = next(number);
            let which = usize::try_from(number >> 32).unwrap() % files.len();
            let (file, length) = (files.get(which).unwrap(), lengths.get(which).unwrap());
            file.read_exact_at(&mut buffer, number % (length - EVENT_ON_DISK as u64))
                .unwrap();
            black_box(crc32fast::hash(&buffer))
        });
    });
    group.bench_function("engine", |bencher| {
        bencher.iter(|| {
            number = next(number);
            let aggregate = u32::try_from(number % u64::from(AGGREGATES)).unwrap();
            assert_eq!(load(&store, &workload, aggregate), 1);
        });
    });
    group.finish();
}

fn load(engine: &Engine, workload: &Workload, aggregate: u32) -> usize {
    let view = engine
        .aggregate(&engine::key(workload, aggregate), None)
        .unwrap();
    let mut cursor = engine.pages(&view, Sequence::new(0), view.next(), false);
    black_box(cursor.next_chunk(1 << 20).unwrap()).len()
}

/// A linear congruential generator; its high bits are random enough for places.
fn next(number: u64) -> u64 {
    number
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

criterion_group!(benches, point);
criterion_main!(benches);
