//! Section 9: cascades settled by commands; section 2: fields by their names.

use angzarr_proto::store::v1::{PendingView, PutSnapshotRequest, ReadRequest};
use angzarr_proto::v1::{
    CascadeConflictDetail, Confirmation, Cover, EventStreamFilter, Revocation, Snapshot, SyncMode,
};
use angzarr_server::json::Json;
use futures::StreamExt;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tonic::Code;

use crate::messages::*;
use crate::world::*;

#[tokio::test]
async fn s9_cascade_commit_confirms_every_participant_at_once() {
    let world = World::start().await;
    for root in [1, 2] {
        world.sent(in_cascade(at_head(root, add(5)), "c1")).await;
    }
    let before = position(&world).await;
    let answer = world.sent(committing("c1")).await;
    let told: Vec<(Option<Cover>, Vec<u32>)> = answer
        .pages
        .iter()
        .map(unpack::<Confirmation>)
        .map(|event| (event.target, event.sequences))
        .collect();
    assert_eq!(told, [(Some(cover(1)), vec![0]), (Some(cover(2)), vec![0])]);
    for root in [1, 2] {
        assert_eq!(world.state(root).await.value, 5);
        assert_eq!(types(&world.book(cover(root)).await), ["Added", "NoOp"]);
    }
    assert_eq!(
        position(&world).await,
        before + 2,
        "nothing else was stored"
    );
    let again = world.sent(committing("c1")).await;
    assert!(again.pages.is_empty(), "nothing was pending any more");
}

#[tokio::test]
async fn s9_cascade_rollback_revokes_every_participant_at_once() {
    let world = World::start().await;
    for root in [1, 2] {
        world.sent(in_cascade(at_head(root, add(5)), "c1")).await;
    }
    let answer = world.sent(rolling_back("c1")).await;
    let told: Vec<Revocation> = answer.pages.iter().map(unpack).collect();
    assert_eq!(told.len(), 2);
    for revocation in told {
        assert_eq!(revocation.reason, "too late");
        assert_eq!(revocation.cascade_id, "c1");
    }
    for root in [1, 2] {
        assert_eq!(types(&world.book(cover(root)).await), ["NoOp", "NoOp"]);
    }
}

#[tokio::test]
async fn s9_a_settlement_names_its_cascade() {
    let world = World::start().await;
    for request in [
        committing(""),
        rolling_back(""),
        committing(&"x".repeat(129)),
    ] {
        let refused = world.send(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("cascade_id"), "{refused}");
    }
    assert_eq!(position(&world).await, 0);
}

#[tokio::test]
async fn s2_a_descriptor_set_gives_the_names_of_fields() {
    let world = Setup {
        descriptors: Some(described()),
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    let refused = world.send(at_head(1, add(3))).await.unwrap_err();
    let rich = tonic_types::pb::Status::decode(refused.details()).unwrap();
    let detail = CascadeConflictDetail::decode(rich.details[0].value.as_slice()).unwrap();
    assert_eq!(detail.overlapping_fields, ["value"]);
}

pub(crate) fn described() -> Json {
    let set = FileDescriptorSet {
        file: vec![states()],
    };
    Json::new([set.encode_to_vec().as_slice()]).unwrap()
}

async fn position(world: &World) -> u64 {
    let stats = world.store.stats(Default::default()).await;
    stats.unwrap().position
}

/// The counter's state, as its author would describe it.
fn states() -> FileDescriptorProto {
    let field = |number, name: &str, kind| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(i32::from(kind)),
        ..FieldDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("counter.proto".to_owned()),
        package: Some("counter".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("State".to_owned()),
            field: vec![
                field(1, "value", Type::Uint32),
                field(2, "label", Type::String),
            ],
            ..DescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

#[tokio::test]
async fn s2_isolated_events_stay_isolated_when_they_are_confirmed() {
    let world = World::start().await;
    let filter = EventStreamFilter {
        correlation_id: "corr-1".into(),
    };
    let mut books = world
        .streams()
        .subscribe(filter)
        .await
        .unwrap()
        .into_inner();
    let request = |amount| correlated(at_head(1, add(amount)), "corr-1");
    let isolated = in_mode(request(1), SyncMode::Isolated);
    world.sent(in_cascade(isolated, "c1")).await;
    world.sent(in_cascade(request(2), "c1")).await;
    world.sent(committing("c1")).await;
    let first = books.next().await.unwrap().unwrap();
    assert_eq!(sequences(&first), [1], "the isolated one is not delivered");
    assert_eq!(world.state(1).await.value, 3, "but it counts");
}

#[tokio::test]
async fn s10_a_snapshot_older_than_a_decision_below_it_is_not_read() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.sent(in_cascade(at_head(1, add(2)), "c1")).await;
    world.add(2, 1).await;
    world.add(2, 1).await;
    let snapshot = |root, sequence| PutSnapshotRequest {
        cover: Some(cover(root)),
        snapshot: Some(Snapshot {
            sequence,
            state: Some(plain("State")),
            ..Snapshot::default()
        }),
    };
    let put = |request| world.store.put_snapshot(request);
    put(snapshot(1, 1)).await.unwrap();
    put(snapshot(2, 1)).await.unwrap();
    assert_eq!(
        snapshot_read(&world, 1).await,
        None,
        "it is over a pending event"
    );
    assert_eq!(snapshot_read(&world, 2).await, Some(1));

    world.sent(committing("c1")).await;
    assert_eq!(
        snapshot_read(&world, 1).await,
        None,
        "it knows nothing of the decision"
    );
    put(snapshot(1, 2)).await.unwrap();
    assert_eq!(
        snapshot_read(&world, 1).await,
        Some(2),
        "it was taken behind the decision"
    );
}

/// Sequence of the snapshot that a resolved reading begins with.
async fn snapshot_read(world: &World, root: u8) -> Option<u32> {
    let request = ReadRequest {
        cover: Some(cover(root)),
        with_snapshot: true,
        pending: PendingView::Resolved.into(),
        ..ReadRequest::default()
    };
    let mut chunks = world.store.read(request).await.unwrap();
    let first = chunks.next().await.unwrap().unwrap();
    first.snapshot.map(|snapshot| snapshot.sequence)
}
