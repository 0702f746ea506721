//! What is committed goes to a bus that leads out of the process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use angzarr_adapters::{BusError, BusMessage, EventBus};
use bytes::Bytes;
use prost::Message;

use super::delivery::{Consumer, Failure, Interest, Trigger};
use super::{Coordinator, Error, validate};
use crate::handler::{RawBook, Retries};
use crate::registry::Input;
use crate::telemetry;

/// The kind in the names of its consumer and in dead letters.
const KIND: &str = "bus";
/// Pages of a message together. Half of what NATS takes unless told otherwise, and the same at all
/// times: what is published again is cut where it was.
const PART_BYTES: usize = 512 * 1024;
/// A bus that is away is waited for as long as it takes.
const RETRIES: Retries = Retries {
    attempts: u32::MAX,
    min: Duration::from_millis(20),
    max: Duration::from_secs(2),
};
/// Between two lines about trouble, when some messages are taken and some are not.
const NOTE_PAUSE: Duration = Duration::from_secs(10);

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusSettings {
    /// Domains; without any, all but internal ones.
    pub domains: Vec<String>,
    /// Whether the events of branches are published too.
    pub all_editions: bool,
    /// Whether a bus that is new gets what comes, in place of everything there is.
    pub from_now: bool,
    /// Aggregates whose events are on their way at a time.
    pub concurrency: usize,
}

/// A bus and what it gets.
pub(super) struct Bridge {
    bus: Arc<dyn EventBus>,
    settings: BusSettings,
    /// How often everything was to be published again.
    generation: AtomicU32,
    noted: Mutex<Noted>,
}

/// What was logged last.
#[derive(Default)]
struct Noted {
    /// Empty when all is well.
    trouble: String,
    at: Option<Instant>,
}

impl Bridge {
    pub(super) fn new(bus: Arc<dyn EventBus>, settings: BusSettings) -> Self {
        Self {
            bus,
            settings,
            generation: AtomicU32::new(0),
            noted: Mutex::default(),
        }
    }

    /// Name of its consumer, and of the component in its dead letters.
    pub(super) fn name(&self) -> String {
        format!("{KIND}.{}", self.bus.name())
    }

    /// Whether a dead letter is its.
    pub(super) fn is(&self, component: &str, kind: &str) -> bool {
        kind == KIND && component == self.name()
    }

    pub(super) fn interest(&self) -> Interest {
        let input = |domain: &String| Input {
            domain: domain.clone(),
            types: Vec::new(),
        };
        Interest {
            component: self.name(),
            inputs: self.settings.domains.iter().map(input).collect(),
            all_editions: self.settings.all_editions,
            from_now: self.settings.from_now,
            single_pages: false,
            pending: false,
            retries: RETRIES,
            concurrency: self.settings.concurrency,
        }
    }

    /// Hands the events of a trigger over, in order.
    pub(super) async fn publish(&self, trigger: &Trigger) -> Result<(), BusError> {
        let generation = self.generation.load(Ordering::Relaxed);
        let pages = trigger.sequences.iter().copied().zip(&trigger.book.pages);
        for part in parts(pages) {
            let message = message(trigger, part, generation);
            telemetry::publish(self.bus.name(), self.bus.publish(&message)).await?;
        }
        Ok(())
    }

    /// Says in the log when and why it begins to fail, and when it no longer does.
    fn note(&self, published: &Result<(), BusError>) {
        let bus = self.bus.name();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match published {
            Err(BusError::Unavailable(error)) if noted.is_news(error) => {
                tracing::warn!(
                    bus,
                    error,
                    "the bus takes no events: they wait in the store"
                );
                noted.trouble.clone_from(error);
                noted.at = Some(Instant::now());
            }
            Ok(()) if !noted.trouble.is_empty() => {
                tracing::info!(bus, "the bus takes events again");
                noted.trouble.clear();
            }
            _ => {}
        }
    }
}

impl Noted {
    fn is_news(&self, trouble: &str) -> bool {
        self.trouble != trouble && self.at.is_none_or(|at| at.elapsed() >= NOTE_PAUSE)
    }
}

/// Cuts pages into parts of bounded size, none of them empty.
fn parts<'a>(pages: impl Iterator<Item = (u32, &'a Bytes)>) -> Vec<Vec<(u32, &'a Bytes)>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for page in pages {
        bytes += page.1.len();
        match parts.last_mut() {
            Some(part) if bytes <= PART_BYTES => part.push(page),
            _ => {
                bytes = page.1.len();
                parts.push(vec![page]);
            }
        }
    }
    parts
}

fn message(trigger: &Trigger, part: Vec<(u32, &Bytes)>, generation: u32) -> BusMessage {
    let cover = trigger.cover();
    let first = part.first().map_or(0, |(sequence, _)| *sequence);
    let last = part.last().map_or(first, |(sequence, _)| *sequence);
    let edition = validate::edition_name(&cover).to_owned();
    // The position tells a deleted branch from a new one of its name. What is published again on
    // purpose is not what the bus has.
    let mut id = format!(
        "{}@{edition}/{}/{first}-{last}/{}",
        cover.domain,
        validate::root_hex(&cover),
        trigger.position
    );
    if generation > 0 {
        id.push_str(&format!("#{generation}"));
    }
    let book = RawBook {
        cover: Some(cover.clone()),
        snapshot: None,
        pages: part.into_iter().map(|(_, page)| page.clone()).collect(),
        next_sequence: last.saturating_add(1),
    };
    BusMessage {
        id,
        edition,
        root: cover.root.map(|root| root.value).unwrap_or_default(),
        domain: cover.domain,
        correlation_id: cover.correlation_id,
        sequence: first,
        position: trigger.position,
        book: book.encode_to_vec().into(),
    }
}

impl From<BusError> for Error {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Refused(text) => Self::Invalid(text),
            error => Self::Busy(error.to_string()),
        }
    }
}

/// A bus as it follows the store.
pub(super) struct BridgeConsumer {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) bridge: Arc<Bridge>,
}

#[tonic::async_trait]
impl Consumer for BridgeConsumer {
    async fn ready(&self, trigger: &Trigger) -> Result<Option<Trigger>, Error> {
        Ok(Some(trigger.clone()))
    }

    async fn deliver(&self, trigger: &Trigger) -> Result<(), Failure> {
        let published = self.bridge.publish(trigger).await;
        self.bridge.note(&published);
        published.map_err(|error| Failure {
            transient: !matches!(error, BusError::Refused(_)),
            text: error.to_string(),
            payload: None,
        })
    }

    async fn give_up(
        &self,
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        let name = self.bridge.name();
        self.coordinator
            .put_aside((&name, KIND), trigger, failure, attempts)
            .await
    }

    fn begins(&self, generation: u32) {
        self.bridge.generation.store(generation, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
