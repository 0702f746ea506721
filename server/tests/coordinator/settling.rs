//! Section 9: cascades settled by commands; section 2: fields by their names.

use angzarr_proto::v1::{
    CascadeCommit, CascadeConflictDetail, CascadeRollback, CommandRequest, Confirmation, Cover,
    Revocation,
};
use angzarr_server::framework;
use angzarr_server::json::Json;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tonic::Code;

use crate::world::*;

fn administrative(name: &str, message: &impl Message) -> CommandRequest {
    let mut request = at_head(9, framework::pack(name, message));
    cover_mut(&mut request).root = None;
    request
}

fn commit(cascade_id: &str) -> CommandRequest {
    let cascade_id = cascade_id.into();
    administrative("CascadeCommit", &CascadeCommit { cascade_id })
}

fn roll_back(cascade_id: &str) -> CommandRequest {
    let command = CascadeRollback {
        cascade_id: cascade_id.into(),
        reason: "too late".into(),
    };
    administrative("CascadeRollback", &command)
}

#[tokio::test]
async fn s9_cascade_commit_confirms_every_participant_at_once() {
    let world = World::start().await;
    for root in [1, 2] {
        world.sent(in_cascade(at_head(root, add(5)), "c1")).await;
    }
    let before = position(&world).await;
    let answer = world.sent(commit("c1")).await;
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
    let again = world.sent(commit("c1")).await;
    assert!(again.pages.is_empty(), "nothing was pending any more");
}

#[tokio::test]
async fn s9_cascade_rollback_revokes_every_participant_at_once() {
    let world = World::start().await;
    for root in [1, 2] {
        world.sent(in_cascade(at_head(root, add(5)), "c1")).await;
    }
    let answer = world.sent(roll_back("c1")).await;
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
    for request in [commit(""), roll_back(""), commit(&"x".repeat(129))] {
        let refused = world.send(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("cascade_id"), "{refused}");
    }
    assert_eq!(position(&world).await, 0);
}

#[tokio::test]
async fn s2_a_descriptor_set_gives_the_names_of_fields() {
    let set = FileDescriptorSet {
        file: vec![states()],
    };
    let descriptors = Json::new([set.encode_to_vec().as_slice()]).unwrap();
    let world = Setup {
        descriptors: Some(descriptors),
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
