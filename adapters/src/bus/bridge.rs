use std::sync::Arc;
use std::time::Duration;

use angzarr_proto::store::v1 as pb;
use backon::{ExponentialBuilder, Retryable};
use futures::{FutureExt, StreamExt};
use pb::read_all_response::Item;

use super::EventBus;
use crate::store::{EventStore, Result};

/// Answers of the store that are published together, at most.
const BATCH_MAX: usize = 256;

/// From a store to a bus, at least once and in order. Isolated events stay in the store.
///
/// Its checkpoint is in the store under `consumer`: whoever runs the bridge next goes on there.
pub struct Bridge {
    /// Where events come from.
    pub store: Arc<dyn EventStore>,
    /// Where they go.
    pub bus: Arc<dyn EventBus>,
    /// Name of the checkpoint.
    pub consumer: String,
    /// What is published; empty for everything.
    pub domains: Vec<String>,
}

impl Bridge {
    /// Publishes what is committed and what will be, until the store's subscription ends. A bus
    /// that fails is tried again for ever, ever more slowly: events wait in the store.
    ///
    /// # Errors
    /// What the store reports. Run it again: it goes on behind the last checkpoint.
    pub async fn run(&self) -> Result<()> {
        let consumer = self.consumer.clone();
        let at = self
            .store
            .get_position(pb::GetPositionRequest { consumer })
            .await?
            .position;
        let filter = pb::Filter {
            domains: self.domains.clone(),
            skip_isolated: true,
            ..Default::default()
        };
        let request = pb::ReadAllRequest {
            after_position: at,
            filter: Some(filter),
        };
        let mut records = self.store.subscribe(request).await?;
        while let Some(first) = records.next().await {
            let mut batch = Batch::default();
            batch.add(first?);
            // What is there already goes out together.
            while batch.books.len() < BATCH_MAX
                && let Some(Some(next)) = records.next().now_or_never()
            {
                batch.add(next?);
            }
            self.publish(&batch.books).await;
            self.remember(batch.position).await?;
        }
        Ok(())
    }

    async fn publish(&self, books: &[pb::RecordedBook]) {
        if books.is_empty() {
            return;
        }
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times();
        let publish = || self.bus.publish(books);
        let warn = |error: &super::BusError, wait: Duration| {
            tracing::warn!(consumer = self.consumer, %error, ?wait, "the bus failed; trying again");
        };
        // It is repeated until it succeeds.
        let _ = publish.retry(backoff).notify(warn).await;
    }

    async fn remember(&self, position: u64) -> Result<()> {
        if position == 0 {
            return Ok(());
        }
        let checkpoint = pb::Checkpoint {
            consumer: self.consumer.clone(),
            position,
        };
        let request = pb::PutPositionRequest {
            checkpoint: Some(checkpoint),
        };
        self.store.put_position(request).await.map(|_| ())
    }
}

#[derive(Default)]
struct Batch {
    books: Vec<pb::RecordedBook>,
    /// Of the last event in it, or of the last progress mark; 0 for none.
    position: u64,
}

impl Batch {
    fn add(&mut self, answer: pb::ReadAllResponse) {
        match answer.item {
            Some(Item::Book(book)) => {
                self.position = book.positions.last().copied().unwrap_or(self.position);
                self.books.push(book);
            }
            Some(Item::Progress(progress)) => self.position = progress.position,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
