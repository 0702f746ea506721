//! Checks a store that is not open, without changing it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{LockFile, OsDisk};
use crate::error::{Error, Result};
use crate::log::frame::Header;
use crate::log::record::{Pages, Record, records};
use crate::log::recovery::{Action, judge, open_segments, scan, start_of};
use crate::log::{Frame, Log, Segment};
use crate::types::{Address, AggregateKey, Domain, Edition, Position, Root, Sequence};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Verdict.
    pub soundness: Soundness,
    /// Segment files.
    pub segments: usize,
    /// Frames that are whole and follow each other.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Aggregates, each timeline counted, deleted ones too.
    pub aggregates: u64,
    /// Bytes of frames.
    pub bytes: u64,
}

/// The verdict of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// Every byte is as it was written.
    Sound,
    /// So is everything that was acknowledged; behind it stands an unfinished write, which opening
    /// the store removes.
    TornTail {
        /// Its size in bytes.
        bytes: u64,
    },
}

/// How far a check has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of frames checked.
    pub done: u64,
    /// Bytes there are, about.
    pub total: u64,
}

/// Checks every frame and record of the log in a folder, and that each aggregate's sequences have
/// no gap. Holds about a hundred bytes for each aggregate.
///
/// # Errors
/// [`Error::Corrupt`] with the place of the first damage, [`Error::Unsupported`] for a newer
/// format, [`Error::Locked`] while a process has the store open, [`Error::Io`].
pub fn verify(folder: &Path, mut progress: impl FnMut(Progress)) -> Result<Verified> {
    if !folder.join("log").is_dir() {
        return Err(Error::invalid(format!(
            "{} holds no store: the folder log is missing",
            folder.display()
        )));
    }
    let _lock = lock(folder)?;
    let disk = OsDisk::existing(&folder.join("log"));
    let segments = open_segments(&disk)?;
    let (Some(first), Some(active)) = (segments.first().cloned(), segments.last().cloned()) else {
        return Ok(Verified {
            soundness: Soundness::Sound,
            segments: 0,
            frames: 0,
            events: 0,
            aggregates: 0,
            bytes: 0,
        });
    };
    let count = segments.len();
    let total = total_bytes(&segments)?;
    let log = Arc::new(Log::new(segments, crate::options::CACHE_BYTES));
    let mut check = Check::default();
    let (end, problem) = scan(&log, start_of(&first), &mut |frame| {
        check.frame(&log, frame)?;
        progress(Progress {
            done: frame.header.end().get().min(total),
            total,
        });
        Ok(())
    })?;
    let soundness = match judge(&log, &active, end)? {
        (Action::Open, _) => Soundness::Sound,
        (Action::Cut, last) => {
            let last = last.unwrap_or(end.address).get();
            Soundness::TornTail {
                bytes: last.saturating_sub(end.address.get()) + 1,
            }
        }
        (Action::Refuse, _) => {
            let holder = log.segment_at(end.address).map(|(segment, _)| segment);
            return Err(holder.unwrap_or(active).corrupt(end.address, problem));
        }
    };
    Ok(Verified {
        soundness,
        segments: count,
        frames: check.frames,
        events: check.events,
        aggregates: check.next.len() as u64,
        bytes: end.address.get(),
    })
}

/// Keeps a server from opening the store meanwhile, if the folder can be written to at all.
fn lock(folder: &Path) -> Result<Option<LockFile>> {
    match LockFile::acquire(&folder.join("LOCK")) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::Locked(folder.display().to_string())),
        Err(_) => Ok(None),
    }
}

fn total_bytes(segments: &[Arc<Segment>]) -> Result<u64> {
    let Some(last) = segments.last() else {
        return Ok(0);
    };
    let len = last
        .file
        .size()
        .map_err(Error::io(format!("reading log/{}", last.name)))?;
    Ok(last.header.base.get().saturating_add(len))
}

#[derive(Default)]
struct Check {
    frames: u64,
    events: u64,
    /// Next sequence of each aggregate on its own timeline.
    next: BTreeMap<(Root, Edition, Domain), Sequence>,
}

impl Check {
    fn frame(&mut self, log: &Log, frame: &Frame) -> Result<()> {
        let corrupt = |problem: String| match log.segment_at(frame.header.address) {
            Some((segment, _)) => segment.corrupt(frame.header.address, problem),
            None => Error::invalid(problem),
        };
        let mut events = 0u64;
        for record in records(&frame.payload, frame.header.recorded_at) {
            match record.map_err(|problem| corrupt(problem.to_string()))? {
                Record::Pages(pages) => {
                    self.pages(&frame.header, &pages).map_err(corrupt)?;
                    events += u64::from(pages.count);
                }
                Record::Dropped { key, first, count } => {
                    let key = key
                        .to_key()
                        .map_err(|problem| corrupt(problem.to_string()))?;
                    self.follow(key, first, count).map_err(corrupt)?;
                    events += u64::from(count);
                }
                Record::DeleteEdition { edition, domain } => {
                    let gone = |e: &Edition, d: &Domain| {
                        e.as_str() == edition && domain.is_none_or(|domain| domain == d.as_str())
                    };
                    self.next.retain(|(_, e, d), _| !gone(e, d));
                }
                _ => {}
            }
        }
        if events != u64::from(frame.header.events) {
            return Err(corrupt(format!(
                "the frame holds {events} events and says {}",
                frame.header.events
            )));
        }
        self.frames += 1;
        self.events += events;
        Ok(())
    }

    fn pages(&mut self, header: &Header, pages: &Pages<'_>) -> Result<(), String> {
        let key = pages.key.to_key().map_err(|problem| problem.to_string())?;
        for page in pages.pages(header.recorded_at) {
            page.map_err(|problem| problem.to_string())?;
        }
        self.follow(key, pages.first, pages.count)
    }

    /// Notes that events stand or stood there, if they follow those before.
    fn follow(&mut self, key: AggregateKey, first: Sequence, count: u32) -> Result<(), String> {
        let first_may_be_any = !key.edition.is_main();
        let key = (key.root, key.edition, key.domain);
        let expected = self.next.get(&key).copied();
        let expected = expected.or((!first_may_be_any).then_some(Sequence::ZERO));
        if expected.is_some_and(|expected| expected != first) {
            return Err(format!(
                "sequence {first} of {}/{}/{} follows {}",
                key.2,
                key.1,
                key.0,
                expected.unwrap_or_default()
            ));
        }
        let next = first.plus(count).ok_or("a sequence is too large")?;
        self.next.insert(key, next);
        Ok(())
    }
}

impl Verified {
    /// Position of the last event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.events)
    }

    /// Address behind the last frame.
    #[must_use]
    pub fn end(&self) -> Address {
        Address::new(self.bytes)
    }
}
