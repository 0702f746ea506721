//! Which aggregates were written to lately.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;

use crate::limits;
use crate::types::AggregateKey;

/// Fingerprints of aggregates, each in one place, the last one that came there. Shared by the
/// writer, who notes what it writes to, and submitters, who need not read from the index what the
/// writer knows. No more than a guess: the writer reads what it turns out not to know.
pub(crate) struct Recent(Box<[AtomicU32]>);

impl Default for Recent {
    fn default() -> Self {
        Self(
            (0..limits::RECENT_AGGREGATES)
                .map(|_| AtomicU32::new(0))
                .collect(),
        )
    }
}

impl Recent {
    pub(crate) fn note(&self, key: &AggregateKey) {
        let (place, fingerprint) = self.place(key);
        if let Some(place) = place {
            place.store(fingerprint, Ordering::Relaxed);
        }
    }

    pub(crate) fn holds(&self, key: &AggregateKey) -> bool {
        let (place, fingerprint) = self.place(key);
        place.is_some_and(|place| place.load(Ordering::Relaxed) == fingerprint)
    }

    /// One half of the hash says where, the other what; 0 is for nothing.
    fn place(&self, key: &AggregateKey) -> (Option<&AtomicU32>, u32) {
        let hash = FixedState::default().hash_one(key);
        let [a, b, c, d, what @ ..] = hash.to_le_bytes();
        let place = u32::from_le_bytes([a, b, c, d]) as usize % self.0.len().max(1);
        (self.0.get(place), u32::from_le_bytes(what) | 1)
    }
}
