//! An open event store.

pub(crate) mod direct;
mod start;
#[cfg(test)]
pub(crate) mod still;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rand::SeedableRng;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::clock::{Clock, SystemClock};
use crate::core::Core;
use crate::disk::{Disk, LockFile, OsDisk};
use crate::error::{Error, Result};
use crate::event::{Commit, Committed};
use crate::index::Base;
use crate::log;
use crate::options::{Durability, IndexKind, Options};
use crate::queue::{Queue, Request, closed};
use crate::sealing::{Control, Sealer, Sealing};
use crate::shared::{Readable, Shared};
use crate::types::Position;
use crate::worker::Worker;
use start::{open_base, recover, run_writer, spawn, start_workers};

/// Buffers of index changes that may wait in memory before the writer waits for the index's files.
const LAYERS_MAX: usize = 4;

/// An open event store: one writer, any number of readers. Cheap to share behind an [`Arc`].
///
/// Dropping it closes it; [`close`](Self::close) does the same and reports failures.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    options: Options,
    database_id: [u8; 16],
    recovery: Recovery,
    writer: Mutex<Option<JoinHandle<Result<()>>>>,
    workers: Mutex<Vec<Worker>>,
    sealer: Arc<Sealer>,
    sealing: Arc<Control>,
    _lock: Option<LockFile>,
}

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Commits that were applied to the index again.
    pub replayed_commits: u64,
    /// Bytes of an unfinished, never acknowledged write that were cut off.
    pub cut_bytes: u64,
}

/// Size and health of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Position of the last event, which is also how many were ever written.
    pub position: Position,
    /// Bytes of the log's frames.
    pub log_bytes: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of the log's files.
    pub disk_bytes: u64,
    /// Promise of an answer.
    pub durability: Durability,
    /// Where the index is.
    pub index: IndexKind,
    /// Bytes of index changes that are only in memory.
    pub unindexed_bytes: usize,
    /// Commits that wait for the writer.
    pub queued: usize,
    /// The first fatal failure, if there was one.
    pub poisoned: Option<String>,
    /// Identity of the database.
    pub database_id: [u8; 16],
    /// Version of the log's format.
    pub format_version: u32,
}

impl Engine {
    /// Opens the store in a folder, creating it in an empty one.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Corrupt`] when acknowledged
    /// data is damaged, [`Error::Unsupported`] for a newer format, [`Error::Invalid`] for bad
    /// options, [`Error::Io`].
    pub fn open(folder: &Path, options: Options) -> Result<Self> {
        options.validate()?;
        OsDisk::new(folder).map_err(Error::io(format!("creating {}", folder.display())))?;
        let lock = LockFile::acquire(&folder.join("LOCK"))
            .map_err(Error::io(format!("locking {}", folder.display())))?
            .ok_or_else(|| Error::Locked(folder.display().to_string()))?;
        let disk = OsDisk::new(&folder.join("log")).map_err(Error::io(format!(
            "creating {}",
            folder.join("log").display()
        )))?;
        let base = open_base(folder, &options)?;
        let mut engine = Self::open_on(Arc::new(disk), base, Arc::new(SystemClock), options)?;
        engine._lock = Some(lock);
        Ok(engine)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        base: Option<Box<dyn Base>>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let random = Box::new(rand::rngs::StdRng::from_os_rng());
        let (shared, opened, recovery) = recover(disk.clone(), base, &*clock, &options, random)?;
        let shared = Arc::new(shared);
        let mut core = Core::new(shared.clone(), opened.writer, clock, options.durability)?;
        let queue = Arc::new(Queue::default());
        let active = core.active_file();
        let sealer = Sealer::new(shared.clone(), disk, active, options.durability);
        let (sealer, sealing) = (Arc::new(sealer), Arc::new(Control::default()));
        let workers = start_workers(
            &shared,
            &opened.spare,
            &sealer,
            &sealing,
            &mut core,
            &options,
        )?;
        let writer = {
            let (queue, shared) = (queue.clone(), shared.clone());
            let wakers: Vec<_> = workers.iter().map(Worker::waker).collect();
            let buffer = options.index_buffer_bytes;
            spawn("angzarr-writer", move || {
                run_writer(core, &queue, || {
                    if shared.index.unwritten_bytes() > buffer {
                        wakers.iter().for_each(|waker| waker.wake());
                        let poisoned = || shared.poison.cause().is_some();
                        shared
                            .index
                            .wait_for_room(buffer.saturating_mul(LAYERS_MAX), poisoned);
                    }
                })
            })?
        };
        Ok(Self {
            shared,
            queue,
            room: Arc::new(Semaphore::new(
                options.queue_bytes.min(Semaphore::MAX_PERMITS),
            )),
            database_id: opened.database_id,
            options,
            recovery,
            writer: Mutex::new(Some(writer)),
            workers: Mutex::new(workers),
            sealer,
            sealing,
            _lock: None,
        })
    }

