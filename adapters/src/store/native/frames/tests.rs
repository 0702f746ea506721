#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use angzarr_engine::{IndexKind, Options};
use angzarr_proto::frame;
use angzarr_proto::v1::{Cover, Edition, EventPage, Uuid, event_page::Payload};
use futures::{StreamExt, TryStreamExt};
use prost_types::{Any, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::store::EventStore;
use crate::{Limits, NativeStore};

/// Events of every kind that a record can tell apart.
async fn filled() -> (TempDir, NativeStore) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        index: IndexKind::Memory,
        ..Options::default()
    };
    let store = NativeStore::open(folder.path(), options, Limits::default()).unwrap();
    let ext = Any {
        type_url: "type.googleapis.com/shop.Tenant".to_owned(),
        value: vec![7; 200],
    };
    for n in 0..64u8 {
        let has = |bit: u8| n & (1 << bit) != 0;
        let pages = (0..1 + usize::from(n % 7)).map(|page| some_page(n, page, has(5)));
        let write = pb::AggregateAppend {
            cover: Some(Cover {
                domain: if has(0) { "order" } else { "stock.item" }.to_owned(),
                root: Some(Uuid {
                    value: vec![if has(4) { n } else { n % 5 }; 16],
                }),
                correlation_id: if has(1) {
                    format!("c-{n}")
                } else {
                    String::new()
                },
                edition: has(2).then(|| Edition {
                    name: "what-if".to_owned(),
                    divergences: Vec::new(),
                }),
                ext: has(3).then(|| ext.clone()),
            }),
            pages: pages.collect(),
            ..Default::default()
        };
        let request = pb::AppendRequest {
            writes: vec![write],
            cascade_id: has(4).then(|| format!("cascade-{n}")),
            isolated: has(5),
            ..Default::default()
        };
        store.append(request).await.unwrap();
    }
    (folder, store)
}

fn some_page(n: u8, page: usize, early: bool) -> EventPage {
    let event = Any {
        type_url: format!("type.googleapis.com/shop.Type{}", page % 2),
        value: vec![n; page * 61],
    };
    EventPage {
        created_at: early.then_some(Timestamp {
            seconds: -1,
            nanos: 5,
        }),
        payload: Some(Payload::Event(event)),
        ..EventPage::default()
    }
}

#[tokio::test]
async fn frames_are_the_messages_byte_by_byte() {
    let (_folder, store) = filled().await;
    let filters = [
        pb::Filter::default(),
        pb::Filter {
            domains: vec!["order".to_owned()],
            skip_isolated: true,
            ..pb::Filter::default()
        },
        pb::Filter {
            types: vec!["Type1".to_owned()],
            ..pb::Filter::default()
        },
    ];
    for filter in filters {
        for after_position in [0, 1, 77, 100_000] {
            let request = pb::ReadAllRequest {
                after_position,
                filter: Some(filter.clone()),
            };
            let messages = store.read_all(request.clone()).await.unwrap();
            let messages: Vec<_> = messages.try_collect().await.unwrap();
            let expected: Vec<u8> = messages.iter().flat_map(|m| frame(m).to_vec()).collect();
            let frames = store.record_frames(request.clone(), false).await.unwrap();
            let frames: Vec<_> = frames.try_collect().await.unwrap();
            assert_eq!(frames.concat(), expected, "{request:?}");
        }
    }
}

/// A subscription says that it has caught up, where a reading ends with the same words.
#[tokio::test]
async fn a_subscription_has_the_same_frames() {
    let (_folder, store) = filled().await;
    let request = pb::ReadAllRequest::default();
    let read = store.record_frames(request.clone(), false).await.unwrap();
    let read: Vec<_> = read.try_collect().await.unwrap();
    let expected = read.concat();
    let mut subscribed = store.record_frames(request, true).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        seen.extend_from_slice(&subscribed.next().await.unwrap().unwrap());
    }
    assert_eq!(seen, expected);
}
