#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use angzarr_engine::{IndexKind, Options};
use angzarr_proto::v1;

use super::*;
use crate::bus::{BusError, BusStream};
use crate::{ChannelBus, Limits, NativeStore};

fn store(folder: &std::path::Path) -> Arc<NativeStore> {
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        ..Options::default()
    };
    Arc::new(NativeStore::open(folder, options, Limits::default()).unwrap())
}

async fn append(store: &NativeStore, domain: &str, isolated: bool, text: &str) {
    let event = prost_types::Any {
        type_url: "t/x.Y".to_owned(),
        value: text.into(),
    };
    let page = v1::EventPage {
        payload: Some(v1::event_page::Payload::Event(event)),
        ..Default::default()
    };
    let cover = v1::Cover {
        domain: domain.to_owned(),
        root: Some(v1::Uuid { value: vec![1; 16] }),
        ..Default::default()
    };
    let write = pb::AggregateAppend {
        cover: Some(cover),
        pages: vec![page],
        ..Default::default()
    };
    let request = pb::AppendRequest {
        writes: vec![write],
        isolated,
        ..Default::default()
    };
    store.append(request).await.unwrap();
}

fn bridge(store: &Arc<NativeStore>, bus: Arc<dyn EventBus>) -> tokio::task::JoinHandle<Result<()>> {
    let store = store.clone();
    let bridge = Bridge {
        store,
        bus,
        consumer: "bridge".to_owned(),
        domains: vec!["order".to_owned()],
    };
    tokio::spawn(async move { bridge.run().await })
}

/// Fails the first publications, then passes them on.
struct Flapping {
    failures: AtomicUsize,
    bus: ChannelBus,
}

#[tonic::async_trait]
impl EventBus for Flapping {
    async fn publish(&self, books: &[pb::RecordedBook]) -> Result<(), BusError> {
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err(BusError("not now".to_owned()));
        }
        self.bus.publish(books).await
    }

    async fn subscribe(&self, domains: Vec<String>) -> Result<BusStream, BusError> {
        self.bus.subscribe(domains).await
    }
}

/// Old and new events of the domain arrive once each and in order, through failures of the bus,
/// and a second bridge goes on where the first one was.
#[tokio::test(flavor = "multi_thread")]
async fn events_reach_the_bus_in_order_and_the_checkpoint_survives() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let bus = Arc::new(Flapping {
        failures: AtomicUsize::new(3),
        bus: ChannelBus::default(),
    });
    let mut books = bus.subscribe(Vec::new()).await.unwrap();
    append(&store, "order", false, "0").await;
    append(&store, "stock", false, "not wanted").await;
    append(&store, "order", true, "isolated").await;
    let running = bridge(&store, bus.clone());
    let mut seen = vec![books.next().await.unwrap().positions[0]];
    append(&store, "order", false, "1").await;
    seen.push(books.next().await.unwrap().positions[0]);
    assert_eq!(seen, [1, 4]);
    // The checkpoint is written after the publication; wait for it, not for time.
    while store
        .get_position(pb::GetPositionRequest {
            consumer: "bridge".to_owned(),
        })
        .await
        .unwrap()
        .position
        < 4
    {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.is_err());
    append(&store, "order", false, "2").await;
    let running = bridge(&store, bus);
    assert_eq!(books.next().await.unwrap().positions, [5]);
    running.abort();
}
