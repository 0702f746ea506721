//! What the writer and the readers of an engine share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::event::Commit;
use crate::index::Index;
use crate::interest::Interests;
use crate::log::Log;
use crate::recent::Recent;
use crate::sequencer::{AggregateHint, Hints};
use crate::types::{Address, AggregateKey, Position};

/// How far commits are readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readable {
    /// Behind the last commit.
    pub(crate) address: Address,
    /// Of the last event.
    pub(crate) position: Position,
}

pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    pub(crate) index: Index,
    pub(crate) poison: Poison,
    pub(crate) readable: watch::Sender<Readable>,
    pub(crate) interests: Arc<Interests>,
    pub(crate) recent: Recent,
    /// Frames below this are complete in the log. Ahead of `readable` for the moment in which
    /// their index entries appear.
    settled: AtomicU64,
}

impl Shared {
    pub(crate) fn new(log: Arc<Log>, index: Index, readable: Readable) -> Self {
        Self {
            log,
            index,
            poison: Poison::default(),
            readable: watch::Sender::new(readable),
            interests: Arc::default(),
            recent: Recent::default(),
            settled: AtomicU64::new(readable.address.get()),
        }
    }

    pub(crate) fn readable(&self) -> Readable {
        *self.readable.borrow()
    }

    /// Frames that an index entry refers to are below this, if the entry was read before.
    pub(crate) fn settled(&self) -> Address {
        Address::new(self.settled.load(Ordering::Acquire))
    }

    pub(crate) fn settle(&self, address: Address) {
        self.settled.store(address.get(), Ordering::Release);
    }

    /// What the sequencer may need to know for a commit, read unless it is likely to know.
    pub(crate) fn hints(&self, commit: &Commit) -> Result<Hints> {
        let known = |key: &AggregateKey| key.edition.is_main() && self.recent.holds(key);
        let mut writes = commit.writes.iter();
        if writes.all(|write| write.claim.is_none() && known(&write.key))
            && commit.conditions.iter().all(|on| known(&on.key))
        {
            return Ok(Hints::default());
        }
        self.read_hints(commit)
    }

    /// Reads what the sequencer may need to know for a commit.
    pub(crate) fn read_hints(&self, commit: &Commit) -> Result<Hints> {
        let as_of = self.readable().address;
        let mut aggregates = Vec::with_capacity(commit.writes.len() + commit.conditions.len());
        for write in &commit.writes {
            let mut hint = self.hint(&write.key)?;
            if let Some(claim) = &write.claim {
                hint.claim = self.index.claim(&write.key, &claim.kind, &claim.key)?;
            }
            aggregates.push(hint);
        }
        for condition in &commit.conditions {
            aggregates.push(self.hint(&condition.key)?);
        }
        let aggregates = Some(aggregates);
        Ok(Hints { as_of, aggregates })
    }

    fn hint(&self, key: &AggregateKey) -> Result<AggregateHint> {
        let own = self.index.head(key)?;
        let main = if key.edition.is_main() {
            None
        } else {
            self.index.head(&key.on_main())?
        };
        Ok(AggregateHint {
            own,
            main,
            claim: None,
        })
    }
}

/// The first fatal failure, set once and seen by everybody.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<(&'static str, String)>);

impl Poison {
    /// Notes a failure, unless there was one before.
    pub(crate) fn set(&self, stage: &'static str, cause: &Error) {
        if self.0.set((stage, cause.to_string())).is_ok() {
            tracing::error!(stage, %cause, "appends are refused from now on; reads go on");
        }
    }

    /// # Errors
    /// [`Error::Poisoned`] with the first failure, if there was one.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some((stage, cause)) => Err(Error::Poisoned {
                stage,
                cause: cause.clone(),
            }),
        }
    }

    /// The first failure.
    pub(crate) fn cause(&self) -> Option<String> {
        self.0
            .get()
            .map(|(stage, cause)| format!("{stage} failed: {cause}"))
    }
}
