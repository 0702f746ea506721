//! A machine with a disk, an engine on it, and the model of what the engine should hold.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::base::SimBase;
use super::decide::contradicts_itself;
use super::generate::{Choose, Generator};
use super::model::{Decision, Model};
use super::swarm::{Act, Swarm};
use super::trace::{Trace, note};
use crate::clock::{Clock, ManualClock};
use crate::core::Core;
use crate::disk::sim::{Faults, SimDisk};
use crate::engine::still::Still;
use crate::error::Error;
use crate::event::Commit;
use crate::options::Durability;
use crate::sequencer::Hints;
use crate::types::Timestamp;

/// Why a seed fails.
pub(super) type Outcome<T = ()> = Result<T, String>;

/// What has happened in a life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) operations: u64,
    pub(super) commits: u64,
    pub(super) crashes: u64,
    /// Crashes in the middle of something.
    pub(super) deaths: u64,
    pub(super) faults: u64,
    pub(super) damages: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.deaths += other.deaths;
        self.faults += other.faults;
        self.damages += other.damages;
    }
}

/// A commit that is not known to be durable.
pub(super) struct InFlight {
    pub(super) commit: Commit,
    pub(super) decision: Decision,
    pub(super) time: Timestamp,
}

pub(super) struct World {
    pub(super) random: SmallRng,
    pub(super) swarm: Swarm,
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: SimDisk,
    pub(super) base: Option<SimBase>,
    pub(super) still: Option<Still>,
    /// What no power failure may take away.
    pub(super) durable: Model,
    /// What readers see.
    pub(super) ahead: Model,
    /// What `ahead` has and `durable` has not, and behind it what was never answered.
    pub(super) inflight: Vec<InFlight>,
    /// How many of them readers see.
    pub(super) published: usize,
    /// Time of the log's last frame.
    pub(super) last_time: Timestamp,
    pub(super) queue: VecDeque<(Commit, Hints, usize)>,
    pub(super) generator: Generator,
    pub(super) follower: Option<super::follow::Follower>,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
}

impl Choose for SmallRng {
    fn below(&mut self, n: u32) -> u32 {
        if n == 0 { 0 } else { self.random_range(0..n) }
    }
}

/// Leads the life of a seed.
pub(super) fn live(seed: u64, trace: Trace) -> (Outcome, Tally, Trace) {
    let mut world = World::new(seed, trace);
    let outcome = world.run();
    world.collect_disk_trace();
    (outcome, world.tally, world.trace)
}

