//! Reading while things go wrong.

use rand::Rng;

use super::check::{self, Checked, Mismatch};
use super::swarm::Act;
use super::trace::note;
use super::world::{Outcome, World};
use crate::error::Error;

impl World {
    /// Runs a check of what can be read now. A fault of the disk excuses an error, but never an
    /// answer that is wrong.
    pub(super) fn excuse(&mut self, checked: Checked) -> Outcome {
        match checked {
            Ok(()) => Ok(()),
            Err(Mismatch::Different(what)) => Err(what),
            Err(Mismatch::Failed(error)) => self.expect_fault(&error),
        }
    }

    /// Fails unless the disk has been made to fail, and the error says that it did.
    pub(super) fn expect_fault(&mut self, error: &Error) -> Outcome {
        let disturbed = self
            .disk
            .faults(|faults| faults.is_dead() || faults.happened_lately());
        match error {
            Error::Io { .. } if disturbed => {
                self.tally.faults += 1;
                Ok(())
            }
            other => Err(format!("without reason: {other}")),
        }
    }

    pub(super) fn note_failure(&mut self) -> Outcome {
        let disturbed = self
            .disk
            .faults(|faults| faults.is_dead() || faults.happened_lately());
        if !disturbed {
            return Err(format!(
                "poisoned without reason: {:?}",
                self.engine().poisoned()
            ));
        }
        self.tally.faults += 1;
        Ok(())
    }

    pub(super) fn read(&mut self, act: Act) -> Outcome {
        let (engine, model) = (&self.still.as_ref().unwrap().engine, &self.ahead);
        let random = &mut self.random;
        let keys = super::generate::keys();
        let key = &keys[random.random_range(0..keys.len())];
        let checked = match act {
            Act::ReadPart => check::part(engine, model, key, random),
            Act::ReadAggregate => check::aggregate(engine, model, key),
            Act::ReadLog => {
                let filter = super::follow::any_filter(random);
                let after = random.random_range(0..=model.written);
                let chunk = [1, 300, 100_000][random.random_range(0..3)];
                check::log(engine, model, after, &filter, chunk)
            }
            Act::ReadLists => {
                check::lists(engine, model).and_then(|()| check::cascades(engine, model))
            }
            _ => check::all(engine, model),
        };
        note!(self, "{act:?} {key}: {checked:?}");
        self.excuse(checked)
    }
}
