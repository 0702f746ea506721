//! Keeps what can be kept of a damaged log.
//!
//! A log is cut at its first damage: everything before is as it was, commit for commit, and so is
//! every conclusion that anybody drew from it. What stands behind was decided by code that had
//! seen what is missing now; keeping part of it would show histories that never were. It is put
//! aside, bytes and all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::walk::{Damage, Seen, is_commit, open_log, walk};
use super::{CutAt, CutLog, Progress, check_folder, cut_log, lock};
use crate::disk::{LockFile, OsDisk};
use crate::error::{Error, Result};
use crate::log::record::{Record, records};
use crate::log::{Frame, Segment};
use crate::types::{Address, AggregateKey, Position, Sequence};

/// Files of a log on their way; named otherwise so that no server takes them for a store.
const PARTIAL: &str = "log.partial";
/// What was cut off.
const LOST: &str = "lost";

/// What repairing a store would keep and lose. Holds the store's lock.
pub struct Repair {
    /// Every damaged place; empty for a sound log.
    pub damage: Vec<Damage>,
    /// The log is cut here.
    pub cut: Address,
    /// Position of the last event that is kept.
    pub position: Position,
    /// Events behind the cut that can be read.
    pub lost_events: u64,
    /// Other facts behind the cut that can be read: snapshots, claims, branches, decisions about
    /// pending events, checkpoints.
    pub lost_facts: u64,
    /// Bytes of log behind the cut in which no whole frame is found.
    pub unreadable_bytes: u64,
    /// Aggregates that are known to lose events, and which.
    pub lost: BTreeMap<AggregateKey, LostEvents>,
    segments: Vec<Arc<Segment>>,
    _lock: Option<LockFile>,
}

/// Events of one aggregate that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostEvents {
    /// The first.
    pub first: Sequence,
    /// The last that is known of; there may have been more.
    pub last: Sequence,
}

/// Looks at the store in a folder that no process has open, and changes nothing. Holds about a
/// hundred bytes for each aggregate.
///
/// # Errors
/// [`Error::Locked`], [`Error::Unsupported`], [`Error::Invalid`] for a folder without a store,
/// [`Error::Io`]. Damage is no error.
pub fn plan_repair(folder: &Path, mut progress: impl FnMut(Progress)) -> Result<Repair> {
    check_folder(folder)?;
    let lock = lock(folder)?;
    let opened = open_log(&OsDisk::existing(&folder.join("log")))?;
    let mut plan = Plan::default();
    let total = super::walk::total_bytes(&opened.segments)?;
    let headers = opened.damage.iter().map(|damage| damage.address).min();
    let mut damage = opened.damage;
    let mut keeping = true;
    let mut end = (Address::default(), Position::new(1));
    if !opened.segments.is_empty() {
        let walked = walk(&opened.segments, &mut |seen| {
            match seen {
                Seen::Frame(segment, frame) => {
                    let header = &frame.header;
                    let done = header.end().get().min(total);
                    progress(Progress {
                        stage: "log",
                        done,
                        total,
                    });
                    keeping = keeping && headers.is_none_or(|first| header.address < first);
                    if keeping && !is_sound(frame) {
                        keeping = false;
                        let problem = "a record does not have the documented form";
                        damage.push(Damage::at(segment, header.address, problem));
                    }
                    if keeping {
                        plan.keep(frame);
                    } else {
                        plan.lose(frame);
                    }
                }
                Seen::Damage(found) => {
                    keeping = false;
                    plan.unreadable_bytes += found.until.get().saturating_sub(found.address.get());
                    damage.push(found);
                }
            }
            Ok(())
        })?;
        end = (walked.end.address, walked.end.position);
    }
    let beginning = (Address::default(), Position::new(1));
    let (cut, next) = match damage.is_empty() {
        true => end,
        false => plan.cut.unwrap_or(beginning),
    };
    Ok(Repair {
        damage,
        cut,
        position: Position::new(next.get().saturating_sub(1)),
        lost_events: plan.lost_events,
        lost_facts: plan.lost_facts,
        unreadable_bytes: plan.unreadable_bytes,
        lost: plan.lost,
        segments: opened.segments,
        _lock: lock,
    })
}

#[derive(Default)]
struct Plan {
    /// Behind the last frame that is kept.
    cut: Option<(Address, Position)>,
    /// Next sequences at the cut.
    next: BTreeMap<AggregateKey, Sequence>,
    lost: BTreeMap<AggregateKey, LostEvents>,
    lost_events: u64,
    lost_facts: u64,
    unreadable_bytes: u64,
}

impl Plan {
    fn keep(&mut self, frame: &Frame) {
        self.cut = Some((frame.header.end(), frame.header.next_position()));
        for record in records(&frame.payload, frame.header.recorded_at).flatten() {
            if let Some((key, first, count)) = events(&record)
                && let Some(next) = first.plus(count)
            {
                self.next.insert(key, next);
            }
        }
    }