    /// Makes a commit. It is durable, as the options define it, when this returns.
    ///
    /// Waits while the queue is full. Dropping the future does not withdraw a commit that is
    /// queued already.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Invalid`], [`Error::TooLarge`] and [`Error::Refused`]:
    /// nothing was stored. [`Error::Poisoned`]: it is not known whether it was.
    pub async fn commit(&self, commit: Commit) -> Result<Committed> {
        let bytes = crate::validate::commit(&commit)?;
        self.shared.poison.check()?;
        let wanted = u32::try_from(bytes.min(self.options.queue_bytes)).unwrap_or(u32::MAX);
        let permit = self
            .room
            .clone()
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| closed())?;
        let hints = self.shared.hints(&commit)?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(Request {
            commit,
            hints,
            bytes,
            answer,
            permit,
        })?;
        let (result, _commit) = answered.await.map_err(|_| closed())?;
        result
    }

    /// Delivers the answers of large groups, until the engine is closed. To be run beside those
    /// who wait for them, where it is cheaper to wake them than from the writer's thread, which
    /// does it itself as long as nobody runs this.
    pub fn deliver_answers(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut mail = self.queue.employ_courier();
        async move { while mail.recv().await.is_some() {} }
    }

    /// Ends the segment being written, if it holds anything; returns its first position.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Io`].
    pub async fn seal_segment(&self) -> Result<Option<Position>> {
        let (answer, answered) = oneshot::channel();
        self.queue.push_seal(answer)?;
        answered.await.map_err(|_| closed())?
    }

    /// How the background rewriting of full segments goes.
    #[must_use]
    pub fn sealing(&self) -> Sealing {
        self.sealing.describe(self.sealer.counts())
    }

    /// Holds the rewriting of full segments up, in the middle of one if need be.
    pub fn pause_sealing(&self) {
        self.sealing.set_paused(true);
    }

    /// Lets it go on.
    pub fn resume_sealing(&self) {
        self.sealing.set_paused(false);
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().for_each(|worker| worker.waker().wake());
    }

    /// Rewrites full segments in this thread, without a pause, until none is left that gains by
    /// it. For engines with [`Options::seal_rate`] 0.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a segment is damaged, [`Error::Io`]; segments that were not
    /// rewritten are as they were.
    pub fn seal_now(&self) -> Result<()> {
        while self.sealer.run_next(&|_| {}, &mut |_| Ok(()))? {}
        Ok(())
    }

    /// Position of the last readable event.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.readable().position
    }

    /// Resolves when more than what is readable now has become readable, or with `false` when the
    /// engine is gone.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(self.shared.readable.subscribe())
    }

    /// The first fatal failure, if there was one. Appends are refused then.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.shared.poison.cause()
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Size and health.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let readable = self.shared.readable();
        let segments = self.shared.log.segments();
        Stats {
            position: readable.position,
            log_bytes: readable.address.get(),
            segments: segments.len(),
            disk_bytes: segments.iter().map(|segment| segment.disk_bytes()).sum(),
            durability: self.options.durability,
            index: self.options.index,
            unindexed_bytes: self.shared.index.unwritten_bytes(),
            queued: self.queue.len(),
            poisoned: self.poisoned(),
            database_id: self.database_id,
            format_version: log::FORMAT_VERSION,
        }
    }

    /// Finishes what is queued, syncs, writes the index out and lets go of the folder. Later
    /// commits are refused; reads go on until the engine is dropped.
    ///
    /// # Errors
    /// The failure, if the last commits could not be made durable.
    pub fn close(&self) -> Result<()> {
        self.queue.close();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(writer) = writer else { return Ok(()) };
        self.sealing.close();
        let written = writer.join().unwrap_or_else(|_| {
            Err(Error::Poisoned {
                stage: "writing",
                cause: "the writer panicked".to_owned(),
            })
        });
        self.queue.dismiss_courier();
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        written?;
        self.shared.index.write_out()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the engine");
        }
    }
}

/// Learns of new commits.
#[derive(Debug, Clone)]
pub struct Watch(watch::Receiver<Readable>);

impl Watch {
    pub(crate) fn new(receiver: watch::Receiver<Readable>) -> Self {
        Self(receiver)
    }

    /// Position of the last readable event.
    pub fn position(&mut self) -> Position {
        self.0.borrow_and_update().position
    }

    /// Waits until there is more than at the last call of [`position`](Self::position); `false`
    /// when the engine is gone.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests;
