//! Which aggregate gets the next event.

use std::collections::{HashSet, VecDeque};

use clap::ValueEnum;

/// Prime, and so without a common divisor with any number of aggregates that is not its multiple:
/// steps of this size visit each aggregate once.
const STEP: u64 = 2_654_435_761;

/// How the events are spread over the aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// As a store grows: new aggregates come evenly over the whole time, the other events go to
    /// random ones of those there are.
    Growing,
    /// Every aggregate gets its next event before any gets the one after: no cache helps, and
    /// only the first round has new aggregates.
    Rounds,
}

/// The events of a store, always the same ones.
pub(crate) struct Workload {
    order: Order,
    aggregates: u32,
    /// Events for each new aggregate.
    per_aggregate: u32,
    /// No two of so many events in a row are of the same aggregate: they may be under way at once.
    apart: usize,
    next_event: u32,
    known: u32,
    counts: Vec<u16>,
    recent: VecDeque<u32>,
    is_recent: HashSet<u32>,
    dice: u64,
}

impl Workload {
    pub(crate) fn new(order: Order, aggregates: u32, events: u32, apart: usize) -> Self {
        Self {
            order,
            aggregates,
            per_aggregate: (events / aggregates).max(1),
            apart,
            next_event: 0,
            known: 0,
            counts: vec![0; aggregates as usize],
            recent: VecDeque::new(),
            is_recent: HashSet::new(),
            dice: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Events of each aggregate so far.
    pub(crate) fn events_of(&self, aggregate: u32) -> u32 {
        self.counts
            .get(aggregate as usize)
            .copied()
            .map_or(0, u32::from)
    }

    /// Aggregates that have events.
    pub(crate) fn known(&self) -> u32 {
        self.known
    }

    fn growing(&mut self) -> u32 {
        let few = self.known as usize <= 4 * self.apart;
        if self.known < self.aggregates
            && (few || self.next_event.is_multiple_of(self.per_aggregate))
        {
            return self.known;
        }
        let mut aggregate = self.roll();
        while self.is_recent.contains(&aggregate) {
            aggregate = self.roll();
        }
        aggregate
    }

    /// A random one of the known aggregates (xorshift64*, Vigna 2016).
    fn roll(&mut self) -> u32 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        let random = self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let scaled = (random * u64::from(self.known)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    fn in_rounds(&self) -> u32 {
        let (round, at) = (
            self.next_event / self.aggregates,
            self.next_event % self.aggregates,
        );
        let at = (u64::from(at) * STEP + u64::from(round) * 7919) % u64::from(self.aggregates);
        u32::try_from(at).unwrap_or(0)
    }
}

impl Iterator for Workload {
    /// Aggregate and sequence.
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let aggregate = match self.order {
            Order::Growing => self.growing(),
            Order::Rounds => self.in_rounds(),
        };
        self.next_event += 1;
        self.recent.push_back(aggregate);
        self.is_recent.insert(aggregate);
        if self.recent.len() > self.apart
            && let Some(old) = self.recent.pop_front()
        {
            self.is_recent.remove(&old);
        }
        let count = self.counts.get_mut(aggregate as usize)?;
        let sequence = u32::from(*count);
        self.known += u32::from(sequence == 0);
        *count = count.saturating_add(1);
        Some((aggregate, sequence))
    }
}
