//! Rewrites full segments behind the writer's back: smaller, gathered by aggregate, and without
//! what nobody can reach any more.
//!
//! The log stays the only source of truth at every step. The new file is written under a name
//! that opening ignores and removes; it is verified; then what its omissions rest on is synced;
//! then it gets its lasting name, in one rename; readers go over to it; and only then is the old
//! file removed. A crash leaves the old file, or both, or the new one.

mod control;
mod trim;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

pub use control::Sealing;
pub(crate) use control::{Control, Current};

use crate::core::ActiveFile;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::limits;
use crate::log::frame::{Kind, Malformed};
use crate::log::recovery::start_of;
use crate::log::sealed::{self, Builder, Packed};
use crate::log::{Frame, FrameReader, LogEnd, Segment, sealed_name};
use crate::options::Durability;
use crate::shared::Shared;
use crate::types::Address;
use trim::Trimmed;

/// A sealed segment is rewritten again when what deleted branches hold of it, before compression,
/// is at least this part of its file.
const DEAD_SHARE: u64 = 8;

/// Rewrites segments, one at a time.
pub(crate) struct Sealer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    active: ActiveFile,
    durability: Durability,
    /// Segments that turned out to be damaged: they are left as they are.
    damaged: Mutex<BTreeSet<Address>>,
    /// How many branches were deleted when sealed segments were last looked through.
    seen_deletions: Mutex<u32>,
}

