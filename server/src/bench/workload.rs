//! Aggregates and payloads that can be computed again.

use std::sync::atomic::{AtomicU32, Ordering};

/// What the clients append: which aggregates, and which bytes at each sequence.
///
/// Everything follows from the seed, so that whatever was acknowledged can be read back and
/// compared byte for byte without having been kept.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Domain of every aggregate.
    pub domain: String,
    /// Aggregates, at least one.
    pub aggregates: u32,
    /// Bytes of each event's payload.
    pub payload_bytes: u32,
    /// Where roots and payloads come from.
    pub seed: u64,
}

impl Workload {
    /// A workload nobody ran before: its domain and roots are those of a random seed.
    #[must_use]
    pub fn fresh(aggregates: u32, payload_bytes: u32) -> Self {
        let seed = rand::random::<u64>();
        Self {
            domain: format!("bench-{seed:016x}"),
            aggregates,
            payload_bytes,
            seed,
        }
    }

    /// The 16 bytes that identify an aggregate.
    #[must_use]
    pub fn root(&self, aggregate: u32) -> [u8; 16] {
        let mut random = Random::new(self.seed ^ (u64::from(aggregate) << 32));
        let (high, low) = (u128::from(random.next()), u128::from(random.next()));
        ((high << 64) | low).to_be_bytes()
    }

    /// The payload of one event.
    #[must_use]
    pub fn payload(&self, aggregate: u32, sequence: u32) -> Vec<u8> {
        let place = (u64::from(aggregate) << 32) | u64::from(sequence);
        let mut random = Random::new(self.seed.rotate_left(17) ^ place);
        let bytes = self.payload_bytes as usize;
        let mut payload = Vec::with_capacity(bytes + 8);
        while payload.len() < bytes {
            payload.extend_from_slice(&random.next().to_le_bytes());
        }
        payload.truncate(bytes);
        payload
    }
}

/// The next sequence of each aggregate, as far as this process knows.
#[derive(Debug)]
pub struct Heads(Vec<AtomicU32>);

/// An append to this aggregate had an unknown outcome: nobody can say its next sequence.
const RETIRED: u32 = u32::MAX;

impl Heads {
    /// Every aggregate without events.
    #[must_use]
    pub fn new(aggregates: u32) -> Self {
        Self((0..aggregates).map(|_| AtomicU32::new(0)).collect())
    }

    /// Every aggregate with `events` events.
    #[must_use]
    pub fn full(aggregates: u32, events: u32) -> Self {
        Self((0..aggregates).map(|_| AtomicU32::new(events)).collect())
    }

    /// The same, to go on from without changing these.
    pub(crate) fn copied(&self) -> Self {
        let copy = |head: &AtomicU32| AtomicU32::new(head.load(Ordering::Relaxed));
        Self(self.0.iter().map(copy).collect())
    }

    /// The sequence to expect; none once the aggregate is retired.
    #[must_use]
    pub fn next(&self, aggregate: u32) -> Option<u32> {
        let next = self.0.get(aggregate as usize)?.load(Ordering::Relaxed);
        (next != RETIRED).then_some(next)
    }

    /// The aggregate holds everything below `next`.
    pub(crate) fn acknowledge(&self, aggregate: u32, next: u32) {
        if let Some(head) = self.0.get(aggregate as usize) {
            head.fetch_max(next, Ordering::Relaxed);
        }
    }

    /// Leaves the aggregate alone from now on.
    pub(crate) fn retire(&self, aggregate: u32) {
        self.acknowledge(aggregate, RETIRED);
    }
}

/// SplitMix64: a few nanoseconds a number, so that the generator does not measure itself.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `range`, which is not empty.
    pub(crate) fn within(&mut self, range: &std::ops::Range<u32>) -> u32 {
        let width = u64::from(range.end - range.start);
        // The upper half of a 32 x 32 bit product is below `width`, hence below 2^32.
        let offset = ((self.next() >> 32) * width) >> 32;
        range.start + u32::try_from(offset).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
