//! Section 11: live events.

use angzarr_proto::store::v1::{CommitCascadeRequest, RollbackCascadeRequest};
use angzarr_proto::v1::{EventBook, EventStreamFilter, SyncMode};
use tonic::{Code, Streaming};

use crate::messages::*;
use crate::world::*;

async fn subscribe(world: &World, id: &str) -> Streaming<EventBook> {
    let filter = EventStreamFilter {
        correlation_id: id.into(),
    };
    world
        .streams()
        .subscribe(filter)
        .await
        .unwrap()
        .into_inner()
}

async fn next(stream: &mut Streaming<EventBook>) -> EventBook {
    stream.message().await.unwrap().unwrap()
}

fn of(number: u8, amount: u32) -> angzarr_proto::v1::CommandRequest {
    correlated(at_head(number, add(amount)), "corr-1")
}

#[tokio::test]
async fn s11_a_correlation_id_is_required() {
    let world = World::start().await;
    let refused = world
        .streams()
        .subscribe(EventStreamFilter::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("correlation_id"));
}

#[tokio::test]
async fn s11_events_of_the_correlation_id_arrive_live_and_nothing_else_does() {
    let world = World::start().await;
    world.sent(of(1, 1)).await;
    let mut stream = subscribe(&world, "corr-1").await;
    world.add(1, 1).await;
    world.sent(correlated(at_head(1, add(1)), "corr-2")).await;
    world.sent(in_mode(of(1, 1), SyncMode::Isolated)).await;
    let sent = world.sent(of(1, 5)).await;
    assert_eq!(next(&mut stream).await, sent);
}

#[tokio::test]
async fn s9_s11_pending_events_arrive_when_they_are_confirmed_and_revoked_ones_never() {
    let world = World::start().await;
    let mut stream = subscribe(&world, "corr-1").await;
    world.sent(in_cascade(of(1, 1), "c1")).await;
    world.sent(in_cascade(of(2, 2), "c2")).await;
    world.sent(of(3, 3)).await;
    // Had the pending events been shown, they would have come first.
    assert_eq!(next(&mut stream).await.cover.unwrap().root, Some(root(3)));

    let reason = "test".into();
    let rollback = RollbackCascadeRequest {
        cascade_id: "c2".into(),
        reason,
    };
    world.store.rollback_cascade(rollback).await.unwrap();
    let commit = CommitCascadeRequest {
        cascade_id: "c1".into(),
    };
    world.store.commit_cascade(commit).await.unwrap();
    let confirmed = next(&mut stream).await;
    assert_eq!(confirmed.cover.as_ref().unwrap().root, Some(root(1)));
    assert_eq!(
        (sequences(&confirmed), types(&confirmed)),
        (vec![0], vec!["Added"])
    );

    world.sent(of(3, 4)).await;
    assert_eq!(sequences(&next(&mut stream).await), [1]);
}

#[tokio::test]
async fn s11_a_slow_subscriber_loses_nothing() {
    let world = World::start().await;
    let mut stream = subscribe(&world, "corr-1").await;
    let text = "x".repeat(100_000);
    // More than the windows of the connection hold.
    for _ in 0..100 {
        world
            .sent(correlated(at_head(1, label(&text)), "corr-1"))
            .await;
    }
    for expected in 0..100 {
        assert_eq!(sequences(&next(&mut stream).await), [expected]);
    }
}
