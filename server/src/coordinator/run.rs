//! What a request that waits for reactions wants, and what they leave for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use angzarr_proto::v1::{
    AngzarrDeferredSequence, CascadeErrorMode, CascadeReactionError, Cover, Projection, SyncMode,
};

use super::Error;
use super::standing::Anchor;
use crate::handler::ReactionMode;

/// Commands that may cause each other while a request waits. Components that answer each other
/// for ever end here.
pub(super) const DEPTH_MAX: u32 = 16;

/// A request that waits for what its events cause.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whether it waits for commands that its events cause, or for read models only.
    pub(super) downstream: bool,
    pub(super) errors: CascadeErrorMode,
    pub(super) cascade_id: Option<String>,
    collected: Mutex<Collected>,
}

/// What reactions left, in the order in which they ended.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) projections: Vec<Projection>,
    pub(super) errors: Vec<CascadeReactionError>,
    /// Commands that were carried out.
    pub(super) executed: Vec<Executed>,
}

/// A command of a reaction that produced events.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Executed {
    pub(super) component: String,
    pub(super) origin: AngzarrDeferredSequence,
    pub(super) target: Cover,
    pub(super) sequences: Vec<u32>,
}

/// On whose behalf a component or a command runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run<'a> {
    /// `None`: nobody waits.
    pub(super) waiting: Option<&'a Waiting>,
    /// Commands above this one.
    pub(super) depth: u32,
    /// The cascade that what is caused belongs to.
    pub(super) cascade_id: Option<&'a str>,
    /// Nothing is stored for the cascade once this event of it is settled.
    pub(super) anchor: Option<&'a Anchor>,
}

/// Why a command did not come to a good end.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The command itself was not carried out.
    Command(Error),
    /// It was, and something it caused failed.
    Reaction(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Command(error)
    }
}

impl Refusal {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Command(error) | Self::Reaction(error) => error,
        }
    }
}

impl Waiting {
    /// What a mode waits for, if anything.
    pub(super) fn of(
        mode: SyncMode,
        errors: CascadeErrorMode,
        cascade_id: Option<String>,
    ) -> Option<Self> {
        let downstream = match mode {
            SyncMode::Simple => false,
            SyncMode::Cascade => true,
            SyncMode::Async | SyncMode::Decision | SyncMode::Isolated => return None,
        };
        Some(Self {
            downstream,
            errors,
            cascade_id,
            collected: Mutex::default(),
        })
    }

    pub(super) fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn into_collected(self) -> Collected {
        self.collected
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a command that was carried out, once, however often it was delivered.
    pub(super) fn note_executed(&self, executed: Executed) {
        let mut collected = self.collected();
        if !collected.executed.contains(&executed) {
            collected.executed.push(executed);
        }
    }
}

impl<'a> Run<'a> {
    /// The run of a request of a client.
    pub(super) fn waited_for(waiting: Option<&'a Waiting>) -> Self {
        Self {
            waiting,
            depth: 0,
            cascade_id: waiting.and_then(|waiting| waiting.cascade_id.as_deref()),
            anchor: None,
        }
    }

    /// The run of what this one causes.
    pub(super) fn deeper(self) -> Result<Self, Error> {
        if self.depth >= DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    /// The same where the reactions themselves are refused when that is too deep.
    pub(super) fn below(self) -> Self {
        Self {
            depth: self.depth.saturating_add(1),
            ..self
        }
    }

    /// How components are told about it.
    pub(super) fn mode(self) -> ReactionMode {
        match self.waiting {
            Some(waiting) if waiting.downstream => ReactionMode {
                sync: SyncMode::Cascade,
                errors: waiting.errors,
            },
            _ => ReactionMode::default(),
        }
    }
}
