//! Compares an index with one built anew from the log, entry by entry, both ways.
//!
//! Timelines may have other numbers in the two: keys are translated by the timelines' names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::rebuild::replay;
use super::{Damage, IndexCheck, Progress};
use crate::error::{Error, Result};
use crate::index::keys::{self, AggregateId, TimelineId};
use crate::index::rocks::Rocks;
use crate::index::{Family, Index, Range};
use crate::log::codec::BadRecord;
use crate::log::{Log, Segment};
use crate::types::Address;

const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Compares the index in a folder with its sound log, which ends at `end`.
pub(super) fn compare_index(
    folder: &Path,
    segments: &[Arc<Segment>],
    end: Address,
    found: &mut dyn FnMut(Damage),
    progress: &mut dyn FnMut(Progress),
) -> Result<IndexCheck> {
    let damaged = |problem: String, address| Damage {
        file: "index".to_owned(),
        offset: 0,
        address,
        until: address,
        problem,
    };
    let opened = Rocks::open_read_only(&folder.join("index"), CACHE_BYTES).and_then(|base| {
        let current = base.is_current()?;
        let index = Index::new(Some(Box::new(base)))?;
        Ok((current, index.applied()?, index))
    });
    let (applied, stored) = match opened {
        Ok((true, applied, index)) => (applied, index),
        Ok((false, ..)) => {
            return Ok(IndexCheck::Skipped(
                "it is of another version; opening the store builds it anew",
            ));
        }
        Err(error) => {
            found(damaged(error.to_string(), Address::default()));
            return Ok(IndexCheck::Skipped("the index cannot be read"));
        }
    };
    let applied = applied.map_or(Address::default(), |resume| resume.end.address);
    if applied > end {
        let problem = format!(
            "the index has applied the log up to address {applied}, and the log ends at {end}"
        );
        found(damaged(problem, end));
        return Ok(IndexCheck::Skipped("the index is ahead of the log"));
    }
    let scratch = Scratch::new()?;
    let base = Rocks::open(&scratch.0, CACHE_BYTES, CACHE_BYTES)?;
    let rebuilt = Index::new(Some(Box::new(base)))?;
    // What the files lag behind is little, and is applied in memory, as opening the store does. It
    // must be: rewriting leaves out of the log what later records have superseded.
    let log = Arc::new(Log::new(segments.to_vec(), crate::options::CACHE_BYTES));
    replay(&log, &stored, end, false, progress)?;
    replay(&log, &rebuilt, end, true, progress)?;
    let names = Names::new(&stored, &rebuilt);
    let mut entries = 0;
    for family in Family::ALL {
        let problem = |key: &[u8], what: &str| {
            damaged(
                format!(
                    "family {family:?}: {} {what}",
                    describe(&stored, family, key)
                ),
                applied,
            )
        };
        entries += names.there(family, &mut |key, difference| match difference {
            Difference::Missing => found(problem(key, "is not called for by the log")),
            Difference::Other => found(problem(key, "is not what the log says")),
            Difference::Unreadable(error) => found(problem(key, &error)),
        })?;
        names.back(family, &mut |key| {
            let what = format!("{} is missing", describe(&rebuilt, family, key));
            found(damaged(format!("family {family:?}: {what}"), applied));
        })?;
    }
    Ok(IndexCheck::Checked { entries, applied })
}

/// A folder for an index that is thrown away.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!(
            "angzarr-verify-{}-{:016x}",
            std::process::id(),
            rand::random::<u64>()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(Error::io(format!("creating {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a scratch folder was left behind");
        }
    }
}

/// How an entry differs from what the log calls for.
enum Difference {
    Missing,
    Other,
    Unreadable(String),
}

/// Two indexes, and which timeline of one is which of the other.
struct Names<'a> {
    stored: &'a Index,
    rebuilt: &'a Index,
    to_rebuilt: BTreeMap<TimelineId, TimelineId>,
    to_stored: BTreeMap<TimelineId, TimelineId>,
}

impl<'a> Names<'a> {
    fn new(stored: &'a Index, rebuilt: &'a Index) -> Self {
        let mut names = Self {
            stored,
            rebuilt,
            to_rebuilt: BTreeMap::new(),
            to_stored: BTreeMap::new(),
        };
        let registry = rebuilt.registry();
        for (edition, domain, timeline) in stored.registry().iter() {
            if let Some(other) = registry.get(edition, domain) {
                names.to_rebuilt.insert(timeline.id, other.id);
                names.to_stored.insert(other.id, timeline.id);
            }
        }
        names
    }

    /// Looks each stored entry up in the rebuilt index; returns how many there are.
    fn there(&self, family: Family, differs: &mut dyn FnMut(&[u8], Difference)) -> Result<u64> {
        let mut entries = 0;
        let visited = each(self.stored, family, &mut |key, value| {
            entries += 1;
            if family == Family::Timelines {
                return self.timeline(key, value, differs);
            }
            let (Ok(Some(wanted_key)), Ok(Some(wanted))) = (
                translate_key(family, key, &self.to_rebuilt),
                translate_value(family, key, value, &self.to_rebuilt),
            ) else {
                return Ok(());
            };
            match self.rebuilt.get(family, &wanted_key)? {
                None => differs(key, Difference::Missing),
                Some(other) if other != wanted => differs(key, Difference::Other),
                Some(_) => {}
            }
            Ok(())
        });
        match visited {
            // The files themselves are damaged.
            Err(error @ (Error::Io { .. } | Error::Corrupt { .. })) => {
                differs(&[], Difference::Unreadable(error.to_string()));
            }
            visited => visited?,
        }
        Ok(entries)
    }

