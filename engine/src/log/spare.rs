//! The next segment's file, filled with zeros before it is needed.
//!
//! Writing into zeros that are already on disk spares the sync the file's size and extents: it
//! halves the median sync and takes the long tail off.

use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

/// Written and synced at a time, so that the writer's own sync never waits for much more.
const STEP: usize = 1024 * 1024;

/// At most one file that waits to become a segment.
///
/// Each file has a name of its own: the next one may be made while the one before it, taken, has
/// not got its lasting name yet.
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: Option<Waiting>,
    named: u64,
}

/// A file and the name it waits under.
pub(crate) struct Waiting {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Spare {
    pub(crate) fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        Self {
            disk,
            bytes,
            state: Mutex::default(),
        }
    }

    /// Makes one, if there is none.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.lock().ready.is_some() {
            return Ok(());
        }
        let waiting = self.create()?;
        if let Err(error) = self.prepare_fill(&waiting) {
            // On a full disk this is what gives the space back.
            if let Err(error) = self.disk.remove(&waiting.name) {
                tracing::warn!(%error, file = waiting.name, "a half filled file was left behind");
            }
            return Err(error);
        }
        self.lock().ready = Some(waiting);
        Ok(())
    }

    fn prepare_fill(&self, waiting: &Waiting) -> Result<()> {
        let action = || format!("filling log/{} with zeros", waiting.name);
        let zeros = vec![0; STEP];
        let mut done = 0;
        while done < self.bytes {
            let step = usize::try_from(self.bytes - done).map_or(STEP, |rest| rest.min(STEP));
            let piece = zeros.get(..step).unwrap_or(&zeros);
            let file = &waiting.file;
            file.write_at(piece, done).map_err(Error::io(action()))?;
            file.sync().map_err(Error::io(action()))?;
            done += step as u64;
        }
        Ok(())
    }

    /// The prepared file, or else an empty one.
    pub(crate) fn take(&self) -> Result<Waiting> {
        let ready = self.lock().ready.take();
        ready.map_or_else(|| self.create(), Ok)
    }

    fn create(&self) -> Result<Waiting> {
        let name = {
            let mut state = self.lock();
            state.named += 1;
            format!("spare-{}.tmp", state.named)
        };
        let file = self
            .disk
            .create(&name)
            .map_err(Error::io(format!("creating log/{name}")))?;
        Ok(Waiting { name, file })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
