//! Opening a log after whatever ended the last process.

mod folder;
mod tail;

use std::sync::Arc;

use rand::RngCore;

use super::frame::{Kind, Malformed};
use super::writer::{LogEnd, LogParts, publish_segment};
use super::{Frame, FrameReader, Log, LogWriter, Segment, SegmentHeader, Spare};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::types::{Address, Timestamp};
pub(crate) use folder::open_segments;
use folder::{remove_doubles, remove_unfinished};
use tail::{Tail, cut, examine_tail, file_end, write_again};

/// How far the index has applied the log: where the scan begins, and evidence that the log was
/// synced at least that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The last frame that was applied.
    pub(crate) last: Address,
    /// Behind it.
    pub(crate) end: LogEnd,
}

/// How large parts of a log are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Of a segment's file.
    pub(crate) segment_bytes: u64,
    /// Of the cache for rewritten segments.
    pub(crate) cache_bytes: usize,
}

/// A log that is open for appending.
pub(crate) struct Opened {
    pub(crate) log: Arc<Log>,
    pub(crate) writer: LogWriter,
    pub(crate) spare: Arc<Spare>,
    pub(crate) database_id: [u8; 16],
    /// Bytes of an unfinished write that were cut off.
    pub(crate) cut_bytes: u64,
}

/// What is known about the first place at which no frame parses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// There is a segment after the one with the bad place.
    pub(crate) later_segment: bool,
    /// The index has applied frames beyond the place.
    pub(crate) applied_beyond: bool,
    /// A valid frame behind the place says that the log was synced beyond the place.
    pub(crate) durable_beyond: bool,
    /// Nothing but zeros, or nothing at all, stands there and behind.
    pub(crate) empty: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The log ends there; open.
    Open,
    /// A write that was never acknowledged stands there; remove it and open.
    Cut,
    /// Acknowledged data is damaged; refuse to open.
    Refuse,
}

/// The decision, and the only place where it is made.
pub(crate) fn decide(evidence: Evidence) -> Action {
    match evidence {
        Evidence {
            later_segment: true,
            ..
        }
        | Evidence {
            applied_beyond: true,
            ..
        }
        | Evidence {
            durable_beyond: true,
            ..
        } => Action::Refuse,
        Evidence { empty: true, .. } => Action::Open,
        Evidence { empty: false, .. } => Action::Cut,
    }
}

/// Opens the log in a folder, creating it in an empty one.
///
/// Every frame from `resume` on is verified and handed to `apply` in order, when it is on the disk
/// for good: what was applied may be written to the index's files at once.
///
/// # Errors
/// [`Error::Corrupt`] when acknowledged data is damaged, [`Error::Unsupported`] for a newer
/// format, [`Error::Io`].
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    sizes: Sizes,
    mut random: Box<dyn RngCore + Send>,
    now: Timestamp,
    resume: Option<Resume>,
    apply: &mut dyn FnMut(&Frame) -> Result<()>,
) -> Result<Opened> {
    let spare = Arc::new(Spare::new(disk.clone(), sizes.segment_bytes));
    remove_unfinished(&*disk)?;
    remove_doubles(&*disk)?;
    let mut segments = open_segments(&*disk)?;
    if segments.is_empty() {
        if resume.is_some_and(|resume| resume.end.address > Address::default()) {
            return Err(no_segments());
        }
        segments.push(create(&*disk, &spare, now, &mut random)?);
    }
    let (Some(first), Some(active)) = (segments.first().cloned(), segments.last().cloned()) else {
        return Err(no_segments());
    };
    let log = Arc::new(Log::new(segments, sizes.cache_bytes));
    let start = resume.map_or_else(|| start_of(&first), |resume| resume.end);
    if let Some(resume) = resume {
        check_applied(&log, resume)?;
    }
    // The end is found first, within the newest segment: the ones before it were synced when it
    // began.
    let tail = if start.address > active.header.base {
        start
    } else {
        // A segment may have been begun at a later time than its first frame's.
        let recorded_at = Timestamp::from_nanos(i64::MIN);
        LogEnd {
            recorded_at,
            ..start_of(&active)
        }
    };
    let mut proven = tail.address;
    let (end, problem) = scan(&log, tail, &mut |frame| {
        proven = proven.max(frame.header.durable);
        Ok(())
    })?;
    let cut_bytes = settle_end(&log, &active, end, problem)?;
    // What a reader is shown must not be losable: the last process may have died between its
    // write and its sync.
    write_again(&active, proven, end.address)?;
    active
        .file
        .sync()
        .map_err(Error::io(format!("syncing log/{}", active.name)))?;
    // Or between naming the newest segment and making the name last.
    disk.sync_folder()
        .map_err(Error::io("syncing the log's folder"))?;
    let found = end.address;
    let (end, problem) = scan(&log, start, apply)?;
    if end.address != found {
        return Err(refusal(&log, &active, end, problem));
    }
    let database_id = active.header.database_id;
    let parts = LogParts {
        disk,
        log: log.clone(),
        active,
        spare: spare.clone(),
        segment_bytes: sizes.segment_bytes,
    };
    let writer = LogWriter::new(parts, random, end);
    Ok(Opened {
        log,
        writer,
        spare,
        database_id,
        cut_bytes,
    })
}

