//! Ten million aggregates and fifty million events: do append rate, memory and opening stay what
//! they were, and what does an event cost on disk?
//!
//! Each tenth of the events is written by a process of its own, which is then killed: so that
//! every opening is one after a crash.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use angzarr_benches::child::Memory;
use angzarr_benches::story;
use angzarr_engine::{Commit, Engine, Expected, IndexKind, Options, Sequence, Write};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

mod report;
mod workload;

use workload::{Order, Workload};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Fill a store to a large size in ten parts, killing the process after each.
#[derive(Debug, Parser)]
struct Args {
    /// Aggregates.
    #[arg(long, default_value_t = 10_000_000)]
    aggregates: u32,
    /// Events, each about 110 bytes of JSON.
    #[arg(long, default_value_t = 50_000_000)]
    events: u32,
    /// Events of one append, each of another aggregate.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Appends under way at a time.
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// How the events are spread over the aggregates.
    #[arg(long, value_enum, default_value_t = Order::Growing)]
    order: Order,
    /// Folder for the store, which takes about 10 GB.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md`, `.json` and `.svg` added.
    #[arg(long, default_value = "benches/results/scale")]
    out: PathBuf,
    /// Which part this process writes; for the processes that the first one starts.
    #[arg(long, hide = true)]
    part: Option<u32>,
    /// Reads random aggregates; for the process that the first one starts.
    #[arg(long, hide = true)]
    read: bool,
}

const PARTS: u32 = 10;
/// Random aggregates that are loaded at the end.
const LOADS: u32 = 20_000;
/// What a process says of its part.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    open_seconds: f64,
    replayed_commits: u64,
    seconds: f64,
    events: u32,
    resident: u64,
    anonymous: u64,
    log_bytes: u64,
    disk_bytes: u64,
    sealed: usize,
    waiting: usize,
}

/// What the last process says.
#[derive(Debug, Serialize, Deserialize)]
struct Reads {
    open_seconds: f64,
    seal_seconds: f64,
    disk_bytes: u64,
    log_bytes: u64,
    load_p50_us: f64,
    load_p99_us: f64,
    cold_p50_us: f64,
    cold_p99_us: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    aggregates: u32,
    events: u32,
    batch: u32,
    clients: usize,
    order: Order,
    parts: Vec<Part>,
    reads: Reads,
    index_bytes: u64,
    payload_bytes_per_event: f64,
    zstd_bytes_per_event: f64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(part) = args.part {
        return say(&write_part(&args, part).await?);
    }
    if args.read {
        return say(&read(&args)?);
    }
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-scale-")
        .tempdir_in(&args.scratch)?;
    let report = measure(&args, scratch.path())?;
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(args.out.with_extension("json"), json + "\n")?;
    let markdown = report.markdown();
    std::fs::write(args.out.with_extension("md"), &markdown)?;
    report.plot(&args.out.with_extension("svg"))?;
    eprintln!("{markdown}");
    Ok(())
}

fn measure(args: &Args, scratch: &Path) -> Result<Report> {
    let mut parts = Vec::new();
    for part in 0..PARTS {
        let done: Part = ask(args, scratch, &["--part", &part.to_string()])?;
        eprintln!(
            "part {} of {PARTS}: opened in {:.2} s, {:.0} events a second, {} MiB resident",
            part + 1,
            done.open_seconds,
            f64::from(done.events) / done.seconds,
            done.resident >> 20
        );
        parts.push(done);
    }
    let reads = ask(args, scratch, &["--read"])?;
    let (payload_bytes_per_event, zstd_bytes_per_event) = compressed(args)?;
    Ok(Report {
        aggregates: args.aggregates,
        events: args.events,
        batch: args.batch,
        clients: args.clients,
        order: args.order,
        parts,
        reads,
        index_bytes: folder_bytes(&scratch.join("index"))?,
        payload_bytes_per_event,
        zstd_bytes_per_event,
    })
}

