//! The ends of a process or a machine, and what the next one must find.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::base::SimBase;
use super::check::{self, Mismatch};
use super::trace::note;
use super::world::{Outcome, World};
use crate::clock::Clock;
use crate::disk::sim::SimDisk;
use crate::engine::still::Still;
use crate::error::{Error, Result};
use crate::index::Base;
use crate::options::Durability;

impl World {
    /// The machine loses what was not synced, and comes back.
    pub(super) fn power_failure(&mut self) -> Outcome {
        self.lose_power();
        self.published = 0;
        self.reopen()
    }

    /// The process ends, and the next one finds everything that was written.
    pub(super) fn kill(&mut self) -> Outcome {
        self.end_process();
        self.reopen()
    }

    /// The process ends as it should.
    pub(super) fn close(&mut self) -> Outcome {
        self.mark()?;
        self.write_index()?;
        self.end_process();
        self.reopen()
    }

    fn lose_power(&mut self) {
        note!(self, "power failure");
        self.tally.crashes += 1;
        self.drop_engine();
        self.disk = self.disk.crash(&mut self.random);
        self.move_in();
    }

    fn end_process(&mut self) {
        note!(self, "end of the process");
        self.tally.crashes += 1;
        self.drop_engine();
        self.disk = self.disk.handed_over();
        self.move_in();
    }

    fn drop_engine(&mut self) {
        self.follower = None;
        self.queue.clear();
        self.still = None;
    }

    /// Goes on with a disk that has taken the place of another.
    fn move_in(&mut self) {
        self.equip_disk();
        self.base = self
            .base
            .as_ref()
            .map(|base| base.moved_to(self.disk.clone()));
        if let Some(base) = &self.base
            && self.swarm.base_goes_back
            && self.random.random_bool(0.4)
        {
            let copy = self.random.random_range(0..3);
            note!(self, "the index goes back to copy {copy}");
            base.go_back(copy);
        }
    }

    /// Opens the store, however often that fails or the machine dies meanwhile, and checks that
    /// everything is there.
    pub(super) fn reopen(&mut self) -> Outcome {
        for attempt in 0.. {
            let disturbed = attempt < 3 && self.random.random_bool(0.3);
            if disturbed {
                let dies = self.random.random_bool(0.5);
                let steps = dies.then(|| self.random.random_range(0..40));
                self.disk.faults(|faults| faults.die_in(steps));
            }
            self.disk.faults(|faults| faults.switch(disturbed));
            let opened = open(self, &self.disk, self.base.as_ref());
            note!(
                self,
                "open: {:?}",
                opened.as_ref().map(|still| still.engine.recovery())
            );
            let dead = self.disk.faults(|faults| faults.is_dead());
            match opened {
                Ok(still) if !dead => {
                    self.still = Some(still);
                    break;
                }
                Ok(still) => drop(still),
                Err(error) => self.expect_fault(&error)?,
            }
            if dead {
                self.published = 0;
                self.lose_power();
            } else {
                self.end_process();
            }
        }
        self.disk.faults(|faults| faults.die_in(None));
        self.disk.faults(|faults| faults.switch(false));
        self.find_out()?;
        self.look_closer()
    }

    /// Tells which of the commits without an answer were stored: the first ones, in order, each
    /// as a whole. The ones with an answer must all be there.
    fn find_out(&mut self) -> Outcome {
        let inflight = std::mem::take(&mut self.inflight);
        let mut why = Vec::new();
        let published = std::mem::take(&mut self.published);
        let mut found = None;
        for taken in 0..=inflight.len() {
            if taken >= published {
                match check::all(&self.still.as_ref().unwrap().engine, &self.durable) {
                    Ok(()) => {
                        found = Some(taken);
                        break;
                    }
                    Err(Mismatch::Failed(error)) => return Err(format!("reading: {error}")),
                    Err(Mismatch::Different(what)) => why.push(what),
                }
            }
            if let Some(next) = inflight.get(taken) {
                self.durable.apply(&next.commit, &next.decision, next.time);
            }
        }
        let Some(found) = found else {
            return Err(format!(
                "after reopening, with {} commits of unknown fate, none of these holds:\n  {}",
                inflight.len() - published,
                why.join("\n  ")
            ));
        };
        note!(self, "of {} in flight {found} were stored", inflight.len());
        self.ahead = self.durable.clone();
        self.last_time = self.still().recorded_at;
        Ok(())
    }

    /// Sometimes: opening again changes nothing, and the index is what a rebuilt one would be.
    fn look_closer(&mut self) -> Outcome {
        if self.random.random_bool(0.2) {
            self.compare_index()?;
        }
        if self.random.random_bool(0.2) {
            self.open_again()?;
        }
        if self.random.random_bool(0.1) {
            let log = self.disk.contents();
            if let Some(last) = log.into_values().next_back() {
                self.generator.hostile = last.into();
            }
        }
        Ok(())
    }

