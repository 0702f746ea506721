//! Section 10: snapshots and temporal reads.

use angzarr_proto::store::v1::{AggregateAppend, AppendRequest, GetSnapshotRequest};
use angzarr_proto::v1::{
    EventPage, Revocation, Snapshot, SnapshotRetention, SpeculateCommandHandlerRequest,
    TemporalQuery, event_page, temporal_query,
};
use angzarr_server::framework;
use angzarr_server::registry::Snapshots;
use tonic::Code;

use crate::counter::{Amount, any, fold};
use crate::messages::*;
use crate::world::*;

async fn newest(world: &World, number: u8) -> Option<Snapshot> {
    let request = GetSnapshotRequest {
        cover: Some(cover(number)),
        at_or_below: None,
    };
    world.store.get_snapshot(request).await.unwrap().snapshot
}

fn with_snapshot(number: u8) -> angzarr_proto::v1::CommandRequest {
    at_head(number, any("Snapshot", &Amount { amount: 10 }))
}

#[tokio::test]
async fn s10_a_returned_snapshot_stands_after_its_events() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(with_snapshot(1)).await;
    let snapshot = newest(&world, 1).await.unwrap();
    assert_eq!(snapshot.sequence, 1);
    assert_eq!(snapshot.retention(), SnapshotRetention::RetentionPersist);
    assert!(snapshot.created_at.is_some());
}

#[tokio::test]
async fn s10_a_handler_gets_the_full_book_until_it_returned_a_snapshot() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(with_snapshot(1)).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!((sequences(&seen), seen.snapshot), (vec![0], None));

    world.add(1, 5).await;
    world.add(1, 6).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!((sequences(&seen), seen.next_sequence), (vec![2], 3));
    assert_eq!(
        fold(seen.snapshot.as_ref(), &seen.pages).value,
        16,
        "as a full replay"
    );
    assert_eq!(world.state(1).await.value, 22);
}

#[tokio::test]
async fn s10_a_snapshot_that_is_only_sent_back_is_none() {
    let world = World::start().await;
    world.sent(with_snapshot(1)).await;
    world
        .sent(at_head(1, any("Echo", &Amount { amount: 1 })))
        .await;
    assert_eq!(newest(&world, 1).await.unwrap().sequence, 0);
}

#[tokio::test]
async fn s10_a_component_may_do_without_snapshots() {
    let setup = Setup {
        snapshots: Snapshots::Never,
        ..Setup::default()
    };
    let world = setup.start().await;
    world.sent(with_snapshot(1)).await;
    assert_eq!(newest(&world, 1).await, None);
    world.add(1, 1).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(sequences(&seen), [0]);
}

#[tokio::test]
async fn s10_no_snapshot_holds_events_that_may_still_come_or_go() {
    let world = World::start().await;
    world.sent(in_cascade(with_snapshot(1), "c1")).await;
    assert_eq!(newest(&world, 1).await, None);
}

#[tokio::test]
async fn s9_s10_a_snapshot_does_not_bring_back_what_was_revoked_after_it() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(with_snapshot(1)).await;
    let revocation = Revocation {
        target: Some(cover(1)),
        sequences: vec![0],
        reason: "test".into(),
        ..Revocation::default()
    };
    let event = framework::pack("Revocation", &revocation);
    let page = EventPage {
        payload: Some(event_page::Payload::Event(event)),
        ..EventPage::default()
    };
    let write = AggregateAppend {
        cover: Some(cover(1)),
        pages: vec![page],
        ..AggregateAppend::default()
    };
    let request = AppendRequest {
        writes: vec![write],
        ..AppendRequest::default()
    };
    world.store.append(request).await.unwrap();
    assert_eq!(world.state(1).await.value, 10, "a full replay");

    let seen = |world: &World| {
        let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
        fold(seen.snapshot.as_ref(), &seen.pages).value
    };
    world.add(1, 5).await;
    assert_eq!(seen(&world), 10);
    let request = SpeculateCommandHandlerRequest {
        command: command(cover(1), add(8), 0).command,
        point_in_time: Some(TemporalQuery {
            point_in_time: Some(temporal_query::PointInTime::AsOfSequence(1)),
        }),
    };
    world
        .commands()
        .handle_sync_speculative(request)
        .await
        .unwrap();
    assert_eq!(seen(&world), 10);

    // The next one is taken from what is left, and serves.
    world.sent(with_snapshot(1)).await;
    world.add(1, 1).await;
    assert_eq!(seen(&world), 25);
    assert_eq!(newest(&world, 1).await.unwrap().sequence, 4);
}

#[tokio::test]
async fn s10_stale_commands_are_compared_across_a_snapshot() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(with_snapshot(1)).await;
    let stale = |payload| {
        merged(
            command(cover(1), payload, 1),
            angzarr_proto::v1::MergeStrategy::MergeCommutative,
        )
    };
    world.sent(stale(label("a"))).await;
    let refused = world.send(stale(add(1))).await.unwrap_err();
    assert!(refused.message().starts_with("Sequence mismatch:"));
}

#[tokio::test]
async fn s10_s11_speculation_decides_at_a_point_and_stores_nothing() {
    let world = World::start().await;
    for amount in [1, 2, 4] {
        world.add(1, amount).await;
    }
    let at = |sequence| TemporalQuery {
        point_in_time: Some(temporal_query::PointInTime::AsOfSequence(sequence)),
    };
    for (point, pages) in [(Some(at(0)), 1), (Some(at(1)), 2), (None, 3)] {
        let request = SpeculateCommandHandlerRequest {
            command: command(cover(1), add(8), 0).command,
            point_in_time: point,
        };
        let answer = world
            .commands()
            .handle_sync_speculative(request)
            .await
            .unwrap();
        let book = answer.into_inner().events.unwrap();
        assert_eq!(sequences(&book), [pages]);
        assert_eq!(book.next_sequence, pages + 1);
        let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
        assert_eq!(
            (seen.pages.len() as u32, seen.next_sequence),
            (pages, pages)
        );
    }
    assert_eq!(world.book(cover(1)).await.next_sequence, 3);
}

#[tokio::test]
async fn s10_an_empty_point_is_refused() {
    let world = World::start().await;
    let request = SpeculateCommandHandlerRequest {
        command: command(cover(1), add(8), 0).command,
        point_in_time: Some(TemporalQuery::default()),
    };
    let refused = world
        .commands()
        .handle_sync_speculative(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