    fn timeline(
        &self,
        key: &[u8],
        value: &[u8],
        differs: &mut dyn FnMut(&[u8], Difference),
    ) -> Result<()> {
        let Ok(timeline) = keys::Timeline::decode(value) else {
            differs(key, Difference::Other);
            return Ok(());
        };
        let other = self.rebuilt.get(Family::Timelines, key)?;
        let other = other.and_then(|value| keys::Timeline::decode(&value).ok());
        match other {
            // Nobody can read what is deleted, and rewriting the log leaves it out.
            None if timeline.deleted => {}
            None => differs(key, Difference::Missing),
            Some(other) if timeline.deleted && other.deleted => {}
            Some(other)
                if (keys::Timeline {
                    id: timeline.id,
                    ..other
                }) == timeline => {}
            Some(_) => differs(key, Difference::Other),
        }
        Ok(())
    }

    /// Looks each rebuilt entry up in the stored index.
    fn back(&self, family: Family, missing: &mut dyn FnMut(&[u8])) -> Result<()> {
        each(self.rebuilt, family, &mut |key, value| {
            if family == Family::Timelines
                && keys::Timeline::decode(value).is_ok_and(|timeline| timeline.deleted)
            {
                return Ok(());
            }
            let Ok(Some(wanted)) = translate_key(family, key, &self.to_stored) else {
                return Ok(());
            };
            // An entry that cannot be read has been told of already.
            if let Ok(None) = self.stored.get(family, &wanted) {
                missing(key);
            }
            Ok(())
        })
    }
}

/// Takes a key and its value.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Visits every entry of a family.
fn each(index: &Index, family: Family, visit: &mut Visit<'_>) -> Result<()> {
    let mut failed = Ok(());
    index.for_each(&Range::prefix(family, &[]), |key, value| {
        if failed.is_ok() {
            failed = visit(key, value);
        }
        Ok(())
    })?;
    failed
}

/// The key with the other index's timeline number; `None` for one that nobody can reach.
fn translate_key(
    family: Family,
    key: &[u8],
    names: &BTreeMap<TimelineId, TimelineId>,
) -> Result<Option<Vec<u8>>, BadRecord> {
    let at = match (family, key.first()) {
        (Family::Heads | Family::Pages | Family::Snapshots | Family::Marks | Family::Claims, _) => {
            0
        }
        (Family::Cascades, Some(2)) => id_at(key, AggregateId::LEN + 4)?,
        (Family::Correlations, Some(1)) => id_at(key, AggregateId::LEN)?,
        _ => return Ok(Some(key.to_vec())),
    };
    renumber(key, at, names)
}

/// The value with the other index's timeline number.
fn translate_value(
    family: Family,
    key: &[u8],
    value: &[u8],
    names: &BTreeMap<TimelineId, TimelineId>,
) -> Result<Option<Vec<u8>>, BadRecord> {
    match (family, key.first()) {
        (Family::Correlations, Some(2)) => renumber(value, 0, names),
        _ => Ok(Some(value.to_vec())),
    }
}

fn id_at(key: &[u8], from_end: usize) -> Result<usize, BadRecord> {
    key.len()
        .checked_sub(from_end)
        .ok_or(BadRecord("a key is too short"))
}

fn renumber(
    bytes: &[u8],
    at: usize,
    names: &BTreeMap<TimelineId, TimelineId>,
) -> Result<Option<Vec<u8>>, BadRecord> {
    let mut out = bytes.to_vec();
    let number = out
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
        .ok_or(BadRecord("a key is too short"))?;
    match names.get(&u32::from_be_bytes(*number)) {
        Some(other) => *number = other.to_be_bytes(),
        None => return Ok(None),
    }
    Ok(Some(out))
}

/// The key as far as it names an aggregate, else its bytes.
fn describe(index: &Index, family: Family, key: &[u8]) -> String {
    let bytes = || key.iter().map(|byte| format!("{byte:02x}")).collect();
    let named = matches!(
        family,
        Family::Heads | Family::Pages | Family::Snapshots | Family::Marks | Family::Claims
    );
    let id = AggregateId::parse(key).ok().filter(|_| named);
    let Some((id, (edition, domain))) =
        id.and_then(|id| Some((id, index.registry().name(id.timeline)?)))
    else {
        return bytes();
    };
    let sequence = match family {
        Family::Pages | Family::Snapshots | Family::Marks => {
            keys::sequence_of(key).map_or(String::new(), |it| format!(" sequence {it}"))
        }
        _ => String::new(),
    };
    format!("{domain}/{edition}/{}{sequence}", id.root)
}
