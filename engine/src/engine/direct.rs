//! An engine without threads: its caller is the writer.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use tokio::sync::Semaphore;

use super::Engine;
use super::start::recover;
use crate::clock::Clock;
use crate::core::{Answers, Core};
use crate::disk::Disk;
use crate::error::Result;
use crate::event::{Commit, Committed};
use crate::index::{Direction, Family, Range};
use crate::options::{IndexKind, Options};
use crate::queue::{Queue, closed};
use crate::sealing::Sealer;
use crate::types::Position;

/// An entry of the index: number of its family, key, value.
pub type IndexEntry = (usize, Vec<u8>, Vec<u8>);

/// An open store whose every step is made by the caller, on a disk, a clock and randomness that
/// the caller brings: the same steps write the same bytes. The index is in memory.
///
/// Reads are those of the [`Engine`] that it dereferences to. Dropping it is a crash: nothing is
/// written at the end.
pub struct Direct {
    engine: Arc<Engine>,
    core: Core,
}

impl Direct {
    /// Opens the store on a disk, creating it on an empty one.
    ///
    /// # Errors
    /// Those of [`Engine::open`], but for the lock.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        seed: u64,
        segment_bytes: u64,
    ) -> Result<Self> {
        let options = Options {
            segment_bytes,
            cache_bytes: 1024 * 1024,
            index: IndexKind::Memory,
            ..Options::default()
        };
        options.validate()?;
        let random = Box::new(rand::rngs::StdRng::seed_from_u64(seed));
        let (shared, opened, recovery) = recover(disk.clone(), None, &*clock, &options, random)?;
        let shared = Arc::new(shared);
        let core = Core::new(shared.clone(), opened.writer, clock, options.durability)?;
        let sealer = Sealer::new(shared.clone(), disk, core.active_file(), options.durability);
        let queue = Arc::new(Queue::default());
        queue.close();
        let engine = Engine {
            shared,
            queue,
            room: Arc::new(Semaphore::new(0)),
            options,
            database_id: opened.database_id,
            recovery,
            writer: Mutex::default(),
            workers: Mutex::default(),
            sealer: Arc::new(sealer),
            sealing: Arc::default(),
            _lock: None,
        };
        let engine = Arc::new(engine);
        Ok(Self { engine, core })
    }

    /// The engine, for reading.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        self.engine.clone()
    }

    /// Makes a commit.
    ///
    /// # Errors
    /// Those of [`Engine::commit`].
    pub fn commit(&mut self, commit: Commit) -> Result<Committed> {
        let mut answers = self.commit_together(vec![commit]);
        answers.pop().unwrap_or_else(|| Err(closed()))
    }

    /// Makes commits as the writer does that found them waiting: in as few groups as the rules
    /// for groups allow. One answer a commit, in order; commits of a bad form are answered last.
    pub fn commit_together(&mut self, commits: Vec<Commit>) -> Answers {
        let mut refused = Vec::new();
        let mut waiting = Vec::new();
        for commit in commits {
            let hints = crate::validate::commit(&commit)
                .and_then(|bytes| Ok((self.engine.shared.hints(&commit)?, bytes)));
            match hints {
                Ok((hints, bytes)) => waiting.push((commit, hints, bytes)),
                Err(error) => refused.push(Err(error)),
            }
        }
        let mut answers = Vec::new();
        while !waiting.is_empty() {
            let sizes = waiting.iter().map(|(commit, _, bytes)| (commit, *bytes));
            let (count, bytes) = Core::group_len(sizes);
            let group: Vec<_> = waiting
                .drain(..count)
                .map(|(commit, hints, _)| (commit, hints))
                .collect();
            answers.extend(self.core.step(&group, bytes));
        }
        answers.extend(refused);
        answers
    }

    /// Writes the empty frame that an idle second brings.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the engine is poisoned then.
    pub fn mark(&mut self) -> Result<()> {
        self.core.mark()
    }

    /// Ends the segment being written, if it holds anything; returns its first position.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Io`](crate::Error::Io).
    pub fn seal(&mut self) -> Result<Option<Position>> {
        self.core.seal()
    }

    /// Everything in the index.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn index_entries(&self) -> Result<Vec<IndexEntry>> {
        let mut entries = Vec::new();
        for family in Family::ALL {
            let all = Range::prefix(family, &[]);
            let found = self
                .engine
                .shared
                .index
                .scan(&all, Direction::Forwards, usize::MAX)?;
            entries.extend(
                found
                    .into_iter()
                    .map(|(key, value)| (family.number(), key, value)),
            );
        }
        Ok(entries)
    }
}

impl Deref for Direct {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}