    fn open_again(&mut self) -> Outcome {
        let copy = self.disk.handed_over();
        let base = self.base.as_ref().map(|base| base.moved_to(copy.clone()));
        let before = copy.contents();
        let again = open(self, &copy, base.as_ref()).map_err(|e| format!("opening twice: {e}"))?;
        let readable = (again.engine.shared.readable(), again.recorded_at);
        let wanted = (self.engine().shared.readable(), self.still().recorded_at);
        if readable != wanted || again.engine.recovery().cut_bytes != 0 {
            return Err(format!("opening twice: {readable:?} after {wanted:?}"));
        }
        if copy.contents() != before {
            return Err("opening twice changes files".to_owned());
        }
        check::all(&again.engine, &self.durable).map_err(|why| format!("opened twice: {why:?}"))
    }

    /// The index must be what the log alone makes of it.
    pub(super) fn compare_index(&mut self) -> Outcome {
        if self.engine().poisoned().is_some() {
            return Ok(());
        }
        let copy = self.disk.handed_over();
        let rebuilt = open(self, &copy, None).map_err(|e| format!("rebuilding the index: {e}"))?;
        let (found, wanted) = (&self.engine().shared.index, &rebuilt.engine.shared.index);
        let same = super::same::same_index(found, wanted, self.ahead.rewritten);
        note!(self, "compare the index");
        same.map_err(|e| format!("reading the index: {e}"))?
    }

    pub(super) fn mark(&mut self) -> Outcome {
        if self.still().core.is_restless() && self.engine().poisoned().is_none() {
            let now = self.clock.now();
            let marked = self.still_mut().core.mark();
            note!(self, "mark: {marked:?}");
            self.after_sync(marked)?;
            if self.engine().poisoned().is_none() {
                self.last_time = self.last_time.max(now);
            }
        }
        Ok(())
    }

    pub(super) fn end_segment(&mut self) -> Outcome {
        if self.engine().poisoned().is_some() {
            return Ok(());
        }
        let ended = self.still_mut().core.seal();
        note!(self, "end the segment: {ended:?}");
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(_)) => self.after_sync(Ok(())),
            Err(error) => self.after_sync(Err(error)),
        }
    }

    /// As the sealing thread does it: a failure leaves the segment as it is.
    pub(super) fn seal(&mut self) -> Outcome {
        let sealed = self.engine().seal_next();
        note!(self, "seal: {sealed:?}");
        self.ahead.rewritten = true;
        self.durable.rewritten = true;
        match sealed {
            Ok(_) => Ok(()),
            Err(error) => self.expect_fault(&error),
        }
    }

    /// As the index's thread does it.
    pub(super) fn write_index(&mut self) -> Outcome {
        if self.engine().poisoned().is_some() {
            return Ok(());
        }
        self.sync_later()?;
        if self.engine().poisoned().is_some() {
            return Ok(());
        }
        let written = self.engine().shared.index.write_out();
        note!(self, "write the index: {written:?}");
        if let Err(error) = &written {
            self.engine().shared.poison.set("writing the index", error);
            self.note_failure()?;
        }
        Ok(())
    }

    /// As the threads do it when a commit does not wait for the sync.
    pub(super) fn sync_later(&mut self) -> Outcome {
        if self.swarm.options.durability == Durability::Fsync || self.engine().poisoned().is_some()
        {
            return Ok(());
        }
        let file = self.still().core.active_file().current();
        let synced = file.sync().map_err(Error::io("syncing the log"));
        note!(self, "sync: {synced:?}");
        if let Err(error) = &synced {
            self.engine().shared.poison.set("syncing the log", error);
        }
        self.after_sync(synced)
    }

    fn after_sync(&mut self, synced: Result<()>) -> Outcome {
        match synced {
            Ok(()) => {
                self.all_durable();
                Ok(())
            }
            Err(_) if self.engine().poisoned().is_some() => self.note_failure(),
            Err(error) => Err(format!("not poisoned by {error}")),
        }
    }
}

/// Opens a store with a chance of its own.
pub(super) fn open(world: &World, disk: &SimDisk, base: Option<&SimBase>) -> Result<Still> {
    let base = base.map(|base| Box::new(base.clone()) as Box<dyn Base>);
    let random = StdRng::seed_from_u64(world.tally.operations + world.tally.crashes);
    Still::open(
        Arc::new(disk.clone()),
        base,
        world.clock.clone(),
        world.swarm.options.clone(),
        Box::new(random),
    )
}
