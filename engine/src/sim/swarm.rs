//! What kind of life a seed leads: which operations occur and how often, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;

use super::generate::Taste;
use crate::disk::sim::Fault;
use crate::options::{Durability, IndexKind, Options};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Submit,
    Step,
    ReadPart,
    ReadAggregate,
    ReadLog,
    ReadLists,
    Follow,
    Mark,
    EndSegment,
    Seal,
    WriteIndex,
    PrepareSpare,
    Tick,
    SyncLater,
    DieSoon,
    PowerFailure,
    Kill,
    Close,
    ReadAll,
    RebuildIndex,
}

/// Each with its weight when it is on, and whether it may be off.
const ACTS: [(Act, u32, bool); 20] = [
    (Act::Submit, 300, false),
    (Act::Step, 150, false),
    (Act::ReadPart, 60, true),
    (Act::ReadAggregate, 40, true),
    (Act::ReadLog, 10, true),
    (Act::ReadLists, 5, true),
    (Act::Follow, 20, true),
    (Act::Mark, 20, true),
    (Act::EndSegment, 8, true),
    (Act::Seal, 12, true),
    (Act::WriteIndex, 20, true),
    (Act::PrepareSpare, 15, true),
    (Act::Tick, 60, true),
    (Act::SyncLater, 10, true),
    (Act::DieSoon, 6, true),
    (Act::PowerFailure, 3, true),
    (Act::Kill, 2, true),
    (Act::Close, 1, true),
    (Act::ReadAll, 2, true),
    (Act::RebuildIndex, 2, true),
];

/// The ways of one seed.
#[derive(Debug, Clone)]
pub(super) struct Swarm {
    pub(super) acts: Vec<(Act, u32)>,
    pub(super) taste: Taste,
    pub(super) options: Options,
    /// Whether the index has files.
    pub(super) has_base: bool,
    /// Whether these files are sometimes found older than they were, or gone.
    pub(super) base_goes_back: bool,
    pub(super) clock_goes_back: bool,
    pub(super) rates: BTreeMap<Fault, u32>,
    pub(super) capacity: u64,
    /// Whether stored bytes are damaged at the end.
    pub(super) rots: bool,
    pub(super) steps: u32,
    /// The step of the disk at which the machine dies, if that is not left to chance.
    pub(super) dies_at: Option<u64>,
}

impl Swarm {
    pub(super) fn of(random: &mut SmallRng) -> Self {
        let mut acts = Vec::new();
        for (act, weight, optional) in ACTS {
            if !optional || random.random_bool(0.7) {
                let factor = [1, 1, 2, 5][random.random_range(0..4)];
                acts.push((act, weight * factor));
            }
        }
        let durability = match random.random_range(0..8) {
            0 => Durability::Os,
            1 => Durability::Interval(Duration::from_millis(5)),
            _ => Durability::Fsync,
        };
        let mut rates = BTreeMap::new();
        if random.random_bool(0.5) {
            for fault in Fault::ALL {
                if random.random_bool(0.4) {
                    rates.insert(fault, [30, 100, 400][random.random_range(0..3)]);
                }
            }
        }
        let segment_bytes = [1 << 10, 4 << 10, 16 << 10, 64 << 10][random.random_range(0..4)];
        let full = random.random_bool(0.1);
        Self {
            acts,
            taste: taste(random),
            options: Options {
                durability,
                segment_bytes,
                index: IndexKind::Memory,
                index_buffer_bytes: [200, 2000, 100_000][random.random_range(0..3)],
                cache_bytes: [0, 8 << 10, 1 << 20][random.random_range(0..3)],
                ..Options::default()
            },
            has_base: random.random_bool(0.6),
            base_goes_back: random.random_bool(0.3),
            clock_goes_back: random.random_bool(0.2),
            rates,
            capacity: if full {
                segment_bytes * random.random_range(2..12)
            } else {
                u64::MAX
            },
            rots: random.random_bool(0.3),
            steps: random.random_range(100..900),
            dies_at: None,
        }
    }

    /// Leaves one end to come, at a step of the disk.
    pub(super) fn shorten(&mut self, step: u64) {
        let ends = [Act::DieSoon, Act::PowerFailure, Act::Kill, Act::Close];
        self.acts.retain(|(act, _)| !ends.contains(act));
        self.options.durability = Durability::Fsync;
        self.options.segment_bytes = 1 << 10;
        self.rates.clear();
        self.capacity = u64::MAX;
        self.rots = false;
        self.steps = 60;
        self.dies_at = Some(step);
    }
}

fn taste(random: &mut SmallRng) -> Taste {
    let plain = Taste::default();
    let mut one_in = |n: u32| match random.random_range(0..4) {
        0 => 0,
        1 => n * 3,
        _ => n,
    };
    let (stale, claim, cascade) = (one_in(10), one_in(4), one_in(4));
    let (snapshot, divergence) = (one_in(4), one_in(6));
    let kinds = plain
        .kinds
        .map(|weight| [0, weight, weight, weight * 4][random.random_range(0..4)]);
    Taste {
        kinds: if kinds.iter().all(|weight| *weight == 0) {
            plain.kinds
        } else {
            kinds
        },
        writes_max: random.random_range(1..5),
        body_max: [8, 60, 300, 300, 5000][random.random_range(0..5)],
        stale,
        claim,
        cascade,
        snapshot,
        divergence,
    }
}
