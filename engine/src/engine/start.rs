//! Brings an engine up: recovery, threads, the writer's loop.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Recovery;
use crate::clock::Clock;
use crate::core::Core;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::index::apply::Changes;
use crate::index::{Base, Index};
use crate::limits;
use crate::log::{self, Opened, Sizes};
use crate::options::{Durability, IndexKind, Options};
use crate::queue::{Letter, Mail, Queue, Request, Work};
use crate::sealing::{Control, Sealer};
use crate::shared::{Readable, Shared};
use crate::types::Position;
use crate::worker::Worker;

pub(super) fn open_base(folder: &Path, options: &Options) -> Result<Option<Box<dyn Base>>> {
    match options.index {
        IndexKind::Memory => {
            let _ = folder;
            Ok(None)
        }
        #[cfg(feature = "rocksdb")]
        IndexKind::RocksDb => {
            let rocks = crate::index::rocks::Rocks::open(
                &folder.join("index"),
                options.index_cache_bytes,
                options.index_buffer_bytes,
            )?;
            Ok(Some(Box::new(rocks)))
        }
    }
}

/// Opens the log and brings the index up to its end.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    base: Option<Box<dyn Base>>,
    clock: &dyn Clock,
    options: &Options,
    random: Box<dyn rand::RngCore + Send>,
) -> Result<(Shared, Opened, Recovery)> {
    let index = Index::new(base)?;
    let resume = index.applied()?;
    let mut changes = Changes::default();
    let mut pending = 0;
    let mut replayed = 0;
    let opened = log::open(
        disk,
        Sizes {
            segment_bytes: options.segment_bytes,
            cache_bytes: options.cache_bytes,
        },
        random,
        clock.now(),
        resume,
        &mut |frame| {
            changes.apply(&index, &frame.header, &frame.payload, None)?;
            pending += 1;
            replayed += 1;
            if pending == limits::REPLAY_BATCH {
                index.publish(std::mem::take(&mut changes));
                pending = 0;
            }
            if index.has_base() && index.unwritten_bytes() > options.index_buffer_bytes {
                index.write_out()?;
            }
            Ok(())
        },
    )?;
    index.publish(changes);
    let readable = Readable {
        address: opened.writer.end(),
        position: Position::new(opened.writer.position().get().saturating_sub(1)),
    };
    let recovery = Recovery {
        replayed_commits: replayed,
        cut_bytes: opened.cut_bytes,
    };
    Ok((
        Shared::new(opened.log.clone(), index, readable),
        opened,
        recovery,
    ))
}

/// Starts what runs behind the writer's back: writing the index out, filling the next segment
/// with zeros, rewriting full ones and, if so configured, syncing from time to time.
pub(super) fn start_workers(
    shared: &Arc<Shared>,
    spare: &Arc<log::Spare>,
    sealer: &Arc<Sealer>,
    control: &Arc<Control>,
    core: &mut Core,
    options: &Options,
) -> Result<Vec<Worker>> {
    let mut workers = Vec::new();
    if shared.index.has_base() {
        let (shared, file) = (shared.clone(), core.active_file());
        let (buffer, durability) = (options.index_buffer_bytes, options.durability);
        workers.push(Worker::start("angzarr-index", None, move || {
            if shared.index.unwritten_bytes() <= buffer {
                return;
            }
            let synced = match durability {
                Durability::Fsync => Ok(()),
                _ => file.current().sync().map_err(Error::io("syncing the log")),
            };
            if let Err(error) = synced.and_then(|()| shared.index.write_out()) {
                shared.poison.set("writing the index", &error);
            }
        })?);
    }
    if let Durability::Interval(every) = options.durability {
        let (shared, file) = (shared.clone(), core.active_file());
        workers.push(Worker::start("angzarr-sync", Some(every), move || {
            if let Err(error) = file.current().sync().map_err(Error::io("syncing the log")) {
                shared.poison.set("syncing the log", &error);
            }
        })?);
    }
    let spare = spare.clone();
    let worker = Worker::start("angzarr-spare", None, move || {
        // Not fatal: without a spare the next segment grows as it is written.
        if let Err(error) = spare.prepare() {
            tracing::warn!(%error, "the next segment could not be filled with zeros ahead of use");
        }
    })?;
    core.add_helper(worker.waker());
    workers.push(worker);
    if options.seal_rate > 0 {
        let (sealer, control, rate) = (sealer.clone(), control.clone(), options.seal_rate);
        let worker = Worker::start("angzarr-seal", None, move || seal(&sealer, &control, rate))?;
        core.add_helper(worker.waker());
        workers.push(worker);
    }
    Ok(workers)
}

/// Rewrites segments until none is left. A failure is not fatal: the segment stays as it is, and
/// is tried again when the next one is full.
fn seal(sealer: &Sealer, control: &Control, rate: u64) {
    while !control.is_idle() {
        let current = |current| control.set_current(current);
        let pace = &mut |bytes| control.pace(bytes, gentle(rate, sealer.counts().1));
        match sealer.run_next(&current, pace) {
            Ok(true) => control.set_failure(None),
            Ok(false) => return control.set_failure(None),
            Err(Error::Refused(_)) => return,
            Err(error @ Error::Corrupt { .. }) => control.set_failure(Some(error.to_string())),
            Err(error) => {
                tracing::warn!(%error, "a segment could not be rewritten; it stays as it is");
                return control.set_failure(Some(error.to_string()));
            }
        }
    }
}

/// The whole rate where many segments wait, a part of it where few do: what came in a burst is
/// rewritten in the quieter time behind it.
fn gentle(rate: u64, waiting: usize) -> u64 {
    const WHOLE: u64 = limits::SEAL_BACKLOG * limits::SEAL_BACKLOG;
    let waiting = (waiting as u64).clamp(1, limits::SEAL_BACKLOG);
    (rate / WHOLE).max(1).saturating_mul(waiting * waiting)
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(Error::io(format!("starting the thread {name}")))
}

/// The writer's loop.
pub(super) fn run_writer(mut core: Core, queue: &Queue, after_group: impl Fn()) -> Result<()> {
    loop {
        match queue.next(core.is_restless()) {
            Work::Group(requests, bytes) => {
                let mut waiting = Vec::with_capacity(requests.len());
                let mut group = Vec::with_capacity(requests.len());
                for Request {
                    commit,
                    hints,
                    answer,
                    permit,
                    ..
                } in requests
                {
                    group.push((commit, hints));
                    waiting.push((answer, permit));
                }
                let answers = core.step(&group, bytes);
                let commits = group.into_iter().map(|(commit, _)| commit);
                let answers = answers.into_iter().zip(commits);
                let letters = waiting.into_iter().zip(answers);
                let letters = letters.map(|((to, permit), answer)| Letter { to, permit, answer });
                queue.post(Mail(letters.collect()));
                after_group();
            }
            Work::Seal(answer) => {
                let _ = answer.send(core.seal());
            }
            Work::Idle => {
                let _ = core.mark();
            }
            Work::Close => return core.mark(),
        }
    }
}
