//! Checks a store that is not open, without changing it.

use std::collections::BTreeMap;
use std::path::Path;

use super::walk::{Damage, Seen, Walked, is_commit, open_log, total_bytes, walk};
use super::{Progress, check_folder, lock};
use crate::disk::OsDisk;
use crate::error::Result;
use crate::log::frame::Header;
use crate::log::record::{Pages, Record, records};
use crate::log::{Frame, Segment};
use crate::types::{Address, AggregateKey, Domain, Edition, Position, Root, Sequence};

/// Damaged places that are listed; the rest is counted.
const DAMAGE_MAX: usize = 1000;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Verdict.
    pub soundness: Soundness,
    /// Segment files that can be opened.
    pub segments: usize,
    /// Commits that are whole.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Aggregates with events, each timeline counted; those of deleted editions are not.
    pub aggregates: u64,
    /// Bytes of the log up to the end of the last whole frame.
    pub bytes: u64,
    /// Position of the last event.
    pub position: Position,
    /// Whether the index says what the log says.
    pub index: IndexCheck,
    /// Every damaged place, but no more than a thousand.
    pub damage: Vec<Damage>,
    /// Further damaged places.
    pub damage_unlisted: u64,
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
    /// Something is damaged: see [`Verified::damage`].
    Corrupt,
}

/// What became of the comparison of index and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexCheck {
    /// The folder has no index: opening the store builds one.
    None,
    /// Not compared, for this reason.
    Skipped(&'static str),
    /// Every entry was compared with an index built anew from the log, and the other way round.
    Checked {
        /// Entries of the index.
        entries: u64,
        /// How far the index's files had got: the log up to this address. What is behind it is
        /// applied when the store is opened, and was for the comparison.
        applied: Address,
    },
}

/// Checks every frame and record of the log in a folder, that each aggregate's sequences have no
/// gap, and that the index says what the log says. Goes on behind damage and lists all there is.
///
/// Holds about a hundred bytes for each aggregate. The index is built anew in the system's folder
/// for temporary files, which needs room for another one.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) for a newer format,
/// [`Error::Locked`](crate::Error::Locked) while a process has the store open,
/// [`Error::Io`](crate::Error::Io). Damage is a verdict, not an error.
pub fn verify(folder: &Path, progress: impl FnMut(Progress)) -> Result<Verified> {
    check(folder, true, progress)
}

/// The same without a look at the index.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_log(folder: &Path, progress: impl FnMut(Progress)) -> Result<Verified> {
    check(folder, false, progress)
}

fn check(folder: &Path, with_index: bool, mut progress: impl FnMut(Progress)) -> Result<Verified> {
    check_folder(folder)?;
    let _lock = lock(folder)?;
    let disk = OsDisk::existing(&folder.join("log"));
    let opened = open_log(&disk)?;
    let mut check = Check::default();
    opened.damage.into_iter().for_each(|it| check.damaged(it));
    if opened.segments.is_empty() {
        return Ok(check.finish(0, None));
    }
    let total = total_bytes(&opened.segments)?;
    let walked = walk(&opened.segments, &mut |seen| {
        match seen {
            Seen::Frame(segment, frame) => {
                check.frame(segment, frame);
                progress(Progress {
                    stage: "log",
                    done: frame.header.end().get().min(total),
                    total,
                });
            }
            Seen::Damage(damage) => {
                check.holes += 1;
                check.damaged(damage);
            }
        }
        Ok(())
    })?;
    check.index = if with_index {
        let segments = &opened.segments;
        check_index(folder, segments, &walked, &mut check, &mut progress)?
    } else {
        IndexCheck::Skipped("not asked for")
    };
    Ok(check.finish(opened.segments.len(), Some(&walked)))
}

#[cfg(feature = "rocksdb")]
fn check_index(
    folder: &Path,
    segments: &[std::sync::Arc<Segment>],
    walked: &Walked,
    check: &mut Check,
    progress: &mut dyn FnMut(Progress),
) -> Result<IndexCheck> {
    if !folder.join("index").join("CURRENT").is_file() {
        return Ok(IndexCheck::None);
    }
    if !check.damage.is_empty() {
        return Ok(IndexCheck::Skipped("the log is damaged"));
    }
    let found = &mut |damage| check.damaged(damage);
    super::compare::compare_index(folder, segments, walked.end.address, found, progress)
}

