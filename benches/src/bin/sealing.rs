//! What rewriting full segments saves and costs: size, reading before and after, and appends
//! while it runs.
#![expect(clippy::print_stdout, reason = "a benchmark's report")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_benches::story;
use angzarr_engine::{Commit, Engine, Filter, IndexKind, Options, Position, Sequence};
use clap::Parser;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Fill a store, read it, rewrite its segments, read it again; append while segments are
/// rewritten.
#[derive(Debug, Parser)]
struct Args {
    /// Events to fill the store with.
    #[arg(long, default_value_t = 2_000_000)]
    events: u32,
    /// Aggregates they are spread over.
    #[arg(long, default_value_t = 10_000)]
    aggregates: u32,
    /// Seconds of each round of appends; 0 for none.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Rounds of appends with and without rewriting beside them.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Folder for the store.
    #[arg(long, default_value = "/tmp")]
    scratch: std::path::PathBuf,
}

/// The aggregate that is replayed as a whole; it gets every twentieth event.
const LONG: u32 = u32::MAX;
const LONG_SHARE: u32 = 20;
/// Threads that append.
const SUBMITTERS: u32 = 64;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-sealing-")
        .tempdir_in(&args.scratch)?;
    let engine = Arc::new(open(scratch.path(), 0)?);
    let started = Instant::now();
    fill(&engine, &args).await?;
    println!(
        "filled with {} events in {:.1} s",
        args.events,
        started.elapsed().as_secs_f64()
    );
    let plain = Reading::of(&engine, &args)?;
    let before = engine.stats();
    let started = Instant::now();
    engine.seal_now()?;
    let seconds = started.elapsed().as_secs_f64();
    let after = engine.stats();
    println!(
        "rewrote {} segments in {seconds:.1} s, {:.0} MiB of log a second; {} MiB became {} MiB",
        engine.sealing().sealed,
        mib(before.log_bytes) / seconds,
        before.disk_bytes >> 20,
        after.disk_bytes >> 20,
    );
    let sealed = Reading::of(&engine, &args)?;
    println!("\n| | plain | rewritten | ratio |\n|---|---|---|---|");
    row(
        "replay of the long aggregate, ms",
        plain.replay,
        sealed.replay,
    );
    row("whole store in order, ms", plain.all, sealed.all);
    row(
        "one aggregate among the others, p50 us",
        plain.load_p50,
        sealed.load_p50,
    );
    row("the same, p99 us", plain.load_p99, sealed.load_p99);
    drop(engine);
    appends(scratch.path(), &args).await
}

fn row(name: &str, plain: f64, sealed: f64) {
    println!(
        "| {name} | {plain:.1} | {sealed:.1} | {:.2} |",
        sealed / plain
    );
}

fn open(folder: &Path, seal_rate: u64) -> Result<Engine> {
    Ok(Engine::open(
        folder,
        Options {
            index: IndexKind::default(),
            seal_rate,
            ..Options::default()
        },
    )?)
}

async fn fill(engine: &Arc<Engine>, args: &Args) -> Result<()> {
    const BATCH: u32 = 100;
    let mut sequences = vec![0u32; args.aggregates as usize];
    let mut long = 0;
    let mut under_way = std::collections::VecDeque::new();
    for first in (0..args.events).step_by(BATCH as usize) {
        let mut writes = Vec::new();
        for n in first..(first + BATCH).min(args.events) {
            if n % LONG_SHARE == 0 {
                writes.push(vec![story::write(LONG, long)]);
                long += 1;
            } else {
                let aggregate = n.wrapping_mul(2_654_435_761) % args.aggregates;
                let sequence = sequences
                    .get_mut(aggregate as usize)
                    .ok_or("an aggregate beyond the last")?;
                writes.push(vec![story::write(aggregate, *sequence)]);
                *sequence += 1;
            }
        }
        for writes in writes {
            let engine = engine.clone();
            under_way.push_back(tokio::spawn(async move {
                let commit = Commit {
                    writes,
                    ..Commit::default()
                };
                engine.commit(commit).await
            }));
        }
        while under_way.len() > 1024 {
            if let Some(task) = under_way.pop_front() {
                task.await??;
            }
        }
    }
    for task in under_way {
        task.await??;
    }
    Ok(())
}