/// Leads a short life in which the machine dies once, at a step of the disk. Whether it came to
/// that step.
pub(super) fn live_until(seed: u64, step: u64) -> Outcome<bool> {
    let mut world = World::new(seed, Trace::default());
    world.swarm.shorten(step);
    world.run()?;
    Ok(world.tally.deaths > 0)
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let swarm = Swarm::of(&mut random);
        let generator = Generator {
            taste: swarm.taste.clone(),
            ..Generator::default()
        };
        let disk = SimDisk::default();
        let base = swarm.has_base.then(|| SimBase::new(disk.clone()));
        let mut world = Self {
            random,
            clock: Arc::new(ManualClock::at(Timestamp::from_nanos(1_000_000))),
            disk,
            base,
            still: None,
            durable: Model::default(),
            ahead: Model::default(),
            inflight: Vec::new(),
            published: 0,
            last_time: Timestamp::from_nanos(i64::MIN),
            queue: VecDeque::new(),
            generator,
            follower: None,
            trace,
            tally: Tally::default(),
            swarm,
        };
        world.equip_disk();
        world
    }

    fn run(&mut self) -> Outcome {
        note!(self, "swarm {:?}", self.swarm);
        self.reopen()?;
        if let Some(step) = self.swarm.dies_at {
            self.disk.faults(|faults| faults.die_in(Some(step)));
        }
        for _ in 0..self.swarm.steps {
            let act = self.next_act();
            self.tally.operations += 1;
            self.act(act).map_err(|why| format!("{act:?}: {why}"))?;
            if self.disk.faults(|faults| faults.is_dead()) {
                self.tally.deaths += 1;
                self.power_failure()?;
            }
        }
        self.power_failure()?;
        if self.swarm.rots && self.swarm.options.durability == Durability::Fsync {
            self.rot()?;
        }
        Ok(())
    }

    fn next_act(&mut self) -> Act {
        let poisoned = self.engine().poisoned().is_some();
        if poisoned && self.random.random_bool(0.2) {
            // An operator restarts the process or the machine.
            return [Act::PowerFailure, Act::Kill][self.random.random_range(0..2)];
        }
        let total = self.swarm.acts.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.random_range(0..total);
        for (act, weight) in &self.swarm.acts {
            if left < *weight {
                return *act;
            }
            left -= weight;
        }
        Act::Submit
    }

    fn act(&mut self, act: Act) -> Outcome {
        self.disk.faults(|faults| faults.switch(true));
        let result = match act {
            Act::Submit => self.submit(),
            Act::Step => self.step(),
            Act::ReadPart | Act::ReadAggregate | Act::ReadLog | Act::ReadLists | Act::ReadAll => {
                self.read(act)
            }
            Act::Follow => self.follow(),
            Act::Mark => self.mark(),
            Act::EndSegment => self.end_segment(),
            Act::Seal => self.seal(),
            Act::WriteIndex => self.write_index(),
            Act::PrepareSpare => {
                let prepared = self.still().spare.prepare();
                note!(self, "prepare spare: {}", prepared.is_ok());
                Ok(())
            }
            Act::Tick => {
                let least = if self.swarm.clock_goes_back { -500 } else { 0 };
                self.clock.advance(self.random.random_range(least..2000));
                Ok(())
            }
            Act::SyncLater => self.sync_later(),
            Act::DieSoon => {
                let steps = self.random.random_range(0..30);
                self.disk.faults(|faults| faults.die_in(Some(steps)));
                Ok(())
            }
            Act::PowerFailure => self.power_failure(),
            Act::Kill => self.kill(),
            Act::Close => self.close(),
            Act::RebuildIndex => self.compare_index(),
        };
        self.disk.faults(|faults| faults.switch(false));
        result
    }

    fn submit(&mut self) -> Outcome {
        let commit = self.generator.commit(&mut self.random, &self.ahead);
        let bytes = match crate::validate::commit(&commit) {
            Ok(bytes) => bytes,
            Err(Error::Invalid(_)) if contradicts_itself(&commit) => return Ok(()),
            Err(refused) => return Err(format!("a generated commit is refused: {refused}")),
        };
        note!(self, "submit {commit:?}");
        let hints = self.still().engine.shared.hints(&commit);
        match hints {
            Ok(hints) => self.queue.push_back((commit, hints, bytes)),
            Err(error) => self.expect_fault(&error)?,
        }
        Ok(())
    }

    fn step(&mut self) -> Outcome {
        let queued = self.queue.iter();
        let (most, _) = Core::group_len(queued.map(|(commit, _, bytes)| (commit, *bytes)));
        if most == 0 {
            return Ok(());
        }
        let taken = self.random.random_range(1..=most);
        let mut bytes = 0;
        let mut group = Vec::new();
        for (commit, hints, size) in self.queue.drain(..taken) {
            bytes += size;
            group.push((commit, hints));
        }
        let now = self.clock.now();
        let was_poisoned = self.engine().poisoned();
        let answers = self.still_mut().core.step(&group, bytes);
        note!(self, "step {taken}: {answers:?}");
        let poisoned = self.engine().poisoned();
        if was_poisoned.is_none() && poisoned.is_some() {
            self.note_failure()?;
        }
        for ((commit, _), answer) in group.into_iter().zip(answers) {
            self.tally.commits += 1;
            if poisoned.is_some() {
                if !matches!(answer, Err(Error::Poisoned { .. })) {
                    return Err(format!("the engine is poisoned and answers {answer:?}"));
                }
                if was_poisoned.is_none() {
                    self.admit(commit, now);
                }
                continue;
            }
            self.compare_answer(commit, answer, now)?;
        }
        if poisoned.is_some() {
            self.back_to_published();
            return Ok(());
        }
        self.published = self.inflight.len();
        if self.swarm.options.durability == Durability::Fsync {
            self.all_durable();
        }
        Ok(())
    }

    /// Has the model do what the engine was asked to. Returns how many events it removed.
    fn admit(&mut self, commit: Commit, now: Timestamp) -> u64 {
        let decision = self.ahead.decide(&commit);
        let time = now.max(self.last_time);
        let deleted = self.ahead.apply(&commit, &decision, time);
        if self.ahead.leaves_a_frame(&commit, &decision) {
            self.last_time = time;
            self.inflight.push(InFlight {
                commit,
                decision,
                time,
            });
        }
        deleted
    }

    fn compare_answer(
        &mut self,
        commit: Commit,
        answer: Result<crate::event::Committed, Error>,
        now: Timestamp,
    ) -> Outcome {
        let decision = self.ahead.decide(&commit);
        let results = answer.as_ref().map(|committed| committed.results.clone());
        if !decision.agrees(&results.map_err(Clone::clone)) {
            return Err(format!(
                "{commit:?}\n  got {answer:?},\n  wanted {decision:?}"
            ));
        }
        let deleted = self.admit(commit, now);
        if let Ok(committed) = answer {
            let wanted = (self.ahead.written, now.max(self.last_time), deleted);
            let found = (
                committed.position.get(),
                committed.recorded_at,
                committed.deleted,
            );
            if found != wanted {
                return Err(format!(
                    "position, time, deleted: got {found:?}, not {wanted:?}"
                ));
            }
        }
        Ok(())
    }

    /// Everything that was published is synced.
    pub(super) fn all_durable(&mut self) {
        for entry in self.inflight.drain(..self.published) {
            self.durable
                .apply(&entry.commit, &entry.decision, entry.time);
        }
        self.published = 0;
    }

    /// Forgets in what readers see what was never published.
    fn back_to_published(&mut self) {
        let mut seen = self.durable.clone();
        for entry in self.inflight.iter().take(self.published) {
            seen.apply(&entry.commit, &entry.decision, entry.time);
        }
        self.ahead = seen;
    }

    pub(super) fn still(&self) -> &Still {
        self.still.as_ref().unwrap()
    }

    pub(super) fn still_mut(&mut self) -> &mut Still {
        self.still.as_mut().unwrap()
    }

    pub(super) fn engine(&self) -> &crate::Engine {
        &self.still().engine
    }

    /// Gives the disk this seed's faults, with a chance of their own.
    pub(super) fn equip_disk(&mut self) {
        let faults = Faults::new(
            self.random.random(),
            self.swarm.rates.clone(),
            self.swarm.capacity,
            self.trace.is_on(),
        );
        self.disk.set_faults(faults);
    }

    pub(super) fn collect_disk_trace(&mut self) {
        let lines = self.disk.faults(Faults::take_trace);
        for line in lines {
            note!(self, "    disk: {line}");
        }
    }
}