    fn lose(&mut self, frame: &Frame) {
        for record in records(&frame.payload, frame.header.recorded_at).flatten() {
            let Some((key, first, count)) = events(&record) else {
                self.lost_facts += 1;
                continue;
            };
            self.lost_events += u64::from(count);
            // What stood between the cut and here was in a damaged place.
            let from = self.next.get(&key).copied().unwrap_or(Sequence::ZERO);
            let from = if key.edition.is_main() || self.next.contains_key(&key) {
                from
            } else {
                first
            };
            let last = count.checked_sub(1).and_then(|n| first.plus(n));
            let last = last.unwrap_or(first);
            let lost = self
                .lost
                .entry(key)
                .or_insert(LostEvents { first: from, last });
            lost.last = lost.last.max(last);
        }
    }
}

fn is_sound(frame: &Frame) -> bool {
    !is_commit(frame)
        || records(&frame.payload, frame.header.recorded_at).all(|record| record.is_ok())
}

fn events(record: &Record<'_>) -> Option<(AggregateKey, Sequence, u32)> {
    let (key, first, count) = match record {
        Record::Pages(pages) => (pages.key, pages.first, pages.count),
        Record::Dropped { key, first, count } => (*key, *first, *count),
        _ => return None,
    };
    Some((key.to_key().ok()?, first, count))
}

impl Repair {
    /// Writes what can be kept as a store in another folder, and what is cut off into its folder
    /// `lost`. Durable when it returns; interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing can be kept or the folder is not empty, [`Error::Io`].
    pub fn write(
        &self,
        source: &Path,
        target: &Path,
        progress: impl FnMut(Progress),
    ) -> Result<CutLog> {
        let is_kept = |base: Address| base < self.cut || base == Address::default();
        let mut kept: Vec<_> = self.segments.iter().collect();
        kept.retain(|segment| is_kept(segment.header.base));
        if kept
            .first()
            .is_none_or(|first| first.header.base > Address::default())
        {
            return Err(Error::Refused(
                "the log's first segment is missing or its header is damaged: nothing can be kept; \
                 restore a backup"
                    .to_owned(),
            ));
        }
        check_target(target)?;
        let (partial, lost) = (target.join(PARTIAL), target.join(LOST));
        let action = || Error::io(format!("writing {}", target.display()));
        for folder in [&partial, &lost] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(action())?;
            }
            fs::create_dir_all(folder).map_err(action())?;
        }
        for segment in &kept {
            let from = source.join("log").join(&segment.name);
            copy(&from, &partial.join(&segment.name), 0).map_err(action())?;
        }
        self.put_aside(source, &lost).map_err(action())?;
        let log = cut_log(&partial, CutAt::Address(self.cut), progress)?;
        let place = || -> std::io::Result<()> {
            File::open(&lost)?.sync_all()?;
            File::open(&partial)?.sync_all()?;
            fs::rename(&partial, target.join("log"))?;
            File::open(target)?.sync_all()
        };
        place().map_err(action())?;
        Ok(log)
    }

    /// Copies every file, or part of one, that is not kept.
    fn put_aside(&self, source: &Path, lost: &Path) -> std::io::Result<()> {
        for entry in fs::read_dir(source.join("log"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".tmp") {
                continue;
            }
            let segment = self.segments.iter().find(|segment| segment.name == name);
            let base = segment.map(|segment| segment.header.base);
            let end = self.segments.iter().map(|it| it.header.base);
            let next = end
                .filter(|next| base.is_some_and(|base| *next > base))
                .min();
            match segment {
                // Kept whole.
                Some(_) if next.is_some_and(|next| next <= self.cut) => {}
                Some(segment) if segment.header.base < self.cut && segment.sealed.is_none() => {
                    let offset = segment.offset(self.cut);
                    let part = format!("{name}.from-{offset}");
                    copy(&entry.path(), &lost.join(part), offset)?;
                }
                _ => copy(&entry.path(), &lost.join(name), 0)?,
            }
        }
        Ok(())
    }
}

/// A folder in which an earlier attempt was interrupted may be used again.
fn check_target(target: &Path) -> Result<()> {
    let entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(format!("reading {}", target.display()))(error)),
    };
    let ours = |name: &str| name == PARTIAL || name == LOST;
    let others = entries
        .flatten()
        .any(|entry| !ours(&entry.file_name().to_string_lossy()));
    if others {
        return Err(Error::Refused(format!(
            "{} is not empty: name a folder that is not there yet",
            target.display()
        )));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, offset: u64) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(offset))?;
    let mut target = File::create(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}
