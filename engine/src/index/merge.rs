//! One order from several sources.

use std::collections::BTreeMap;

use super::layer::Change;
use super::{Direction, Entry};

/// Entries of several sources, the newest source first.
pub(crate) struct Merge {
    step: usize,
    sources: Vec<Vec<Change>>,
}

impl Merge {
    pub(crate) fn new(step: usize) -> Self {
        Self {
            step,
            sources: Vec::with_capacity(3),
        }
    }

    pub(crate) fn add(&mut self, source: Vec<Change>) {
        if !source.is_empty() {
            self.sources.push(source);
        }
    }

    /// Appends what is left of the sources when removals have been applied, as far as all of them
    /// reach. Returns that place if any source may go on behind it.
    pub(crate) fn take(self, direction: Direction, found: &mut Vec<Entry>) -> Option<Vec<u8>> {
        let bound = self
            .sources
            .iter()
            .filter(|source| source.len() >= self.step)
            .filter_map(|source| source.last().map(|(key, _)| key))
            .reduce(|a, b| match direction {
                Direction::Forwards => a.min(b),
                Direction::Backwards => a.max(b),
            })
            .cloned();
        let within = |key: &[u8]| match (&bound, direction) {
            (None, _) => true,
            (Some(bound), Direction::Forwards) => key <= bound.as_slice(),
            (Some(bound), Direction::Backwards) => key >= bound.as_slice(),
        };
        let live = |(key, value): Change| value.map(|value| (key, value));
        if self.sources.len() <= 1 {
            let only = self
                .sources
                .into_iter()
                .flatten()
                .filter(|(key, _)| within(key));
            found.extend(only.filter_map(live));
            return bound;
        }
        let mut merged = BTreeMap::new();
        for source in self.sources.into_iter().rev() {
            merged.extend(source.into_iter().filter(|(key, _)| within(key)));
        }
        match direction {
            Direction::Forwards => found.extend(merged.into_iter().filter_map(live)),
            Direction::Backwards => found.extend(merged.into_iter().rev().filter_map(live)),
        }
        bound
    }
}
