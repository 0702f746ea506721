//! Compares two indexes.

use super::world::Outcome;
use crate::error::Result;
use crate::index::{AggregateId, Direction, Entry, Family, Index, Range};

/// Whether an index has what one built anew has.
///
/// Rewritten segments leave out what deleted branches held, and then a new index numbers its
/// timelines in another way and lacks what nobody can reach: then only what can be reached is
/// compared, under the names it has.
pub(super) fn same_index(found: &Index, wanted: &Index, sealed: bool) -> Result<Outcome> {
    for family in Family::ALL {
        let mut sides = [Vec::new(), Vec::new()];
        for (side, index) in sides.iter_mut().zip([found, wanted]) {
            let all = Range::prefix(family, &[]);
            *side = index.scan(&all, Direction::Forwards, usize::MAX)?;
            if sealed {
                *side = by_name(index, family, std::mem::take(side));
            }
        }
        let [found, wanted] = sides;
        if found != wanted {
            let differs = found.iter().find(|entry| !wanted.contains(entry));
            let missing = wanted.iter().find(|entry| !found.contains(entry));
            return Ok(Err(format!(
                "{family:?} of the index is not what a rebuilt one has: too much {differs:?}, \
                 missing {missing:?}"
            )));
        }
    }
    Ok(Ok(()))
}

fn by_name(index: &Index, family: Family, entries: Vec<Entry>) -> Vec<Entry> {
    match family {
        // What the lists show is compared with the model.
        Family::Timelines | Family::Cascades | Family::Correlations => Vec::new(),
        Family::Heads | Family::Pages | Family::Snapshots | Family::Marks | Family::Claims => {
            let registry = index.registry();
            let renamed = entries.into_iter().filter_map(|(key, value)| {
                let id = AggregateId::parse(&key).unwrap();
                let (edition, domain) = registry.name(id.timeline)?;
                let mut name = format!("{edition}/{domain}/").into_bytes();
                name.extend_from_slice(&key[4..]);
                Some((name, value))
            });
            let mut renamed: Vec<_> = renamed.collect();
            renamed.sort();
            renamed
        }
        Family::Meta | Family::Checkpoints | Family::Positions => entries,
    }
}
