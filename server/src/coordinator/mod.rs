//! Carries out what clients ask for, over a store and the business code of each domain.

mod append;
mod cascade;
mod claim;
mod command_handler;
mod compensation;
mod concurrency;
mod dead_letter;
mod delivery;
mod edition;
mod error;
mod event_failure;
mod fact;
mod limits;
mod load;
mod merge;
mod parts;
mod projector;
mod query;
mod queue;
mod reactions;
mod speculation;
mod stream;
mod sync_mode;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::EventStore;

pub use delivery::{Consumers, Progress};
pub use error::{Error, Mismatch};
pub use limits::Limits;
pub use query::{Queries, Results};
pub use stream::Streams;

use crate::registry::{Domain, Registry};
use queue::Queues;

/// Bounds of a [`Coordinator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// On requests and answers of business code.
    pub limits: Limits,
    /// Requests to one aggregate that may wait for each other.
    pub queue_depth: usize,
    /// Longest time one of them waits.
    pub queue_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            queue_depth: 1024,
            queue_wait: Duration::from_secs(60),
        }
    }
}

/// Handles commands and facts: the only writer of business events in this process.
pub struct Coordinator {
    store: Arc<dyn EventStore>,
    registry: Arc<Registry>,
    queues: Queues,
    settings: Settings,
}

impl Coordinator {
    /// A coordinator over `store` for the domains of `registry`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, registry: Arc<Registry>, settings: Settings) -> Self {
        let queues = Queues::new(settings.queue_depth, settings.queue_wait);
        Self {
            store,
            registry,
            queues,
            settings,
        }
    }

    fn domain(&self, name: &str) -> Result<&Domain, Error> {
        self.registry.get(name).ok_or_else(|| Error::UnknownDomain {
            domain: name.to_owned(),
            configured: self.registry.names(),
        })
    }
}
