//! Builds an index from the log.

#[cfg(not(feature = "rocksdb"))]
use std::path::Path;

use super::Progress;
use crate::error::Result;
use crate::types::Position;

/// What rebuilding an index did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Commits that were applied.
    pub commits: u64,
    /// Position of the last event.
    pub position: Position,
    /// Bytes of an unfinished write at the end of the log, which opening the store removes.
    pub torn_bytes: u64,
}

/// Builds the index of a store that is not open anew, beside the one it has, and puts it in its
/// place when it is whole and durable. Interrupted, it goes on where it was when called again.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt) with the first damage of the log,
/// [`Error::Locked`](crate::Error::Locked), [`Error::Unsupported`](crate::Error::Unsupported),
/// [`Error::Invalid`](crate::Error::Invalid) in a build without index files,
/// [`Error::Io`](crate::Error::Io).
#[cfg(not(feature = "rocksdb"))]
pub fn rebuild_index(folder: &Path, _progress: impl FnMut(Progress)) -> Result<Rebuilt> {
    super::check_folder(folder)?;
    Err(crate::Error::invalid(
        "this build keeps the index in memory, where opening the store builds it",
    ))
}

#[cfg(feature = "rocksdb")]
pub use files::rebuild_index;
#[cfg(feature = "rocksdb")]
pub(super) use files::replay;

#[cfg(feature = "rocksdb")]
mod files {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::Arc;

    use super::{Progress, Rebuilt, Result};
    use crate::disk::OsDisk;
    use crate::error::Error;
    use crate::index::Index;
    use crate::index::apply::Changes;
    use crate::index::rocks::Rocks;
    use crate::limits::REPLAY_BATCH;
    use crate::log::recovery::{Action, judge, open_segments, start_of};
    use crate::log::{FrameReader, Log, LogEnd};
    use crate::tools::walk::{is_commit, total_bytes};
    use crate::tools::{check_folder, lock};
    use crate::types::{Address, Position};

    /// Index changes held in memory before they are written to the files.
    const BUFFER_BYTES: usize = 32 * 1024 * 1024;
    const CACHE_BYTES: usize = 64 * 1024 * 1024;

    /// See the documentation of the crate's function of this name.
    pub fn rebuild_index(folder: &Path, mut progress: impl FnMut(Progress)) -> Result<Rebuilt> {
        check_folder(folder)?;
        let lock = lock(folder)?;
        if lock.is_none() {
            return Err(Error::invalid(format!(
                "{} cannot be written to",
                folder.display()
            )));
        }
        let disk = OsDisk::existing(&folder.join("log"));
        let segments = open_segments(&disk)?;
        let (fresh, old) = (folder.join("index.new"), folder.join("index.old"));
        remove(&old)?;
        let log = segments.last().cloned();
        let Some(active) = log else {
            return Err(Error::invalid("the log has no segment: nothing to index"));
        };
        // What the index says was applied must not be losable.
        let syncing = Error::io(format!("syncing log/{}", active.name));
        active.file.sync().map_err(syncing)?;
        let log = Arc::new(Log::new(segments, crate::options::CACHE_BYTES));
        let index = open(&fresh)?;
        let (commits, end) = replay(&log, &index, Address::new(u64::MAX), true, &mut progress)?;
        let torn_bytes = match judge(&log, &active, end)? {
            (Action::Open, _) => 0,
            (Action::Cut, last) => last
                .map_or(0, |last| last.get() + 1)
                .saturating_sub(end.address.get()),
            (Action::Refuse, _) => {
                let mut reader = FrameReader::new(log.clone(), Address::new(u64::MAX));
                reader.frame(end.address)?;
                return Err(reader.corrupt(end.address, "the frame does not follow the one before"));
            }
        };
        index.write_out()?;
        drop(index);
        put_in_place(folder, &fresh, &old)?;
        Ok(Rebuilt {
            commits,
            position: Position::new(end.position.get().saturating_sub(1)),
            torn_bytes,
        })
    }

    /// An unfinished one is gone on with, unless it cannot be read.
    fn open(fresh: &Path) -> Result<Index> {
        let opened = || {
            Index::new(Some(Box::new(Rocks::open(
                fresh,
                CACHE_BYTES,
                BUFFER_BYTES,
            )?)))
        };
        opened().or_else(|_| {
            remove(fresh)?;
            opened()
        })
    }

    /// A crash between the two renames leaves a store without an index, which is built when the
    /// store is opened.
    fn put_in_place(folder: &Path, fresh: &Path, old: &Path) -> Result<()> {
        let index = folder.join("index");
        let action = |what: &str| Error::io(format!("{what} {}", index.display()));
        if index.exists() {
            fs::rename(&index, old).map_err(action("putting aside"))?;
        }
        fs::rename(fresh, &index).map_err(action("putting into place"))?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(action("syncing the folder of"))?;
        remove(old)
    }

    fn remove(folder: &Path) -> Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", folder.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Applies the log to an index from where it is, up to `until` or the first place where no
    /// frame goes on. Returns how many commits that were, and the place. An index whose files are
    /// not `writable` keeps all of it in memory.
    pub(in crate::tools) fn replay(
        log: &Arc<Log>,
        index: &Index,
        until: Address,
        writable: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(u64, LogEnd)> {
        let segments = log.segments();
        let total = total_bytes(&segments)?;
        let start = segments.first().map(|first| start_of(first));
        let Some(mut end) = index.applied()?.map(|resume| resume.end).or(start) else {
            return Err(Error::invalid("the log has no segment"));
        };
        let mut reader = FrameReader::sequential(log.clone(), Address::new(u64::MAX));
        let mut changes = Changes::default();
        let mut commits = 0;
        while end.address < until {
            let Ok(frame) = reader.try_frame(end.address)? else {
                break;
            };
            if frame.header.previous != end.previous || frame.header.position != end.position {
                break;
            }
            if is_commit(&frame) {
                changes.apply(index, &frame.header, &frame.payload, None)?;
                commits += 1;
                if commits % REPLAY_BATCH as u64 == 0 {
                    index.publish(std::mem::take(&mut changes));
                    if writable && index.unwritten_bytes() > BUFFER_BYTES {
                        index.write_out()?;
                    }
                    let done = frame.header.end().get().min(total);
                    progress(Progress {
                        stage: "index",
                        done,
                        total,
                    });
                }
            }
            end = LogEnd::behind(&frame.header);
        }
        index.publish(changes);
        Ok((commits, end))
    }
}
