//! The files of a log up to one commit, held open so that they can be copied while the engine
//! goes on.

use std::path::Path;
use std::sync::Arc;

use super::walk::{Seen, walk_from};
use super::{check_folder, lock};
use crate::disk::{LockFile, OsDisk};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::log::frame::{Malformed, checksum};
use crate::log::recovery::{open_segments, start_of};
use crate::log::{FrameReader, Log, LogEnd, SEGMENT_HEADER, Segment};
use crate::options::CACHE_BYTES;
use crate::types::{Address, Position, Timestamp};

/// Bytes at the end of a rewritten segment that its id is made of: more than its trailer.
const ID_BYTES: usize = 4096;
/// Seed of the checksum in a file's id.
const ID_SEED: u32 = 0x0b_ac_0b_1d;

/// Every file of a log, up to and including one commit. What is written later, and segments that
/// are rewritten meanwhile, change nothing of it.
pub struct LogCopy {
    /// Identity of the database.
    pub database_id: [u8; 16],
    /// Position of the last event.
    pub position: Position,
    /// Address behind the last frame.
    pub end: Address,
    /// When the last commit was made.
    pub recorded_at: Timestamp,
    /// In the order of the log; never empty.
    pub files: Vec<LogFile>,
    /// Keeps others from opening the folder, if no engine of this process has it open.
    _lock: Option<LockFile>,
}

/// One file of a [`LogCopy`].
pub struct LogFile {
    /// File name within the folder `log`.
    pub name: String,
    /// Names the content: another content has another id. Usable as a file name.
    pub id: String,
    /// Bytes to copy; the file may be longer.
    pub len: u64,
    /// Address of its first frame.
    pub base: Address,
    /// Position of its first event.
    pub position: Position,
    segment: Arc<Segment>,
}

impl LogFile {
    /// Reads up to `len` bytes at an offset; fewer only at the end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let rest = self.len.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(rest).map_or(len, |rest| rest.min(len))];
        let action = || format!("reading log/{}", self.name);
        let n = self
            .segment
            .file
            .read_at(&mut bytes, offset)
            .map_err(Error::io(action()))?;
        if n < bytes.len() {
            let early = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Error::io(action())(early));
        }
        Ok(bytes)
    }
}

impl Engine {
    /// The log as it is at this moment: everything that was acknowledged before the call is in
    /// it. Reads the segment being written, so it blocks for a moment.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn log_copy(&self) -> Result<LogCopy> {
        loop {
            let segments = self.shared.log.segments();
            let readable = self.shared.readable().address;
            let base = |segments: &[Arc<Segment>]| segments.last().map(|it| it.header.base);
            // A segment that began meanwhile would be missing from the list.
            let last = base(&self.shared.log.segments());
            if base(&segments) == last && last.is_some_and(|base| base <= readable) {
                return copy(segments, readable, None);
            }
        }
    }
}

/// The log in the folder of a store that is not open. An unfinished write at its end is left out.
///
/// # Errors
/// [`Error::Locked`], [`Error::Corrupt`] when its last segments are damaged,
/// [`Error::Unsupported`], [`Error::Invalid`] for a folder without a store, [`Error::Io`].
pub fn folder_copy(folder: &Path) -> Result<LogCopy> {
    check_folder(folder)?;
    let lock = lock(folder)?;
    let segments = open_segments(&OsDisk::existing(&folder.join("log")))?;
    let Some(last) = segments.len().checked_sub(1) else {
        return Err(Error::invalid(format!(
            "{} holds no store: the log has no segment",
            folder.display()
        )));
    };
    let walked = walk_from(&segments, last, &mut |seen| match seen {
        Seen::Frame(..) => Ok(()),
        Seen::Damage(damage) => Err(damage.into_error()),
    })?;
    copy(segments, walked.end.address, lock)
}

fn copy(segments: Vec<Arc<Segment>>, end: Address, lock: Option<LockFile>) -> Result<LogCopy> {
    let last = last_commit(&segments, end)?;
    let database_id = segments.first().map(|first| first.header.database_id);
    let nexts = segments.iter().skip(1).map(|next| &next.header);
    let nexts = nexts.map(|next| (next.base, next.previous));
    let files = segments
        .iter()
        .zip(nexts.chain([(end, last.previous)]))
        .map(|(segment, (next, crc))| file(segment, next, crc))
        .collect::<Result<_>>()?;
    Ok(LogCopy {
        database_id: database_id.unwrap_or_default(),
        position: Position::new(last.position.get().saturating_sub(1)),
        end,
        recorded_at: last.recorded_at,
        files,
        _lock: lock,
    })
}

/// The end of the log, found by reading its last two segments: the last one may be empty.
fn last_commit(segments: &[Arc<Segment>], end: Address) -> Result<LogEnd> {
    let first = segments.len().saturating_sub(2);
    let Some(from) = segments.get(first) else {
        return Err(Error::invalid("the log has no segment"));
    };
    let mut at = start_of(from);
    let mut reader =
        FrameReader::sequential(Arc::new(Log::new(segments.to_vec(), CACHE_BYTES)), end);
    while at.address < end {
        let header = reader.frame(at.address)?.header;
        if header.previous != at.previous || header.position != at.position {
            return Err(reader.corrupt(at.address, Malformed::Chain));
        }
        at = LogEnd::behind(&header);
    }
    Ok(at)
}

/// `crc` is that of the header of the segment's last frame.
fn file(segment: &Arc<Segment>, next: Address, crc: u32) -> Result<LogFile> {
    let base = segment.header.base;
    let len = match &segment.sealed {
        Some(sealed) => sealed.file_bytes,
        None => SEGMENT_HEADER + next.get().saturating_sub(base.get()),
    };
    let mut file = LogFile {
        name: segment.name.clone(),
        id: String::new(),
        len,
        base,
        position: segment.header.position,
        segment: segment.clone(),
    };
    // A frame's header has the checksums of its payload and of the header before, and so the last
    // one stands for all of them, in a store that was set back and went on differently too. The
    // trailer of a rewritten segment has that of the directory, which has those of the blocks.
    let mut content = segment.header.encode();
    content.extend_from_slice(&crc.to_le_bytes());
    let kind = match &segment.sealed {
        None => "seg",
        Some(_) => {
            content.extend(file.read(len.saturating_sub(ID_BYTES as u64), ID_BYTES)?);
            "segz"
        }
    };
    let crc = checksum(ID_SEED, &content);
    file.id = format!("{:020}-{len:x}-{crc:08x}.{kind}", base.get());
    Ok(file)
}
