//! What looks at or copies a store as files: checks, dumps, rebuilding, backup, repair.
//!
//! Nothing here runs while the engine serves, but for [`LogCopy`], which an open engine hands out.

#[cfg(feature = "rocksdb")]
mod compare;
mod copy;
mod cut;
mod dump;
mod rebuild;
mod repair;
mod verify;
mod walk;

use std::path::Path;

pub use copy::{LogCopy, LogFile, folder_copy};
pub use cut::{CutAt, CutLog, cut_log};
pub use dump::{Dump, DumpRange, DumpedFrame, DumpedPage, DumpedRecord, dump};
pub use rebuild::{Rebuilt, rebuild_index};
pub use repair::{LostEvents, Repair, plan_repair};
pub use verify::{IndexCheck, Soundness, Verified, verify, verify_log};
pub use walk::Damage;

use crate::disk::LockFile;
use crate::error::{Error, Result};

/// How far a tool has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `log`, or `index`.
    pub stage: &'static str,
    /// Bytes done of this stage.
    pub done: u64,
    /// Bytes there are, about.
    pub total: u64,
}

/// Refuses a folder that holds no store.
fn check_folder(folder: &Path) -> Result<()> {
    if folder.join("log").is_dir() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} holds no store: the folder log is missing",
        folder.display()
    )))
}

/// Keeps a server from opening the store meanwhile, if the folder can be written to at all.
fn lock(folder: &Path) -> Result<Option<LockFile>> {
    match LockFile::acquire(&folder.join("LOCK")) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::Locked(folder.display().to_string())),
        Err(_) => Ok(None),
    }
}
