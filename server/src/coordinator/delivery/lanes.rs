//! One event after another for each aggregate, all aggregates side by side.

use std::collections::{HashMap, VecDeque};

use super::Trigger;

/// An aggregate on a timeline: domain, edition, root.
pub(super) type Lane = (String, String, Vec<u8>);

/// Events that wait for an earlier one of their aggregate.
///
/// Invariant: a lane is present while one of its events is being worked on.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    waiting: HashMap<Lane, VecDeque<Trigger>>,
    held: usize,
    held_bytes: usize,
}

impl Lanes {
    /// Events being worked on and waiting.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Bytes of the same.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes the next event of the feed; gives it back when work on it may begin at once.
    pub(super) fn push(&mut self, trigger: Trigger) -> Option<Trigger> {
        self.held += 1;
        self.held_bytes += trigger.bytes();
        if let Some(waiting) = self.waiting.get_mut(&trigger.lane) {
            waiting.push_back(trigger);
            return None;
        }
        self.waiting.insert(trigger.lane.clone(), VecDeque::new());
        Some(trigger)
    }

    /// Work on an event ended; gives the next one of its aggregate to begin with.
    pub(super) fn finished(&mut self, trigger: &Trigger) -> Option<Trigger> {
        self.held -= 1;
        self.held_bytes -= trigger.bytes();
        let next = self.waiting.get_mut(&trigger.lane)?.pop_front();
        if next.is_none() {
            self.waiting.remove(&trigger.lane);
        }
        next
    }
}
