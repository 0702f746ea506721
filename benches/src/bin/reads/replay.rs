//! One long aggregate, from its first event to its last, against a sequential read and checksum
//! of the same bytes.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use angzarr_benches::child::Server;
use angzarr_benches::{engine, median, raw};
use angzarr_engine::{Engine, Sequence};
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{grpc, preload, replay};

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Venue};
use crate::{Args, Result};

/// What the first replay of a process may take, in milliseconds.
const FIRST_MAX: f64 = 25.0;

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let folder = venue.folder()?;
    let workload = Workload::fresh(1, PAYLOAD);
    let bytes = write(venue, folder.path(), &workload, args.history).await?;
    // Two processes cannot have a store open.
    let twin = folder.path().join("twin");
    raw::copy(&folder.path().join("data"), &twin)?;

    let server = Server::angzarr(&venue.angzarr, folder.path(), &[])?;
    let channels = grpc::connect(&server.url(), 1, 1).await?;
    let channel = channels.first().ok_or("no connection")?;
    let cover = grpc::cover(&workload, 0);
    let events = u64::from(args.history);
    let through = async || -> Result<f64> {
        let started = Instant::now();
        let (seen, _) = replay(channel, &cover).await?;
        expect(seen, events)?;
        Ok(millis(started))
    };
    let first = through().await?;

    let engine = engine::open(&twin)?;
    let files = raw::files(&twin.join("log"))?;
    let against = "sequential read and crc32 of the log";
    let mut visited = Ratio::new(
        "in process, each event looked at",
        against,
        "ms",
        Some(Goal::AtMost(3.0)),
    );
    let mut kept = Ratio::new("in process, all events kept", against, "ms", None);
    let mut remote = Ratio::new(
        "`Read` through gRPC",
        against,
        "ms",
        Some(Goal::AtMost(5.0)),
    );
    for _ in 0..args.replays {
        let limit = raw_read(&files, bytes)?;
        let started = Instant::now();
        expect(visit(&engine, &workload)?, events)?;
        visited.add(millis(started), limit);
        let started = Instant::now();
        expect(keep(&engine, &workload)?, events)?;
        kept.add(millis(started), limit);
        remote.add(through().await?, limit);
    }
    let median = median::of(remote.values.clone());
    Ok(Part {
        title: format!("Replay of one aggregate of {} events", args.history),
        notes: vec![format!(
            "{} MiB of log. The first replay of a server that had just been started took \
             {first:.1} ms, the others {median:.1}; the goal is at most {FIRST_MAX}, which is {}.",
            bytes >> 20,
            if first <= FIRST_MAX {
                "met"
            } else {
                "**missed**"
            },
        )],
        ratios: vec![visited, kept, remote],
    })
}

/// Fills a store through a server, which is ended then. Returns the bytes of its log.
async fn write(venue: &Venue, folder: &Path, workload: &Workload, events: u32) -> Result<u64> {
    let server = Server::angzarr(&venue.angzarr, folder, &[])?;
    let channels = grpc::connect(&server.url(), 1, 1).await?;
    let channel = channels.first().ok_or("no connection")?;
    preload(channel, workload, events).await?;
    let bytes = grpc::stats(channel).await?.log_bytes;
    server.kill()?;
    Ok(bytes)
}

fn raw_read(files: &[PathBuf], bytes: u64) -> Result<f64> {
    let started = Instant::now();
    black_box(raw::checksum(files, bytes)?);
    Ok(millis(started))
}

fn visit(engine: &Engine, workload: &Workload) -> Result<u64> {
    let view = engine.aggregate(&engine::key(workload, 0), None)?;
    let mut cursor = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let mut events = 0;
    loop {
        let found = cursor.visit_chunk(1 << 20, |page| {
            black_box(page.body);
        })?;
        if found == 0 {
            return Ok(events);
        }
        events += found as u64;
    }
}

fn keep(engine: &Engine, workload: &Workload) -> Result<u64> {
    let view = engine.aggregate(&engine::key(workload, 0), None)?;
    let mut cursor = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let mut all = Vec::new();
    while !cursor.is_done() {
        all.append(&mut cursor.next_chunk(1 << 20)?);
    }
    Ok(black_box(all).len() as u64)
}

fn expect(seen: u64, events: u64) -> Result<()> {
    if seen == events {
        return Ok(());
    }
    Err(format!("a replay gave {seen} of {events} events").into())
}

fn millis(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
