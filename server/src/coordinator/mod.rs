//! Carries out what clients ask for, over a store and the business code of each domain.

mod append;
mod books;
mod bridge;
mod cascade;
mod claim;
mod command_handler;
mod compensation;
mod concurrency;
mod dead_letter;
mod delivery;
mod direct;
mod discharge;
mod divergence;
mod edition;
mod emission;
mod error;
mod escalation;
mod event_failure;
mod fact;
mod follower;
mod limits;
mod load;
mod lost_payload;
mod merge;
mod outbox;
mod parts;
mod process_answer;
mod process_manager;
mod projector;
mod query;
mod queue;
mod reactions;
mod reaper;
mod rejection;
mod run;
mod saga;
mod settle;
mod speculation;
mod standing;
mod stream;
mod sync_mode;
mod sync_runs;
mod synchronous;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::{EventBus, EventStore};

pub use bridge::BusSettings;
pub use delivery::{Consumers, Progress, SteerError};
pub use error::{Error, Mismatch};
pub use limits::Limits;
pub use query::{Queries, Results};
pub use reactions::{Reacting, Reactions};
pub use stream::Streams;

use crate::json::Json;
use crate::registry::{Domain, Registry};
use books::Books;
use bridge::Bridge;
use queue::Queues;
use sync_runs::SyncRuns;

/// Bounds of a [`Coordinator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// On requests and answers of business code.
    pub limits: Limits,
    /// Requests to one aggregate that may wait for each other.
    pub queue_depth: usize,
    /// Longest time one of them waits.
    pub queue_wait: Duration,
    /// Bytes of books of aggregates that are kept for their next commands; 0 where somebody may
    /// put another store in the place of this one.
    pub books_bytes: usize,
    /// How long a cascade may be pending before it is revoked.
    pub cascade_timeout: Duration,
    /// How often that is looked for.
    pub cascade_check: Duration,
    /// Domain of the events about compensations that failed.
    pub fallback_domain: String,
    /// Where compensations that a person has to look at are posted.
    pub escalation_webhook: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            queue_depth: 1024,
            queue_wait: Duration::from_secs(60),
            books_bytes: 64 << 20,
            cascade_timeout: Duration::from_secs(5 * 60),
            cascade_check: Duration::from_secs(30),
            fallback_domain: "angzarr.saga-failures".to_owned(),
            escalation_webhook: None,
        }
    }
}

/// Handles commands and facts: the only writer of business events in this process.
pub struct Coordinator {
    store: Arc<dyn EventStore>,
    registry: Arc<Registry>,
    queues: Queues,
    books: Books,
    sync_runs: SyncRuns,
    settings: Settings,
    descriptors: Option<Json>,
    bridge: Option<Arc<Bridge>>,
}

impl Coordinator {
    /// A coordinator over `store` for the domains of `registry`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, registry: Arc<Registry>, settings: Settings) -> Self {
        let queues = Queues::new(settings.queue_depth, settings.queue_wait);
        let books = Books::new(settings.books_bytes);
        Self {
            store,
            registry,
            queues,
            books,
            sync_runs: SyncRuns::default(),
            settings,
            descriptors: None,
            bridge: None,
        }
    }

    /// Names the fields of states in refusals, as far as `descriptors` know them.
    #[must_use]
    pub fn with_descriptors(mut self, descriptors: Json) -> Self {
        self.descriptors = Some(descriptors);
        self
    }

    /// Publishes what is committed to a bus.
    #[must_use]
    pub fn with_bus(mut self, bus: Arc<dyn EventBus>, settings: BusSettings) -> Self {
        self.bridge = Some(Arc::new(Bridge::new(bus, settings)));
        self
    }

    fn domain(&self, name: &str) -> Result<&Domain, Error> {
        self.registry.get(name).ok_or_else(|| Error::UnknownDomain {
            domain: name.to_owned(),
            configured: self.registry.names(),
        })
    }
}
