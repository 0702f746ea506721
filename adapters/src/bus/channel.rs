use std::sync::{Mutex, PoisonError};

use angzarr_proto::store::v1::RecordedBook;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{BusError, BusStream, EventBus};

/// Books that may wait for one subscriber. A slow one then holds up publishing, not memory; what
/// is not published waits in the store.
const WAITING_MAX: usize = 256;

/// A bus within this process.
#[derive(Debug, Default)]
pub struct ChannelBus {
    subscribers: Mutex<Vec<Subscriber>>,
}

#[derive(Debug, Clone)]
struct Subscriber {
    domains: Vec<String>,
    books: mpsc::Sender<RecordedBook>,
}

#[tonic::async_trait]
impl EventBus for ChannelBus {
    async fn publish(&self, books: &[RecordedBook]) -> Result<(), BusError> {
        let subscribers = {
            let mut all = self
                .subscribers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.retain(|subscriber| !subscriber.books.is_closed());
            all.clone()
        };
        for book in books {
            for subscriber in subscribers
                .iter()
                .filter(|subscriber| subscriber.wants(book))
            {
                // One that has gone meanwhile misses nothing.
                let _ = subscriber.books.send(book.clone()).await;
            }
        }
        Ok(())
    }

    async fn subscribe(&self, domains: Vec<String>) -> Result<BusStream, BusError> {
        let (books, received) = mpsc::channel(WAITING_MAX);
        let subscriber = Subscriber { domains, books };
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(subscriber);
        Ok(ReceiverStream::new(received).boxed())
    }
}

impl Subscriber {
    fn wants(&self, book: &RecordedBook) -> bool {
        let domain = book
            .cover
            .as_ref()
            .map_or("", |cover| cover.domain.as_str());
        self.domains.is_empty() || self.domains.iter().any(|wanted| wanted == domain)
    }
}
