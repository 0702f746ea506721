//! What goes wrong with the simulated disk, and when the machine dies.

use std::collections::BTreeMap;
use std::io;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A way for one operation to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    List,
    Open,
    Create,
    Rename,
    Remove,
    SyncFolder,
    Read,
    Write,
    Sync,
    /// The system returns fewer bytes than there are, or was interrupted.
    ShortRead,
    /// Of the index, not of the log.
    Index,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::List,
        Self::Open,
        Self::Create,
        Self::Rename,
        Self::Remove,
        Self::SyncFolder,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::ShortRead,
        Self::Index,
    ];
}

/// What goes wrong, decided by chance from a seed.
#[derive(Debug)]
pub(crate) struct Faults {
    random: SmallRng,
    /// One in so many operations fails in this way.
    rates: BTreeMap<Fault, u32>,
    /// Whether `rates` counts at the moment.
    on: bool,
    /// Bytes of all files together.
    capacity: u64,
    steps: u64,
    /// The step at which the machine dies.
    dies_at: Option<u64>,
    lately: bool,
    trace: Option<Vec<String>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            random: SmallRng::seed_from_u64(0),
            rates: BTreeMap::new(),
            on: false,
            capacity: u64::MAX,
            steps: 0,
            dies_at: None,
            lately: false,
            trace: None,
        }
    }
}

impl Faults {
    pub(crate) fn new(seed: u64, rates: BTreeMap<Fault, u32>, capacity: u64, trace: bool) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            rates,
            capacity,
            trace: trace.then(Vec::new),
            ..Self::default()
        }
    }

    /// One kind of operation fails whenever it is tried.
    pub(crate) fn always(fault: Fault, seed: u64) -> Self {
        let mut faults = Self::new(seed, BTreeMap::from([(fault, 1)]), u64::MAX, false);
        faults.switch(true);
        faults
    }

    /// Lets the rates count, or not.
    pub(crate) fn switch(&mut self, on: bool) {
        self.on = on;
        self.lately &= !on;
    }

    /// Whether anything failed since the rates were last made to count.
    pub(crate) fn happened_lately(&self) -> bool {
        self.lately
    }

    /// Has the machine die at a step that is still to come; `None` keeps it alive.
    pub(crate) fn die_in(&mut self, steps: Option<u64>) {
        self.dies_at = steps.map(|n| self.steps + 1 + n);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|at| self.steps >= at)
    }

    pub(crate) fn died_now(&self) -> bool {
        self.dies_at == Some(self.steps)
    }

    /// The steps since the last call, if they are noted.
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// One more operation, unless the machine is dead.
    pub(super) fn step(&mut self, name: impl FnOnce() -> String) -> io::Result<()> {
        if self.is_dead() {
            self.steps += 1;
            return Err(dead());
        }
        self.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(name());
        }
        if self.is_dead() { Err(dead()) } else { Ok(()) }
    }

    pub(super) fn roll(&mut self, fault: Fault) -> io::Result<()> {
        if self.hits(fault) {
            return Err(io::Error::other(format!("simulated {fault:?} failure")));
        }
        Ok(())
    }

    pub(crate) fn hits(&mut self, fault: Fault) -> bool {
        if !self.on {
            return false;
        }
        let hit = self
            .rates
            .get(&fault)
            .is_some_and(|rate| self.random.random_ratio(1, *rate));
        if hit {
            self.lately |= fault != Fault::ShortRead;
            if let Some(trace) = &mut self.trace {
                trace.push(format!("  fails: {fault:?}"));
            }
        }
        hit
    }

    pub(super) fn interrupt(&mut self) -> io::Result<()> {
        if self.hits(Fault::ShortRead) && self.coin() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    pub(super) fn shorten(&mut self, whole: usize) -> usize {
        if whole > 1 && self.hits(Fault::ShortRead) {
            return self.random.random_range(1..whole);
        }
        whole
    }

    pub(super) fn room(&mut self, used: u64, growth: u64) -> io::Result<()> {
        if self.on && growth > 0 && used + growth > self.capacity {
            self.lately = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// How much of so many bytes was written.
    pub(super) fn part(&mut self, bytes: usize) -> usize {
        self.random.random_range(0..=bytes)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.random.random_bool(0.5)
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated machine is off")
}
