//! What does encoding a commit into a frame cost? Against copying its payload and a checksum
//! over it.

#![allow(missing_docs, reason = "a benchmark is a program")]

use std::hint::black_box;

use angzarr_benches::engine;
use angzarr_engine::{Sequence, internals};
use angzarr_server::bench::workload::Workload;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Events of one commit and bytes of each.
const SHAPES: [(u32, u32); 3] = [(1, 256), (1, 4_096), (100, 256)];

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode a commit as a frame");
    for (events, bytes) in SHAPES {
        let workload = Workload::fresh(1, bytes);
        let write = engine::write(&workload, 0, 0, events);
        let shape = format!("{events} x {bytes} bytes");
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(u64::from(events) * u64::from(bytes)));
        group.bench_function(
            BenchmarkId::new("limit: copy and checksum", &shape),
            |bencher| {
                bencher.iter(|| {
                    out.clear();
                    for page in &write.pages {
                        out.extend_from_slice(&page.body);
                    }
                    crc32fast::hash(black_box(&out))
                });
            },
        );
        group.bench_function(BenchmarkId::new("engine", &shape), |bencher| {
            bencher.iter(|| {
                out.clear();
                internals::encode_frame(&mut out, &write, Sequence::new(0));
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
