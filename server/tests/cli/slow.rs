//! Clients that stop reading.

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use pb::event_store_client::EventStoreClient;
use pb::read_all_response::Item;
use tonic::transport::Channel;

use super::support::Server;

const EVENTS: u32 = 600;
/// Of the end of the log, which is kept in memory whoever reads.
const TAIL_CACHE_KIB: u64 = 64 * 1024;
const EVENT_BYTES: usize = 100 * 1024;

fn cover() -> Option<v1::Cover> {
    let root = Some(v1::Uuid { value: vec![1; 16] });
    Some(v1::Cover {
        domain: "order".to_owned(),
        root,
        ..Default::default()
    })
}

fn event() -> pb::AppendRequest {
    let event = prost_types::Any {
        type_url: "t/test.Event".to_owned(),
        value: vec![7; EVENT_BYTES],
    };
    let payload = Some(v1::event_page::Payload::Event(event));
    let pages = vec![v1::EventPage {
        payload,
        ..Default::default()
    }];
    let write = pb::AggregateAppend {
        cover: cover(),
        pages,
        ..Default::default()
    };
    pb::AppendRequest {
        writes: vec![write],
        ..Default::default()
    }
}

async fn connect(server: &Server) -> EventStoreClient<Channel> {
    let channel = Channel::from_shared(server.url.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    EventStoreClient::new(channel).max_decoding_message_size(64 << 20)
}

/// One that subscribes and one that reads a whole aggregate, and then take nothing: the server
/// serves everybody else, does not hold for them what they leave lying, and gives them all of it
/// when they go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_costs_no_memory_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--set", "storage.index=memory"];
    let server = Server::start_with(folder.path(), &arguments);
    let mut lazy = connect(&server).await;
    let mut followed = lazy
        .subscribe(pb::ReadAllRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut busy = connect(&server).await;
    busy.append(event()).await.unwrap();
    let before = server.resident_kib();
    for _ in 1..EVENTS {
        busy.append(event()).await.unwrap();
    }
    let mut idle_reader = connect(&server).await;
    let request = pb::ReadRequest {
        cover: cover(),
        ..Default::default()
    };
    let mut read = idle_reader
        .read(request.clone())
        .await
        .unwrap()
        .into_inner();
    let mut whole = 0;
    let mut chunks = busy.read(request).await.unwrap().into_inner();
    while let Some(chunk) = chunks.message().await.unwrap() {
        whole += chunk.pages.len();
    }
    assert_eq!(whole, EVENTS as usize, "others are served");
    let grown = server.resident_kib().saturating_sub(before);
    let written = u64::from(EVENTS) * EVENT_BYTES as u64 / 1024;
    assert!(
        grown < TAIL_CACHE_KIB.min(written) + written * 2 / 3,
        "{grown} KiB more, {written} KiB were written"
    );
    let mut positions = Vec::new();
    while positions.len() < EVENTS as usize {
        if let Some(Item::Book(book)) = followed.message().await.unwrap().unwrap().item {
            positions.extend(book.positions);
        }
    }
    assert_eq!(positions, (1..=u64::from(EVENTS)).collect::<Vec<_>>());
    let mut left = 0;
    while let Some(chunk) = read.message().await.unwrap() {
        left += chunk.pages.len();
    }
    assert_eq!(left, EVENTS as usize);
}