/// Where the frames of a segment begin.
pub(crate) fn start_of(segment: &Segment) -> LogEnd {
    LogEnd {
        address: segment.header.base,
        position: segment.header.position,
        recorded_at: segment.header.created_at,
        previous: segment.header.previous,
    }
}

fn no_segments() -> Error {
    Error::Corrupt {
        file: "log".to_owned(),
        offset: 0,
        address: Address::default(),
        problem: "the index knows of events, but there is no segment; restore the log from a \
                  backup, or remove the index too to start empty"
            .to_owned(),
    }
}

fn create(
    disk: &dyn Disk,
    spare: &Spare,
    now: Timestamp,
    random: &mut Box<dyn RngCore + Send>,
) -> Result<Arc<Segment>> {
    let mut database_id = [0; 16];
    random.fill_bytes(&mut database_id);
    let header = SegmentHeader::new(
        database_id,
        Address::default(),
        crate::types::Position::new(1),
        now,
        0,
        random,
    );
    spare.prepare()?;
    publish_segment(disk, header, spare.take()?)
}

/// The last frame that the index has applied must still be there: an older copy of the log would
/// otherwise be continued behind a hole.
fn check_applied(log: &Arc<Log>, resume: Resume) -> Result<()> {
    let mut reader = FrameReader::new(log.clone(), resume.end.address);
    let problem = match reader.try_frame(resume.last)? {
        Ok(frame) if frame.header.crc == resume.end.previous => return Ok(()),
        Ok(_) => Malformed::Chain,
        Err(problem) => problem,
    };
    Err(reader.corrupt(resume.last, acknowledged(problem)))
}

fn acknowledged(problem: Malformed) -> String {
    format!(
        "{problem}, yet it had been acknowledged; run `angzarr verify` on the folder, then restore \
         a backup"
    )
}

/// Verifies frames from `start` on and returns where the first one is missing, and why.
pub(crate) fn scan(
    log: &Arc<Log>,
    start: LogEnd,
    apply: &mut dyn FnMut(&Frame) -> Result<()>,
) -> Result<(LogEnd, Malformed)> {
    let mut reader = FrameReader::sequential(log.clone(), Address::new(u64::MAX));
    let mut end = start;
    loop {
        match next_frame(&mut reader, end)? {
            Ok(frame) => {
                if frame.header.kind == Kind::Commit {
                    apply(&frame)?;
                }
                end = LogEnd::behind(&frame.header);
            }
            Err(problem) => return Ok((end, problem)),
        }
        check_seam(log, end)?;
    }
}

/// The frame at `end`, if it follows what came before.
fn next_frame(reader: &mut FrameReader, end: LogEnd) -> Result<Result<Frame, Malformed>> {
    Ok(reader.try_frame(end.address)?.and_then(|frame| {
        let header = frame.header;
        let follows = header.previous == end.previous
            && header.position == end.position
            && header.recorded_at >= end.recorded_at;
        if follows {
            Ok(frame)
        } else {
            Err(Malformed::Chain)
        }
    }))
}

/// Where a segment begins, its header must agree with the frames before it.
fn check_seam(log: &Log, end: LogEnd) -> Result<()> {
    let Some((segment, _)) = log.segment_at(end.address) else {
        return Ok(());
    };
    let header = &segment.header;
    if header.base == end.address
        && (header.previous != end.previous || header.position != end.position)
    {
        return Err(segment.corrupt(end.address, "the segment does not follow the one before it"));
    }
    Ok(())
}

/// Decides about the place where the frames end, and removes an unfinished write.
/// Returns how many bytes that were.
fn settle_end(log: &Log, active: &Segment, end: LogEnd, problem: Malformed) -> Result<u64> {
    let (action, last_byte) = judge(log, active, end)?;
    match action {
        Action::Open => Ok(0),
        Action::Cut => cut(active, end.address, last_byte),
        Action::Refuse => Err(refusal(log, active, end, problem)),
    }
}

fn refusal(log: &Log, active: &Segment, end: LogEnd, problem: Malformed) -> Error {
    let segment = log.segment_at(end.address).map(|(segment, _)| segment);
    let segment = segment.as_deref().unwrap_or(active);
    segment.corrupt(end.address, acknowledged(problem))
}

/// What to do about the place where the frames end, and the last byte there that is not zero.
pub(crate) fn judge(log: &Log, active: &Segment, end: LogEnd) -> Result<(Action, Option<Address>)> {
    let later_segment = log
        .segment_at(end.address)
        .is_some_and(|(_, next)| next.is_some());
    let file_end = file_end(active)?;
    // The scan began at or before the place, so the index is ahead of it only if it claims an
    // address that the log does not reach.
    let applied_beyond = !later_segment && end.address > file_end;
    let tail = if later_segment || applied_beyond {
        Tail {
            durable: Address::default(),
            last_byte: None,
        }
    } else {
        examine_tail(active, end.address, file_end)?
    };
    let evidence = Evidence {
        later_segment,
        applied_beyond,
        durable_beyond: tail.durable > end.address,
        empty: tail.last_byte.is_none(),
    };
    Ok((decide(evidence), tail.last_byte))
}

#[cfg(test)]
mod tests;
