//! Section 5: the plain path of a compensation.

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    AngzarrDeferredSequence, BusinessResponse, CommandRequest, Notification, PageHeader,
    RejectionNotification, business_response, page_header,
};
use angzarr_server::framework;
use prost_types::Any;
use tonic::{Code, Status};

use crate::messages::*;
use crate::world::*;

fn notification() -> Any {
    let rejection = RejectionNotification {
        rejection_reason: "no stock".into(),
        ..RejectionNotification::default()
    };
    let notification = Notification {
        payload: Some(framework::pack("RejectionNotification", &rejection)),
        ..Notification::default()
    };
    framework::pack("Notification", &notification)
}

fn compensation(payload: Any) -> CommandRequest {
    let deferred = AngzarrDeferredSequence {
        source: Some(cover(1)),
        source_component: "saga".into(),
        ..AngzarrDeferredSequence::default()
    };
    let mut request = command(cover(1), payload, 0);
    page_mut(&mut request).header = Some(PageHeader {
        sequence_type: Some(page_header::SequenceType::AngzarrDeferred(deferred)),
        sync_mode: None,
    });
    request
}

async fn compensate(world: &World, request: CommandRequest) -> Result<BusinessResponse, Status> {
    world
        .commands()
        .handle_compensation(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn s5_only_the_events_of_the_handler_are_stored() {
    let world = World::start().await;
    world.add(1, 1).await;
    let answer = compensate(&world, compensation(notification()))
        .await
        .unwrap();
    let Some(business_response::Result::Events(book)) = answer.result else {
        panic!()
    };
    assert_eq!(sequences(&book), [1]);
    assert_eq!(types(&world.book(cover(1)).await), ["Added", "Added"]);
    let call = world.counter.calls().pop().unwrap().request;
    assert_eq!(
        call.events.unwrap().pages.len(),
        1,
        "the handler gets the state"
    );
}

#[tokio::test]
async fn s5_a_notification_is_delivered_once_and_is_no_command_of_the_same_tuple() {
    let world = World::start().await;
    world.sent(compensation(add(1))).await;
    let first = compensate(&world, compensation(notification()))
        .await
        .unwrap();
    let second = compensate(&world, compensation(notification()))
        .await
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(world.book(cover(1)).await.next_sequence, 2);
}

#[tokio::test]
async fn s5_what_is_no_deferred_notification_is_refused() {
    let world = World::start().await;
    let refused = compensate(&world, compensation(add(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("Notification"));
    let refused = compensate(&world, command(cover(1), notification(), 0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("angzarr_deferred"));
}

#[tokio::test]
async fn s5_a_handler_of_another_dialect_knows_the_notification_by_its_name() {
    let world = Setup {
        dialect: Dialect::Client03,
        ..Setup::default()
    }
    .start()
    .await;
    compensate(&world, compensation(notification()))
        .await
        .unwrap();
    let call = world.counter.calls().pop().unwrap().request;
    let page = &call.command.unwrap().pages[0];
    let Some(angzarr_proto::v1::command_page::Payload::Command(any)) = &page.payload else {
        panic!()
    };
    assert_eq!(any.type_url, "type.googleapis.com/angzarr.Notification");
}