/// Times of reading, the best of three.
struct Reading {
    replay: f64,
    all: f64,
    load_p50: f64,
    load_p99: f64,
}

impl Reading {
    fn of(engine: &Engine, args: &Args) -> Result<Self> {
        let mut replay = f64::MAX;
        let mut all = f64::MAX;
        for _ in 0..3 {
            replay = replay.min(timed(|| read(engine, LONG))?);
            all = all.min(timed(|| read_all(engine))?);
        }
        let mut loads = Vec::new();
        for n in 0..2_000u32 {
            let aggregate = n.wrapping_mul(2_246_822_519) % args.aggregates;
            loads.push(timed(|| read(engine, aggregate))? * 1000.0);
        }
        loads.sort_by(f64::total_cmp);
        let at = |share: usize| loads.get(loads.len() * share / 100).copied().unwrap_or(0.0);
        Ok(Self {
            replay,
            all,
            load_p50: at(50),
            load_p99: at(99),
        })
    }
}

/// Milliseconds.
fn timed(work: impl FnOnce() -> Result<u64>) -> Result<f64> {
    let started = Instant::now();
    std::hint::black_box(work()?);
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

fn read(engine: &Engine, aggregate: u32) -> Result<u64> {
    let view = engine.aggregate(&story::key(aggregate), None)?;
    let mut cursor = engine.pages(&view, Sequence::new(0), view.next(), false);
    let mut events = 0;
    while !cursor.is_done() {
        events += cursor.next_chunk(1 << 20)?.len() as u64;
    }
    Ok(events)
}

fn read_all(engine: &Engine) -> Result<u64> {
    let mut cursor = engine.cursor(Position::new(0), Filter::default())?;
    let mut events = 0;
    while cursor.position() < engine.position() {
        events += cursor.next_chunk(256 * 1024, engine.position())?.len() as u64;
    }
    Ok(events)
}

/// Appends from many submitters, in turn with nothing beside them and with segments being
/// rewritten all the time.
async fn appends(folder: &Path, args: &Args) -> Result<()> {
    if args.seconds == 0 {
        return Ok(());
    }
    println!(
        "\n| appends, {SUBMITTERS} submitters | a second | p50 us | p99 us |\n|---|---|---|---|"
    );
    for round in 0..args.rounds {
        for rewriting in [false, true] {
            let folder = folder.join(format!("appends-{round}-{rewriting}"));
            let engine = Arc::new(open(&folder, 32 << 20)?);
            engine.pause_sealing();
            // Segments to rewrite while the appends are measured.
            fill(
                &engine,
                &Args {
                    events: 2_000_000,
                    aggregates: args.aggregates,
                    scratch: args.scratch.clone(),
                    ..*args
                },
            )
            .await?;
            if rewriting {
                engine.resume_sealing();
            }
            let sealed = engine.sealing().sealed;
            let mut times = append_for(&engine, Duration::from_secs(args.seconds)).await?;
            let done = engine.sealing().sealed - sealed;
            times.sort_unstable();
            let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
            let beside = if rewriting {
                format!("{done} segments rewritten beside")
            } else {
                "alone".to_owned()
            };
            println!(
                "| {beside} | {} | {} | {} |",
                times.len() as u64 / args.seconds,
                at(50),
                at(99)
            );
            drop(engine);
            std::fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

/// Microseconds of each append.
async fn append_for(engine: &Arc<Engine>, time: Duration) -> Result<Vec<u64>> {
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..SUBMITTERS)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut sequence = 0;
                while Instant::now() < until {
                    let commit = Commit {
                        writes: vec![story::write(1_000_000_000 + n, sequence)],
                        ..Commit::default()
                    };
                    let started = Instant::now();
                    engine.commit(commit).await?;
                    let micros = started.elapsed().as_micros();
                    times.push(u64::try_from(micros).unwrap_or(u64::MAX));
                    sequence += 1;
                }
                Ok::<_, angzarr_engine::Error>(times)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.append(&mut task.await??);
    }
    Ok(all)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
