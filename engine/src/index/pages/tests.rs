#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::index::apply;
use crate::index::keys::{Head, Place};
use crate::index::tests::MapBase;
use crate::types::{Address, Root};

proptest! {
    /// Whatever of it is in files, being written to them or in memory, and however it is asked for.
    #[test]
    fn every_stretch_of_an_aggregate_is_found(
        commits in prop::collection::vec(prop_oneof![
            8 => (0usize..2, 1u32..4).prop_map(Some),
            1 => Just(None),
        ], 1..40),
        being_written: bool,
        stretches in prop::collection::vec((0u32..60, 1u32..60, 1usize..12, any::<bool>()), 20),
    ) {
        let index = Index::new(Some(Box::new(Arc::new(MapBase::default())))).unwrap();
        let ids = [1, 2].map(|timeline| AggregateId { timeline, root: Root::new([0; 16]) });
        let mut model: [Vec<Page>; 2] = Default::default();
        for (number, commit) in commits.iter().enumerate() {
            let Some((n, count)) = *commit else {
                index.write_out().unwrap();
                continue;
            };
            let first = model[n].last().map_or(Sequence::ZERO, end);
            let place = Place { sequence: first, frame: Address::new(number as u64) };
            let head = Head::appended(None, place, first.plus(count).unwrap(), false);
            let mut changes = apply::Changes::default();
            changes.layer.append(ids[n], head);
            index.publish(changes);
            model[n].push((first, head.last_location()));
            if being_written && number == commits.len() / 2 {
                index.freeze();
            }
        }
        for (n, (from, len, limit, forwards)) in (0..2).cycle().zip(stretches) {
            let next = model[n].last().map_or(0, |page| end(page).get());
            let (from, to) = (from.min(next), from.saturating_add(len).min(next));
            if from >= to {
                continue;
            }
            let (from, to) = (Sequence::new(from), Sequence::new(to));
            let overlaps = |page: &&Page| end(page) > from && page.0 < to;
            let mut wanted: Vec<Page> = model[n].iter().filter(overlaps).copied().collect();
            let direction = if forwards {
                Direction::Forwards
            } else {
                wanted.reverse();
                Direction::Backwards
            };
            wanted.truncate(limit);
            let found = index.pages(Stretch { id: ids[n], from, to }, direction, limit).unwrap();
            prop_assert_eq!(found, wanted, "{}..{} {:?} of {}", from, to, direction, limit);
        }
    }
}