impl Sealer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        active: ActiveFile,
        durability: Durability,
    ) -> Self {
        Self {
            shared,
            disk,
            active,
            durability,
            damaged: Mutex::default(),
            seen_deletions: Mutex::default(),
        }
    }

    /// Rewrites the oldest segment that gains by it; returns whether there was one. `pace` is
    /// told of each block's bytes and may make it wait, or end it with an error.
    ///
    /// # Errors
    /// What `pace` returns; [`Error::Corrupt`] when the segment is damaged, which is then not
    /// tried again; [`Error::Io`]. The segment then stays as it is.
    pub(crate) fn run_next(
        &self,
        current: &dyn Fn(Option<Current>),
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<bool> {
        let Some((segment, end)) = self.next()? else {
            return Ok(false);
        };
        let base = segment.header.base;
        let total = end.get().saturating_sub(base.get());
        let mut done = 0;
        let result = self.rewrite(&segment, end, &mut |bytes| {
            done += bytes;
            current(Some(Current { done, total }));
            pace(bytes)
        });
        current(None);
        if let Err(error @ Error::Corrupt { .. }) = &result {
            tracing::error!(%error, "a damaged segment stays as it is");
            self.damaged().insert(base);
        }
        result.map(|()| true)
    }

    /// How many segments were rewritten, and how many are full and were not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let segments = self.shared.log.segments();
        let sealed = segments.iter().filter(|s| s.sealed.is_some()).count();
        let damaged = self.damaged().len();
        let waiting = (segments.len() - sealed).saturating_sub(1 + damaged);
        (sealed, waiting)
    }

    /// The oldest segment to rewrite, and where it ends.
    fn next(&self) -> Result<Option<(Arc<Segment>, Address)>> {
        let segments = self.shared.log.segments();
        let following = segments.iter().skip(1).map(|next| next.header.base);
        let damaged = self.damaged().clone();
        let mut full = segments.iter().zip(following);
        let plain = full.find(|(segment, _)| {
            segment.sealed.is_none() && !damaged.contains(&segment.header.base)
        });
        if let Some((segment, end)) = plain {
            return Ok(Some((segment.clone(), end)));
        }
        self.next_with_dead(&segments)
    }

    /// The oldest sealed segment that holds much of deleted branches.
    fn next_with_dead(&self, segments: &[Arc<Segment>]) -> Result<Option<(Arc<Segment>, Address)>> {
        let deletions = self.shared.index.registry().deletions();
        if *self.seen() == deletions {
            return Ok(None);
        }
        for segment in segments {
            let Some(sealed) = &segment.sealed else {
                continue;
            };
            if self.damaged().contains(&segment.header.base) {
                continue;
            }
            let branches = sealed.branches(&segment.source(&self.shared.log.cache))?;
            let mut dead = 0u64;
            for branch in branches {
                if !trim::is_alive(
                    &self.shared.index,
                    &branch.edition,
                    &branch.domain,
                    branch.first,
                )
                .map_err(|problem| segment.corrupt(segment.header.base, problem))?
                {
                    dead = dead.saturating_add(branch.bytes);
                }
            }
            if dead > 0 && dead.saturating_mul(DEAD_SHARE) >= sealed.file_bytes {
                return Ok(Some((segment.clone(), sealed.end().address)));
            }
        }
        *self.seen() = deletions;
        Ok(None)
    }

    fn rewrite(
        &self,
        segment: &Arc<Segment>,
        end: Address,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let base = segment.header.base;
        let draft = format!("seal-{:020}.tmp", base.get());
        let result = self
            .write(segment, end, &draft, pace)
            .and_then(|()| self.exchange(segment, &draft));
        if result.is_err()
            && let Err(error) = self.disk.remove(&draft)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = draft, "a half written file was left behind");
        }
        result
    }

    /// Writes the new file, complete and synced.
    fn write(
        &self,
        segment: &Arc<Segment>,
        end: Address,
        draft: &str,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let file = self
            .disk
            .create(draft)
            .map_err(Error::io(format!("creating log/{draft}")))?;
        let mut builder = Builder::new(draft, file, &segment.header)?;
        let mut reader = FrameReader::sequential(self.shared.log.clone(), end);
        let mut at = start_of(segment);
        while at.address < end {
            let stop = at.address.plus(limits::STRETCH_BYTES).min(end);
            let mut stretch = Vec::new();
            while at.address < stop {
                let frame = reader.frame(at.address)?;
                check_chain(&reader, &frame, at)?;
                at = LogEnd::behind(&frame.header);
                stretch.push(self.pack(&reader, frame, &mut builder)?);
            }
            builder.add(stretch, pace)?;
        }
        builder.finish(at)?;
        Ok(())
    }

    /// A frame without what nobody can reach.
    fn pack(&self, reader: &FrameReader, frame: Frame, builder: &mut Builder) -> Result<Packed> {
        let address = frame.header.address;
        if frame.header.kind == Kind::Mark {
            return Ok(Packed {
                cluster: Vec::new(),
                header: frame.header,
                payload: frame.payload,
            });
        }
        let Trimmed {
            payload,
            cluster,
            branches,
        } = trim::trim(&self.shared.index, &frame)?
            .map_err(|problem| reader.corrupt(address, problem))?;
        for (edition, domain, bytes) in branches {
            builder.count_branch(&edition, &domain, address, bytes);
        }
        Ok(Packed {
            cluster,
            header: frame.header,
            payload,
        })
    }

    /// Puts the new file in the place of the old one.
    fn exchange(&self, segment: &Arc<Segment>, draft: &str) -> Result<()> {
        let name = sealed_name(segment.header.base);
        let fresh = Arc::new(Segment::open_as(&*self.disk, draft, &name)?);
        sealed::check(&fresh)?;
        // What was left out rests on later records; they must not be lost if the old file is.
        self.sync_log()?;
        self.disk
            .rename(draft, &name)
            .map_err(Error::io(format!("naming log/{name}")))?;
        self.disk
            .sync_folder()
            .map_err(Error::io("syncing the log's folder"))?;
        self.shared.log.replace(fresh);
        if segment.name != name {
            // Who reads the old file at this moment has it open.
            self.disk
                .remove(&segment.name)
                .map_err(Error::io(format!("removing log/{}", segment.name)))?;
            self.disk
                .sync_folder()
                .map_err(Error::io("syncing the log's folder"))?;
        }
        Ok(())
    }

    fn sync_log(&self) -> Result<()> {
        if self.durability == Durability::Fsync {
            // Nothing is readable before it is synced.
            return Ok(());
        }
        let synced = self.active.current().sync();
        synced
            .map_err(Error::io("syncing the log"))
            // After a failed sync nobody may trust a later one.
            .inspect_err(|error| self.shared.poison.set("syncing the log", error))
    }

    fn damaged(&self) -> std::sync::MutexGuard<'_, BTreeSet<Address>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, u32> {
        self.seen_deletions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_chain(reader: &FrameReader, frame: &Frame, at: LogEnd) -> Result<()> {
    if frame.header.previous != at.previous || frame.header.position != at.position {
        return Err(reader.corrupt(at.address, Malformed::Chain));
    }
    Ok(())
}
