use bytes::Bytes;
use thiserror::Error;

#[cfg(feature = "nats")]
pub(crate) mod nats;
#[cfg(feature = "nats")]
mod subject;

/// Carries committed events to those who do not read the store themselves.
///
/// The store knows nothing of it, and a bus knows nothing of the store: what is published, in
/// which order and how often it is tried is decided by whoever publishes.
#[tonic::async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// What it is called in checkpoints, figures and dead letters.
    fn name(&self) -> &'static str;

    /// Hands a message over. When it returns `Ok` the bus has it for good.
    ///
    /// # Errors
    /// [`BusError`]: it is not known whether the bus has it.
    async fn publish(&self, message: &BusMessage) -> Result<(), BusError>;
}

/// Events of one aggregate that became final together, and what a bus wants to know of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusMessage {
    /// The same whenever the same events are published again, so that a bus can leave out what
    /// it has.
    pub id: String,
    /// Of the aggregate.
    pub domain: String,
    /// Timeline of the aggregate; empty for main.
    pub edition: String,
    /// Of the aggregate.
    pub root: Vec<u8>,
    /// Of the request that caused the events; empty for none.
    pub correlation_id: String,
    /// Sequence of the first event.
    pub sequence: u32,
    /// Where they became final in the store; 0 when that is not known any more.
    pub position: u64,
    /// An encoded `EventBook`.
    pub book: Bytes,
}

/// Why a bus did not take a message.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// It cannot be reached, cannot store anything, or did not say in time that it has it. Try
    /// again.
    #[error("{0}")]
    Unavailable(String),
    /// It will not take this message, however often it is tried.
    #[error("{0}")]
    Refused(String),
}
