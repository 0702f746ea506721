//! Section 9: pending events as commands meet them.

use angzarr_proto::store::v1::{CommitCascadeRequest, RollbackCascadeRequest};
use angzarr_proto::v1::{CascadeConflictDetail, NoOp};
use prost::Message;
use tonic::{Code, Status};

use crate::counter::{Counter, fold};
use crate::messages::*;
use crate::world::*;

async fn commit(world: &World, cascade_id: &str) {
    let request = CommitCascadeRequest {
        cascade_id: cascade_id.into(),
    };
    world.store.commit_cascade(request).await.unwrap();
}

async fn roll_back(world: &World, cascade_id: &str) {
    let reason = "changed my mind".into();
    let request = RollbackCascadeRequest {
        cascade_id: cascade_id.into(),
        reason,
    };
    world.store.rollback_cascade(request).await.unwrap();
}

#[track_caller]
fn conflict(refused: &Status) -> CascadeConflictDetail {
    assert_eq!(refused.code(), Code::Aborted, "{}", refused.message());
    let rich = tonic_types::pb::Status::decode(refused.details()).unwrap();
    let any = &rich.details[0];
    assert!(
        any.type_url
            .ends_with("/angzarr_client.proto.angzarr.v1.CascadeConflictDetail")
    );
    CascadeConflictDetail::decode(any.value.as_slice()).unwrap()
}

#[tokio::test]
async fn s9_events_of_a_cascade_are_pending_until_it_is_settled() {
    let world = World::start().await;
    world.add(1, 1).await;
    let book = world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    assert!(book.pages[0].no_commit);
    assert_eq!(book.pages[0].cascade_id.as_deref(), Some("c1"));

    let seen = world.book(cover(1)).await;
    assert_eq!(types(&seen), ["Added", "NoOp"]);
    let hidden: NoOp = unpack(&seen.pages[1]);
    assert_eq!(
        (hidden.reason.as_str(), hidden.cascade_id.as_str()),
        ("uncommitted", "c1")
    );

    commit(&world, "c1").await;
    assert_eq!(
        types(&world.book(cover(1)).await),
        ["Added", "Added", "NoOp"]
    );
    assert_eq!(world.state(1).await.value, 3);
}

#[tokio::test]
async fn s9_revoked_events_are_void_for_everybody() {
    let world = World::start().await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    roll_back(&world, "c1").await;
    assert_eq!(world.state(1).await.value, 0);
    world.add(1, 1).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(types(&seen), ["NoOp", "NoOp"]);
    assert_eq!(seen.next_sequence, 2);
}

#[tokio::test]
async fn s9_a_cascade_sees_its_own_pending_events() {
    let world = World::start().await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    world.sent(in_cascade(at_head(1, add(3)), "c1")).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(fold(None, &seen.pages).value, 2);
}

#[tokio::test]
async fn s9_commands_that_change_the_same_field_are_aborted() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    for request in [at_head(1, add(3)), in_cascade(at_head(1, add(3)), "c2")] {
        let detail = conflict(&world.send(request).await.unwrap_err());
        assert_eq!(detail.cascade_ids, ["c1"]);
        assert_eq!(detail.overlapping_fields, ["1"]);
    }
    assert_eq!(
        world.book(cover(1)).await.next_sequence,
        2,
        "nothing was stored"
    );
    commit(&world, "c1").await;
    world.add(1, 3).await;
    assert_eq!(world.state(1).await.value, 6);
}

#[tokio::test]
async fn s9_commands_that_change_other_fields_proceed() {
    let world = World::start().await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    world.sent(at_head(1, label("a"))).await;
    world.sent(in_cascade(at_head(1, label("b")), "c1")).await;
    let refused = world.send(at_head(1, label("c"))).await.unwrap_err();
    assert_eq!(conflict(&refused).overlapping_fields, ["2"]);
}

#[tokio::test]
async fn s9_a_component_that_cannot_tell_is_taken_for_a_conflict() {
    let counter = Counter {
        replays: false,
        ..Counter::new()
    };
    let world = Setup {
        counter,
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    let detail = conflict(&world.send(at_head(1, label("a"))).await.unwrap_err());
    assert_eq!(detail.cascade_ids, ["c1"]);
    assert!(detail.overlapping_fields.is_empty());
}
