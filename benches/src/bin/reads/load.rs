//! One aggregate out of many, from its snapshot on, in this process: against a look-up in
//! RocksDB and one read of as many bytes.

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use angzarr_benches::rocks::Rocks;
use angzarr_benches::{engine, median, raw};
use angzarr_engine::{
    AggregateKey, Commit, Engine, IndexKind, Options, Retention, Sequence, Snapshot,
};
use angzarr_server::bench::workload::Workload;
use bytes::Bytes;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Venue};
use crate::{Args, Result};

/// Events behind the snapshot, which is that of the first event.
const BEHIND: u32 = 5;
/// What a load is about: the snapshot's state and the events behind it.
const BYTES: usize = (PAYLOAD * (BEHIND + 1)) as usize;
/// Commits under way at once while the store is filled.
const COMMITS: usize = 256;
/// Loads of a round.
const LOADS: u32 = 2_000;

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let folder = venue.folder()?;
    let workload = Arc::new(Workload::fresh(args.aggregates, PAYLOAD));
    let store = Arc::new(open(&folder.path().join("data"))?);
    let started = Instant::now();
    fill(&store, &workload).await?;
    let filled = started.elapsed().as_secs_f64();
    let bytes = store.stats().log_bytes;

    let limit = Limit::new(folder.path(), &workload)?;
    let against = "RocksDB get and one pread of as many bytes";
    let goal = Some(Goal::AtMost(2.0));
    let mut plain = Ratio::new("load, as written", against, "us", goal);
    measure(&store, &limit, &workload, args, &mut plain)?;
    let started = Instant::now();
    store.seal_segment().await?;
    store.seal_now()?;
    let sealed_in = started.elapsed().as_secs_f64();
    let mut sealed = Ratio::new("load, from rewritten segments", against, "us", goal);
    measure(&store, &limit, &workload, args, &mut sealed)?;
    Ok(Part {
        title: format!("Load of one of {} aggregates, in process", args.aggregates),
        notes: vec![format!(
            "A snapshot of {PAYLOAD} bytes and {BEHIND} events, in two commits far apart; \
             medians of {LOADS} loads a round, one after the other, of random aggregates. \
             {} MiB of log, {} on disk when rewritten; filled in {filled:.0} s, rewritten in \
             {sealed_in:.0} s.",
            bytes >> 20,
            store.stats().disk_bytes >> 20,
        )],
        ratios: vec![plain, sealed],
    })
}

fn open(folder: &Path) -> Result<Engine> {
    let options = Options {
        index: IndexKind::default(),
        // Rewritten when it is asked for, not while something is measured.
        seal_rate: 0,
        ..Options::default()
    };
    Ok(Engine::open(folder, options)?)
}

/// One commit with an event and a snapshot for each aggregate, then one with the events behind.
async fn fill(store: &Arc<Engine>, workload: &Arc<Workload>) -> Result<()> {
    let mut under_way = VecDeque::new();
    for (first, end) in [(0, 1), (1, 1 + BEHIND)] {
        for aggregate in 0..workload.aggregates {
            let (store, workload) = (Arc::clone(store), Arc::clone(workload));
            under_way.push_back(tokio::spawn(async move {
                let mut write = engine::write(&workload, aggregate, first, end);
                if first == 0 {
                    write.snapshot = Some(Snapshot {
                        sequence: Sequence::ZERO,
                        retention: Retention::Default,
                        created_at: None,
                        state: Bytes::from(workload.payload(aggregate, u32::MAX)),
                    });
                }
                let commit = Commit {
                    writes: vec![write],
                    ..Commit::default()
                };
                store.commit(commit).await
            }));
            if under_way.len() > COMMITS
                && let Some(oldest) = under_way.pop_front()
            {
                oldest.await??;
            }
        }
    }
    for commit in under_way {
        commit.await??;
    }
    Ok(())
}

fn measure(
    store: &Engine,
    limit: &Limit,
    workload: &Workload,
    args: &Args,
    ratio: &mut Ratio,
) -> Result<()> {
    // Once without a record, so that both find their files in memory.
    for round in 0..=args.replays {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for number in 0..LOADS {
            let dice =
                u64::from(round * LOADS + number + 1).wrapping_mul(6_364_136_223_846_793_005) >> 20;
            let aggregate = u32::try_from(dice % u64::from(args.aggregates))?;
            let key = engine::key(workload, aggregate);
            ours.push(timed(|| load(store, &key))?);
            bare.push(timed(|| limit.load(&key))?);
        }
        if round > 0 {
            ratio.add(median::of(ours), median::of(bare));
        }
    }
    Ok(())
}

/// Microseconds.
fn timed(load: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let started = Instant::now();
    let bytes = load()?;
    let time = started.elapsed().as_secs_f64() * 1e6;
    if bytes == BYTES {
        return Ok(time);
    }
    Err(format!("a load gave {bytes} of {BYTES} bytes").into())
}

fn load(store: &Engine, key: &AggregateKey) -> Result<usize> {
    let view = store.aggregate(key, None)?;
    let snapshot = store.snapshot(&view, view.next(), None)?;
    let snapshot = snapshot.ok_or("an aggregate has no snapshot")?;
    let behind = snapshot.sequence.plus(1).ok_or("no sequence is left")?;
    let mut cursor = store.pages(&view, behind, view.next(), false);
    let mut bytes = black_box(&snapshot.state).len();
    while !cursor.is_done() {
        let visited = cursor.visit_chunk(1 << 20, |page| bytes += black_box(page.body).len())?;
        if visited == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// A place in the log for each aggregate, found by its key.
struct Limit {
    places: Rocks,
    files: Vec<File>,
}

impl Limit {
    fn new(folder: &Path, workload: &Workload) -> Result<Self> {
        let mut files = Vec::new();
        let mut rooms = Vec::new();
        for path in raw::files(&folder.join("data").join("log"))? {
            let room = path.metadata()?.len().saturating_sub(BYTES as u64);
            if room > 0 {
                files.push(File::open(path)?);
                rooms.push(room);
            }
        }
        let place = |aggregate: u32| {
            let root = workload.root(aggregate);
            let dice = u64::from(aggregate).wrapping_mul(2_862_933_555_777_941_757) >> 16;
            let file = usize::try_from(dice % rooms.len() as u64).unwrap_or(0);
            let at = (dice >> 8) % rooms.get(file).copied().unwrap_or(1);
            let mut value = [0; 16];
            let (head, tail) = value.split_at_mut(8);
            head.copy_from_slice(&(file as u64).to_be_bytes());
            tail.copy_from_slice(&at.to_be_bytes());
            (root, value)
        };
        let name = tempfile::tempdir_in(folder)?.keep();
        let places = Rocks::filled(&name, (0..workload.aggregates).map(place))?;
        Ok(Self { places, files })
    }

    fn load(&self, key: &AggregateKey) -> Result<usize> {
        let place = self.places.get(key.root.as_bytes())?;
        let place = place.ok_or("RocksDB lost a key")?;
        let place = <[u8; 16]>::try_from(place.as_ref())?;
        let (file, at) = place.split_at(8);
        let file = u64::from_be_bytes(file.try_into()?);
        let at = u64::from_be_bytes(at.try_into()?);
        let file = self.files.get(usize::try_from(file)?).ok_or("no file")?;
        let mut buffer = vec![0; BYTES];
        file.read_exact_at(&mut buffer, at)?;
        Ok(black_box(buffer).len())
    }
}
