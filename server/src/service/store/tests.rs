#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::status::from_refusal;
use angzarr_adapters::{EventStore, Limits, NativeStore, RemoteStore, StoreError};
use angzarr_engine::{IndexKind, Options};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, EventPage, Uuid, event_page::Payload};
use futures::{StreamExt, stream};
use pb::append_stream_response::Outcome;
use pb::event_store_client::EventStoreClient;
use pb::expected::State;
use prost_types::Any;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::StoreService;
use crate::grpc::{GrpcServer, ServeError};
use crate::listener::Listener;

const LIMIT: usize = 1024 * 1024;

struct Running {
    url: String,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    _folder: TempDir,
}

impl Running {
    async fn client(&self) -> EventStoreClient<Channel> {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap();
        EventStoreClient::new(endpoint.connect().await.unwrap())
    }
}

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        index: IndexKind::Memory,
        ..Options::default()
    };
    let store = NativeStore::open(folder.path(), options, Limits::default()).unwrap();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.url().unwrap();
    let shutdown = CancellationToken::new();
    let service = StoreService::new(Arc::new(store), shutdown.clone());
    let server = service.add_to(GrpcServer::new(LIMIT));
    let drain = Duration::from_secs(60);
    let serving = tokio::spawn(server.serve(vec![listener], shutdown.clone(), drain));
    Running {
        url,
        shutdown,
        serving,
        _folder: folder,
    }
}

fn append(root: u8, expected: Option<u32>, payload: usize) -> pb::AppendRequest {
    let event = Any {
        type_url: "type.googleapis.com/shop.Noted".to_owned(),
        value: vec![0; payload],
    };
    let page = EventPage {
        payload: Some(Payload::Event(event)),
        ..EventPage::default()
    };
    let cover = Cover {
        domain: "order".to_owned(),
        root: Some(Uuid {
            value: vec![root; 16],
        }),
        ..Cover::default()
    };
    let write = pb::AggregateAppend {
        cover: Some(cover),
        pages: vec![page],
        expected: expected.map(|next| pb::Expected {
            state: Some(State::Next(next)),
        }),
        ..pb::AggregateAppend::default()
    };
    pb::AppendRequest {
        writes: vec![write],
        ..pb::AppendRequest::default()
    }
}

/// One aggregate, each request expecting what the one before it leaves, all of them sent without
/// waiting; every third is stale. Only requests handled in order can give these answers.
#[tokio::test]
async fn a_stream_of_appends_is_answered_in_order_and_goes_on_after_refusals() {
    let server = start().await;
    let stale = |number: u32| number % 3 == 2;
    let stored_before = |number: u32| (0..number).filter(|&n| !stale(n)).count();
    let requests: Vec<_> = (0..3_000)
        .map(|number| {
            let next = u32::try_from(stored_before(number)).unwrap();
            append(1, Some(if stale(number) { next + 7 } else { next }), 10)
        })
        .collect();
    let answers = server
        .client()
        .await
        .append_stream(stream::iter(requests))
        .await
        .unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 3_000);
    for (number, answer) in (0..).zip(answers) {
        let next = u32::try_from(stored_before(number)).unwrap();
        match answer.outcome.unwrap() {
            Outcome::Appended(appended) => {
                assert!(!stale(number), "{number}: {appended:?}");
                assert_eq!(appended.results.first().unwrap().first_sequence, Some(next));
            }
            Outcome::Refusal(refusal) => {
                let expected = StoreError::Conflict {
                    domain: "order".to_owned(),
                    root: "01".repeat(16),
                    expected: next + 7,
                    actual: next,
                };
                assert_eq!(from_refusal(refusal), expected, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn an_oversized_request_ends_its_stream_and_nothing_else() {
    let server = start().await;
    let mut client = server.client().await;
    let requests = [
        append(1, None, 10),
        append(1, None, 2 * LIMIT),
        append(1, None, 10),
    ];
    let mut answers = client
        .append_stream(stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    let mut stored = 0;
    let error = loop {
        match answers.message().await {
            Ok(answer) => {
                assert!(answer.is_some(), "the stream ends with an error");
                stored += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(
        (stored, error.code()),
        (1, Code::InvalidArgument),
        "{error:?}"
    );
    client
        .append(append(1, Some(1), 10))
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn a_subscription_ends_at_shutdown_and_does_not_hold_it_up() {
    let server = start().await;
    let mut client = server.client().await;
    let mut records = client
        .subscribe(pb::ReadAllRequest::default())
        .await
        .unwrap()
        .into_inner();
    client.append(append(1, None, 10)).await.unwrap();
    while !matches!(
        records.message().await.unwrap().unwrap().item,
        Some(pb::read_all_response::Item::Book(_))
    ) {}
    server.shutdown.cancel();
    let error = loop {
        match records.message().await {
            Ok(answer) => assert!(answer.is_some(), "the stream ends with an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("subscribe again"),
        "{}",
        error.message()
    );
    drop((client, records));
    server.serving.await.unwrap().unwrap();
}

/// More is asked for than windows and buffers hold, and none of it is taken.
#[tokio::test]
async fn a_client_that_stops_reading_harms_nobody_else() {
    let server = start().await;
    let store = RemoteStore::connect(&server.url).unwrap();
    for _ in 0..100 {
        store.append(append(1, None, 200_000)).await.unwrap();
    }
    let stuck = RemoteStore::connect(&server.url).unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(
            stuck
                .subscribe(pb::ReadAllRequest::default())
                .await
                .unwrap(),
        );
    }
    let answer = store.append(append(1, Some(100), 10)).await.unwrap();
    let seen = store.read_all(pb::ReadAllRequest::default()).await.unwrap();
    let seen = seen.filter(|answer| {
        let is_book = matches!(
            answer.as_ref().unwrap().item,
            Some(pb::read_all_response::Item::Book(_))
        );
        std::future::ready(is_book)
    });
    assert_eq!(u64::try_from(seen.count().await).unwrap(), answer.position);
    // Taken up again, they have missed nothing.
    drop(held.split_off(1));
    let mut late = held.remove(0);
    let mut events = 0;
    while events < answer.position {
        let answer = late.next().await.unwrap().unwrap();
        events += u64::from(matches!(
            answer.item,
            Some(pb::read_all_response::Item::Book(_))
        ));
    }
}