#[cfg(not(feature = "rocksdb"))]
fn check_index(
    folder: &Path,
    _segments: &[std::sync::Arc<Segment>],
    _walked: &Walked,
    _check: &mut Check,
    _progress: &mut dyn FnMut(Progress),
) -> Result<IndexCheck> {
    if folder.join("index").is_dir() {
        return Ok(IndexCheck::Skipped("this build cannot read its files"));
    }
    Ok(IndexCheck::None)
}

struct Check {
    frames: u64,
    events: u64,
    index: IndexCheck,
    damage: Vec<Damage>,
    unlisted: u64,
    /// Damaged places passed so far: behind one, sequences may be missing.
    holes: u64,
    next: BTreeMap<(Root, Edition, Domain), Known>,
}

/// Next sequence of an aggregate on its own timeline.
struct Known {
    next: Sequence,
    /// Holes that had been passed when it was last written to.
    holes: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            frames: 0,
            events: 0,
            index: IndexCheck::None,
            damage: Vec::new(),
            unlisted: 0,
            holes: 0,
            next: BTreeMap::new(),
        }
    }
}

impl Check {
    fn damaged(&mut self, damage: Damage) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(damage);
        } else {
            self.unlisted += 1;
        }
    }

    fn finish(self, segments: usize, walked: Option<&Walked>) -> Verified {
        let torn_bytes = walked.map_or(0, |walked| walked.torn_bytes);
        let soundness = match (self.damage.is_empty(), torn_bytes) {
            (false, _) => Soundness::Corrupt,
            (true, 0) => Soundness::Sound,
            (true, bytes) => Soundness::TornTail { bytes },
        };
        let next = walked.map_or(1, |walked| walked.end.position.get());
        Verified {
            soundness,
            segments,
            frames: self.frames,
            events: self.events,
            aggregates: self.next.len() as u64,
            bytes: walked.map_or(0, |walked| walked.end.address.get()),
            position: Position::new(next.saturating_sub(1)),
            index: self.index,
            damage: self.damage,
            damage_unlisted: self.unlisted,
        }
    }

    fn frame(&mut self, segment: &Segment, frame: &Frame) {
        if !is_commit(frame) {
            return;
        }
        self.frames += 1;
        if let Err(problem) = self.records(frame) {
            self.damaged(Damage::at(segment, frame.header.address, problem));
        }
    }

    fn records(&mut self, frame: &Frame) -> Result<(), String> {
        let mut events = 0u64;
        for record in records(&frame.payload, frame.header.recorded_at) {
            match record.map_err(|problem| problem.to_string())? {
                Record::Pages(pages) => {
                    self.pages(&frame.header, &pages)?;
                    events += u64::from(pages.count);
                }
                Record::Dropped { key, first, count } => {
                    let key = key.to_key().map_err(|problem| problem.to_string())?;
                    self.follow(key, first, count)?;
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
        self.events += events;
        if events == u64::from(frame.header.events) {
            return Ok(());
        }
        let said = frame.header.events;
        Err(format!("the frame holds {events} events and says {said}"))
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
        let name = key.to_string();
        let next = first.plus(count).ok_or("a sequence is too large")?;
        let first_may_be_any = !key.edition.is_main();
        let holes = self.holes;
        let key = (key.root, key.edition, key.domain);
        let known = self.next.insert(key, Known { next, holes });
        let (expected, behind_hole) = match known {
            Some(known) => (known.next, known.holes < holes),
            None if first_may_be_any => return Ok(()),
            None => (Sequence::ZERO, holes > 0),
        };
        if first == expected || (behind_hole && first > expected) {
            return Ok(());
        }
        Err(format!(
            "{name} goes on at sequence {first}, after {expected} was expected"
        ))
    }
}

impl Verified {
    /// Address behind the last frame.
    #[must_use]
    pub fn end(&self) -> Address {
        Address::new(self.bytes)
    }
}
