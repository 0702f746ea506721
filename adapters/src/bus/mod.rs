use std::pin::Pin;

use angzarr_proto::store::v1::RecordedBook;
use futures::Stream;
use thiserror::Error;

pub(crate) mod bridge;
pub(crate) mod channel;

/// Books as a subscriber of a bus gets them.
pub type BusStream = Pin<Box<dyn Stream<Item = RecordedBook> + Send>>;

/// Carries committed events to consumers that do not read the store themselves.
///
/// The store knows nothing of it: a [`Bridge`](crate::Bridge) reads the store, publishes, and
/// remembers how far it has got.
#[tonic::async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// Hands books over, in order. When it returns the bus answers for all of them.
    ///
    /// # Errors
    /// [`BusError`]: it is not known which of them the bus has; publish all of them again.
    async fn publish(&self, books: &[RecordedBook]) -> Result<(), BusError>;

    /// Books published from now on, of these domains, or of all if none is named. Each
    /// subscriber gets every book, those of one aggregate in order, and may get one twice.
    ///
    /// # Errors
    /// [`BusError`] when the bus cannot be reached.
    async fn subscribe(&self, domains: Vec<String>) -> Result<BusStream, BusError>;
}

/// The bus did not take it. Try again.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("the bus did not take the events: {0}")]
pub struct BusError(pub String);
