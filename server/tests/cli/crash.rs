//! Processes that die at work and disks that fill up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use pb::event_store_client::EventStoreClient;
use prost::Message;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

mod disk;
mod mixed;

use super::support::Server;

const ROOT: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const CLIENTS: u8 = 8;

/// Small segments, so that the kills hit starts of segments too.
const SERVE: [&str; 4] = [
    "--listen",
    "127.0.0.1:0",
    "--set",
    "storage.segment_bytes=64KiB",
];

async fn connect(url: &str) -> Channel {
    Channel::from_shared(url.to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap()
}

fn cover(client: u8, domain: &str) -> Option<v1::Cover> {
    let root = Some(v1::Uuid {
        value: vec![client; 16],
    });
    Some(v1::Cover {
        domain: domain.to_owned(),
        root,
        ..Default::default()
    })
}

/// An append of one event to each of two aggregates: they must never be seen apart.
fn request(client: u8, next: u32) -> pb::AppendRequest {
    let write = |domain| {
        let value = vec![client; 40 + (next as usize * 97) % 900];
        let event = prost_types::Any {
            type_url: "t/test.Event".to_owned(),
            value,
        };
        let payload = Some(v1::event_page::Payload::Event(event));
        pb::AggregateAppend {
            cover: cover(client, domain),
            pages: vec![v1::EventPage {
                payload,
                ..Default::default()
            }],
            expected: Some(pb::Expected {
                state: Some(pb::expected::State::Next(next)),
            }),
            ..Default::default()
        }
    };
    pb::AppendRequest {
        writes: vec![write("order"), write("stock")],
        ..Default::default()
    }
}

async fn read(channel: &Channel, cover: Option<v1::Cover>) -> Vec<Vec<u8>> {
    let request = pb::ReadRequest {
        cover,
        ..Default::default()
    };
    let mut store = EventStoreClient::new(channel.clone());
    let mut chunks = store.read(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        for (n, page) in (found.len()..).zip(chunk.pages) {
            let page = v1::EventPage::decode(page).unwrap();
            let header = page.header.unwrap().sequence_type.unwrap();
            assert_eq!(
                header,
                v1::page_header::SequenceType::Sequence(u32::try_from(n).unwrap())
            );
            found.push(match page.payload {
                Some(v1::event_page::Payload::Event(event)) => event.value,
                // What was revoked loses its body when its segment is rewritten.
                None => Vec::new(),
                Some(other) => panic!("{other:?}"),
            });
        }
    }
    found
}

/// Appends until the server is gone, and notes what was acknowledged.
async fn append_until_killed(
    url: String,
    client: u8,
    mut next: u32,
    acknowledged: Arc<Mutex<BTreeMap<u8, u32>>>,
    count: Arc<AtomicUsize>,
) {
    let mut store = EventStoreClient::new(connect(&url).await);
    while let Ok(answer) = store.append(request(client, next)).await {
        next += 1;
        assert_eq!(answer.into_inner().results[0].next_sequence, next);
        acknowledged.lock().unwrap().insert(client, next);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// A dozen times: eight clients append, the process is killed at a random moment, and everything
/// that was acknowledged is there again, whole, in order, and nothing is there by half.
#[tokio::test(flavor = "multi_thread")]
async fn sigkill_under_load_loses_nothing_acknowledged() {
    let seed =
        std::env::var("ANGZARR_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    eprintln!("replay with ANGZARR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut stored: BTreeMap<u8, u32> = (0..CLIENTS).map(|client| (client, 0)).collect();
    for round in 0..12 {
        let server = Server::start_with(folder.path(), &SERVE);
        let acknowledged = Arc::new(Mutex::new(stored.clone()));
        let count = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (acknowledged, count) = (acknowledged.clone(), count.clone());
                let url = server.url.clone();
                tokio::spawn(append_until_killed(
                    url,
                    client,
                    stored[&client],
                    acknowledged,
                    count,
                ))
            })
            .collect();
        let moment = random.random_range(1..200);
        while count.load(Ordering::SeqCst) < moment {
            tokio::task::yield_now().await;
        }
        server.kill();
        for client in clients {
            client.await.unwrap();
        }
        let server = Server::start_with(folder.path(), &SERVE);
        let channel = connect(&server.url).await;
        for client in 0..CLIENTS {
            let orders = read(&channel, cover(client, "order")).await;
            let known = acknowledged.lock().unwrap()[&client] as usize;
            assert!(
                orders.len() >= known,
                "round {round}: {known} acknowledged, {}",
                orders.len()
            );
            // At most the one append that was under way may be there beyond that.
            assert!(orders.len() <= known + 1, "round {round}");
            assert_eq!(
                orders,
                read(&channel, cover(client, "stock")).await,
                "round {round}: half a commit"
            );
            for (n, value) in orders.iter().enumerate() {
                assert_eq!(*value, vec![client; 40 + (n * 97) % 900], "round {round}");
            }
            stored.insert(client, u32::try_from(orders.len()).unwrap());
        }
        drop(server);
    }
}

async fn health(channel: &Channel) -> ServingStatus {
    let mut client = HealthClient::new(channel.clone());
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    answer.into_inner().status()
}

/// The disk fills up: the append fails with what to do, health turns, reads go on, and with room
/// again everything acknowledged is there and appends go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_appends_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&SERVE[..], &["--set", "storage.index=memory"]].concat();
    let server = Server::start_on_small_disk(folder.path(), 128, &arguments);
    let channel = connect(&server.url).await;
    server
        .run(&["append", "order", ROOT, "--data", "small"])
        .ok();
    assert_eq!(health(&channel).await, ServingStatus::Serving);
    let large = "x".repeat(200 * 1024);
    std::fs::write(folder.path().join("large"), &large).unwrap();
    let problem = server.run(&["append", "order", ROOT, "--data", "@large"]);
    assert_ne!(problem.code, Some(0));
    assert!(problem.stderr.contains("restart"), "{}", problem.stderr);
    let again = server.run(&["append", "order", ROOT, "--data", "small"]);
    assert_ne!(again.code, Some(0), "a poisoned store takes nothing");
    let mut watch = HealthClient::new(channel.clone())
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    assert_eq!(
        server
            .run(&["read", "order", ROOT, "--json"])
            .ok()
            .lines()
            .count(),
        1
    );
    drop(server);
    let server = Server::start_with(folder.path(), &arguments);
    assert_eq!(
        server
            .run(&["read", "order", ROOT, "--json"])
            .ok()
            .lines()
            .count(),
        1
    );
    server
        .run(&["append", "order", ROOT, "--data", "@large"])
        .ok();
    assert_eq!(
        health(&connect(&server.url).await).await,
        ServingStatus::Serving
    );
}
