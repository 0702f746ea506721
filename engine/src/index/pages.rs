//! Where the events of an aggregate stand.

use std::sync::PoisonError;

use super::keys::{self, Location};
use super::layer::Page;
use super::{AggregateId, Base, Direction, Entry, Family, Index, Range, damaged};
use crate::error::Result;
use crate::types::Sequence;

/// Events `from..to` of an aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) id: AggregateId,
    pub(crate) from: Sequence,
    pub(crate) to: Sequence,
}

impl Index {
    /// Where the events of a stretch stand, which must exist: the first `limit` places, or the last
    /// ones with the last first. Events before the stretch may stand at the first place, too.
    ///
    /// What one commit has appended follows what the one before it has. So the files have to be asked
    /// only for what comes before everything in memory.
    pub(crate) fn pages(
        &self,
        stretch: Stretch,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Page>> {
        let (mut recent, begin) = self.recent_pages(stretch, direction, limit);
        let Some(base) = self.base.as_ref().filter(|_| stretch.from < begin) else {
            return Ok(recent);
        };
        let older = Stretch {
            to: begin,
            ..stretch
        };
        match direction {
            Direction::Forwards => {
                let mut found = older_pages(&**base, older, direction, limit)?;
                recent.truncate(limit - found.len());
                found.extend(recent);
                Ok(found)
            }
            Direction::Backwards if recent.len() == limit => Ok(recent),
            Direction::Backwards => {
                let limit = limit - recent.len();
                recent.extend(older_pages(&**base, older, direction, limit)?);
                Ok(recent)
            }
        }
    }

    /// Those that stand in layers, and the sequence from which on all do.
    fn recent_pages(
        &self,
        stretch: Stretch,
        direction: Direction,
        limit: usize,
    ) -> (Vec<Page>, Sequence) {
        let Stretch { id, from, to } = stretch;
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        let frozen = layers.frozen.as_ref();
        let older = frozen.map_or(&[][..], |frozen| frozen.pages(id));
        let newer = layers.active.pages(id);
        let begin = older.first().or(newer.first()).map_or(to, |page| page.0);
        let wanted = |pages: &[Page]| {
            let after = pages.partition_point(|page| end(page) <= from);
            let until = pages.partition_point(|(first, _)| *first < to);
            after..until.max(after)
        };
        let pages = [older, newer].into_iter();
        let pages = pages.flat_map(|pages| pages.get(wanted(pages)).unwrap_or_default());
        let pages = match direction {
            Direction::Forwards => pages.take(limit).copied().collect(),
            Direction::Backwards => pages.rev().take(limit).copied().collect(),
        };
        (pages, begin.min(to))
    }
}

fn end((first, location): &Page) -> Sequence {
    first
        .plus(location.count)
        .unwrap_or(Sequence::new(u32::MAX))
}

/// Those that stand in files.
fn older_pages(
    base: &dyn Base,
    Stretch { id, from, to }: Stretch,
    direction: Direction,
    limit: usize,
) -> Result<Vec<Page>> {
    let mut range = Range::of(Family::Pages, id, from, to);
    // The place of `from` may begin before it.
    let holder = Range {
        family: Family::Pages,
        from: id.at(Sequence::ZERO).to_vec(),
        to: from.plus(1).map(|next| id.at(next).to_vec()),
    };
    let holder = || base.scan(&holder, Direction::Backwards, 1);
    let entries = match direction {
        Direction::Forwards => {
            let mut entries = base.scan(&range, direction, limit)?;
            if entries.first().is_none_or(|(key, _)| *key != range.from) {
                entries.splice(..0, holder()?);
                entries.truncate(limit);
            }
            entries
        }
        Direction::Backwards => {
            if let Some((key, _)) = holder()?.into_iter().next() {
                range.from = key;
            }
            base.scan(&range, direction, limit)?
        }
    };
    let page = |(key, value): &Entry| Ok((keys::sequence_of(key)?, Location::decode(value)?));
    let pages: Result<Vec<_>, _> = entries.iter().map(page).collect();
    pages.map_err(damaged)
}

#[cfg(test)]
mod tests;