/// Starts this program on a part, waits for its answer, and kills it.
fn ask<T: for<'de> Deserialize<'de>>(args: &Args, scratch: &Path, task: &[&str]) -> Result<T> {
    let mut child = Killed(
        Command::new(std::env::current_exe()?)
            .args(task)
            .args(["--aggregates", &args.aggregates.to_string()])
            .args(["--events", &args.events.to_string()])
            .args(["--batch", &args.batch.to_string()])
            .args(["--clients", &args.clients.to_string()])
            .args(["--order", name(args.order).as_str()])
            .arg("--scratch")
            .arg(scratch)
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let output = child.0.stdout.take().ok_or("the child has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn name(order: Order) -> String {
    order
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A process that ends by SIGKILL.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers the process that started this one, and waits to be killed by it.
#[expect(clippy::print_stdout, reason = "the answer")]
fn say(answer: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    loop {
        std::thread::park();
    }
}

fn open(args: &Args) -> Result<(Arc<Engine>, f64)> {
    let started = Instant::now();
    let options = Options {
        index: IndexKind::default(),
        ..Options::default()
    };
    let engine = Engine::open(&args.scratch, options)?;
    Ok((Arc::new(engine), started.elapsed().as_secs_f64()))
}

async fn write_part(args: &Args, part: u32) -> Result<Part> {
    let (engine, open_seconds) = open(args)?;
    // What a killed process leaves unread must not keep the answer from being whole.
    let answer = {
        let events = args.events / PARTS;
        let mut workload = workload(args, part * events);
        let started = Instant::now();
        write_events(&engine, args, workload.by_ref().take(events as usize)).await?;
        let seconds = started.elapsed().as_secs_f64();
        let memory = Memory::of(std::process::id())?;
        let (stats, sealing) = (engine.stats(), engine.sealing());
        Part {
            open_seconds,
            replayed_commits: engine.recovery().replayed_commits,
            seconds,
            events,
            resident: memory.resident,
            anonymous: memory.anonymous,
            log_bytes: stats.log_bytes,
            disk_bytes: stats.disk_bytes,
            sealed: sealing.sealed,
            waiting: sealing.waiting,
        }
    };
    // Not closed: the process is to be killed with the engine open.
    std::mem::forget(engine);
    Ok(answer)
}

async fn write_events(
    engine: &Arc<Engine>,
    args: &Args,
    mut events: impl Iterator<Item = (u32, u32)>,
) -> Result<()> {
    let mut under_way = std::collections::VecDeque::new();
    loop {
        let writes: Vec<_> = events
            .by_ref()
            .take(args.batch as usize)
            .map(|(aggregate, sequence)| Write {
                expected: Expected::Next(Sequence::new(sequence)),
                ..story::write(aggregate, sequence)
            })
            .collect();
        if writes.is_empty() {
            break;
        }
        let engine = engine.clone();
        under_way.push_back(tokio::spawn(async move {
            let commit = Commit {
                writes,
                ..Commit::default()
            };
            engine.commit(commit).await
        }));
        while under_way.len() > args.clients {
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

/// The events behind the first `done`.
fn workload(args: &Args, done: u32) -> Workload {
    let apart = (args.clients + 2) * args.batch as usize;
    let mut workload = Workload::new(args.order, args.aggregates, args.events, apart);
    workload.by_ref().take(done as usize).for_each(drop);
    workload
}

fn read(args: &Args) -> Result<Reads> {
    let (engine, open_seconds) = open(args)?;
    engine.pause_sealing();
    let started = Instant::now();
    engine.seal_now()?;
    let seal_seconds = started.elapsed().as_secs_f64();
    // Where the system lets us, what was read before is forgotten.
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
    let (cold_p50_us, cold_p99_us) = loads(&engine, args, 1)?;
    let (load_p50_us, load_p99_us) = loads(&engine, args, 1)?;
    let stats = engine.stats();
    let reads = Reads {
        open_seconds,
        seal_seconds,
        disk_bytes: stats.disk_bytes,
        log_bytes: stats.log_bytes,
        load_p50_us,
        load_p99_us,
        cold_p50_us,
        cold_p99_us,
    };
    std::mem::forget(engine);
    Ok(reads)
}

/// Microseconds to read all of a random aggregate.
fn loads(engine: &Engine, args: &Args, seed: u64) -> Result<(f64, f64)> {
    let written = workload(args, args.events / PARTS * PARTS);
    let mut times = Vec::new();
    for n in 0..u64::from(LOADS) {
        let dice = (n + seed).wrapping_mul(6_364_136_223_846_793_005) >> 17;
        let aggregate = dice % u64::from(written.known());
        let aggregate = u32::try_from(aggregate)?;
        let started = Instant::now();
        let view = engine.aggregate(&story::key(aggregate), None)?;
        let mut cursor = engine.pages(&view, Sequence::new(0), view.next(), false);
        let mut found = 0;
        while !cursor.is_done() {
            for page in cursor.next_chunk(1 << 20)? {
                if page.body != story::payload(aggregate, page.sequence.get()) {
                    return Err(format!("aggregate {aggregate} reads wrong").into());
                }
                found += 1;
            }
        }
        times.push(started.elapsed().as_secs_f64() * 1e6);
        let expected = written.events_of(aggregate);
        if found != expected {
            return Err(format!("aggregate {aggregate} has {found} of {expected} events").into());
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0.0);
    Ok((at(50), at(99)))
}

/// Bytes of an event's payload, as it is and in one zstd stream of level 3.
fn compressed(args: &Args) -> Result<(f64, f64)> {
    let sample = args.events.min(2_000_000);
    let mut plain = Vec::new();
    for (aggregate, sequence) in workload(args, 0).take(sample as usize) {
        plain.extend_from_slice(&story::payload(aggregate, sequence));
    }
    let small = zstd::bulk::compress(&plain, 3)?;
    let per_event = |bytes: usize| bytes as f64 / f64::from(sample);
    Ok((per_event(plain.len()), per_event(small.len())))
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
