//! The next segment's file, filled with zeros before it is needed.
//!
//! Writing into zeros that are already on disk spares the sync the file's size and extents: it
//! halves the median sync and takes the long tail off.

use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

const FILE: &str = "spare.tmp";
/// Written and synced at a time, so that the writer's own sync never waits for much more.
const STEP: usize = 1024 * 1024;

/// At most one file that waits to become a segment.
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    bytes: u64,
    ready: Mutex<Option<Arc<dyn DiskFile>>>,
}

impl Spare {
    pub(crate) fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        Self {
            disk,
            bytes,
            ready: Mutex::new(None),
        }
    }

    /// Makes one, if there is none.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.lock().is_some() {
            return Ok(());
        }
        let action = || format!("filling log/{FILE} with zeros");
        let file = self.disk.create(FILE).map_err(Error::io(action()))?;
        let zeros = vec![0; STEP];
        let mut done = 0;
        while done < self.bytes {
            let step = usize::try_from(self.bytes - done).map_or(STEP, |rest| rest.min(STEP));
            let piece = zeros.get(..step).unwrap_or(&zeros);
            file.write_at(piece, done).map_err(Error::io(action()))?;
            file.sync().map_err(Error::io(action()))?;
            done += step as u64;
        }
        *self.lock() = Some(file);
        Ok(())
    }

    /// The file under its waiting name: the prepared one, or else an empty one.
    pub(crate) fn take(&self) -> Result<(&'static str, Arc<dyn DiskFile>)> {
        if let Some(file) = self.lock().take() {
            return Ok((FILE, file));
        }
        // Not the prepared file's name: that one may be half filled by another thread.
        const FRESH: &str = "fresh.tmp";
        let file = self
            .disk
            .create(FRESH)
            .map_err(Error::io(format!("creating log/{FRESH}")))?;
        Ok((FRESH, file))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn DiskFile>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
