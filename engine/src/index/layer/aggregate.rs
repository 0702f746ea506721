//! One aggregate in a layer.

use smallvec::SmallVec;

use super::Change;
use crate::index::keys::{Head, Location};
use crate::index::{AggregateId, Range};
use crate::types::Sequence;

/// What a layer says of one aggregate.
#[derive(Debug, Default)]
pub(super) struct AggregateChanges {
    pub(super) head: Option<Head>,
    /// Where events stand, by the first of those that were committed together, in that order.
    pages: SmallVec<[Page; 1]>,
}

/// The first of events that were committed together, and their place.
pub(in crate::index) type Page = (Sequence, Location);

impl AggregateChanges {
    /// Notes where events stand. Returns whether that was not known.
    pub(super) fn add(&mut self, first: Sequence, location: Location) -> bool {
        // Nearly always behind all others.
        let place = self
            .pages
            .iter()
            .rposition(|(earlier, _)| *earlier <= first);
        match place.and_then(|place| self.pages.get_mut(place)) {
            Some(page) if page.0 == first => {
                page.1 = location;
                false
            }
            _ => {
                let place = place.map_or(0, |place| place + 1);
                self.pages.insert(place, (first, location));
                true
            }
        }
    }

    pub(super) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Its pages within a range, as changes of the index.
    pub(super) fn within(
        &self,
        id: AggregateId,
        range: &Range,
    ) -> impl DoubleEndedIterator<Item = Change> + use<'_> {
        let from = self
            .pages
            .partition_point(|(first, _)| id.at(*first).as_slice() < range.from.as_slice());
        let to = range.to.as_ref().map_or(self.pages.len(), |to| {
            self.pages
                .partition_point(|(first, _)| id.at(*first).as_slice() < to.as_slice())
        });
        self.pages
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .map(move |(first, location)| (id.at(*first).to_vec(), Some(location.encode())))
    }
}
