//! What does a durable append cost in this process? Against the bare group commit, and for one
//! submitter against the write and the sync alone.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_benches::engine;
use angzarr_benches::group_commit::{Entry, GroupCommit};
use angzarr_benches::zeroed::ZeroedFile;
use angzarr_server::bench::workload::Workload;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const SUBMITTERS: [u32; 3] = [1, 16, 256];

/// What one event of 256 bytes takes in a log, headers included.
const EVENT_ON_DISK: usize = 400;

const FILE_BYTES: u64 = 256 << 20;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append one 256-byte event, synced");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.measurement_time(Duration::from_secs(4));
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();

    let mut file = ZeroedFile::create(&folder.path().join("raw"), FILE_BYTES).unwrap();
    let event = [7; EVENT_ON_DISK];
    group.bench_function("limit: write and fdatasync alone", |bencher| {
        bencher.iter(|| file.write_durably(&event).unwrap());
    });

    for submitters in SUBMITTERS {
        let file = ZeroedFile::create(&folder.path().join("limit"), FILE_BYTES).unwrap();
        let limit = GroupCommit::start(file).unwrap();
        group.bench_function(
            BenchmarkId::new("limit: bare group commit", submitters),
            |bencher| {
                bencher.iter_custom(|appends| {
                    let workload = Arc::new(Workload::fresh(submitters, 256));
                    runtime.block_on(submit(submitters, appends, |aggregate, sequence| {
                        let (limit, workload) = (limit.clone(), workload.clone());
                        async move {
                            let entry = Entry {
                                root: workload.root(aggregate),
                                expected: Some(sequence),
                                bytes: workload.payload(aggregate, sequence),
                            };
                            limit.append(entry).await.unwrap().unwrap();
                        }
                    }))
                });
            },
        );

        let store = tempfile::tempdir().unwrap();
        let engine = Arc::new(engine::open(store.path()).unwrap());
        runtime.spawn(engine.deliver_answers());
        group.bench_function(BenchmarkId::new("engine", submitters), |bencher| {
            bencher.iter_custom(|appends| {
                let workload = Arc::new(Workload::fresh(submitters, 256));
                runtime.block_on(submit(submitters, appends, |aggregate, sequence| {
                    let (engine, workload) = (engine.clone(), workload.clone());
                    async move {
                        engine
                            .commit(engine::commit(&workload, aggregate, sequence))
                            .await
                            .unwrap();
                    }
                }))
            });
        });
    }
    group.finish();
}

/// Makes `appends` appends by submitters that each wait for one before the next, and returns the
/// time of all.
async fn submit<F>(submitters: u32, appends: u64, append: impl Fn(u32, u32) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
    F::Output: Send,
{
    let each = u32::try_from(appends.div_ceil(u64::from(submitters))).unwrap();
    let started = Instant::now();
    let tasks: Vec<_> = (0..submitters)
        .map(|aggregate| {
            let appends: Vec<F> = (0..each)
                .map(|sequence| append(aggregate, sequence))
                .collect();
            tokio::spawn(async move {
                for append in appends {
                    append.await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Submitters do whole rounds; criterion asked for `appends`.
    let made = f64::from(each) * f64::from(submitters);
    started.elapsed().mul_f64(appends as f64 / made)
}

criterion_group!(benches, append);
criterion_main!(benches);
