//! §5 Rejection and compensation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    Notification, RejectionNotification, SagaCompensationFailed, angzarr_dead_letter, command_page,
    page_header,
};
use angzarr_server::coordinator::Settings;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::counter::{Call, Counter};
use crate::messages::*;
use crate::reactor::emitted;
use crate::sagas::{Shop, commanding, saga};
use crate::world::*;

/// What a call told the source, if it was a notification.
fn told(call: &Call) -> Option<RejectionNotification> {
    let command = call.request.command.as_ref().unwrap();
    let Some(command_page::Payload::Command(any)) = &command.pages[0].payload else {
        return None;
    };
    if !any.type_url.ends_with("Notification") {
        return None;
    }
    let notification = Notification::decode(any.value.as_slice()).unwrap();
    let payload = notification.payload.unwrap();
    Some(RejectionNotification::decode(payload.value.as_slice()).unwrap())
}

pub(crate) fn notifications(counter: &Counter) -> Vec<Call> {
    let calls = counter.calls().into_iter();
    calls.filter(|call| told(call).is_some()).collect()
}

#[tokio::test]
async fn s5_the_source_of_a_refused_command_is_told_and_its_answer_stored() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let shop = Shop::with(vec![saga_on_labels(&reactor).await]).await;
    let request = correlated(at_head(1, label("order")), "c-1");
    shop.world.sent(request).await;
    let pages = shop.world.stored("counter", 2).await;
    let compensated: crate::counter::Amount = unpack(&pages[1]);
    assert_eq!(compensated.amount, 1000);
    let calls = notifications(&shop.world.counter);
    assert_eq!(calls.len(), 1);
    let news = told(&calls[0]).unwrap();
    assert_eq!(news.rejection_reason, "full");
    let rejected = news.rejected_command.unwrap();
    assert_eq!(rejected.cover.as_ref().unwrap().domain, "stock");
    let command = calls[0].request.command.as_ref().unwrap();
    assert_eq!(command.cover.as_ref().unwrap().correlation_id, "c-1");
    // The tuple of the refused command.
    assert_eq!(
        command.pages[0].header.as_ref().unwrap().sequence_type,
        rejected.pages[0].header.as_ref().unwrap().sequence_type
    );
    assert_eq!(calls[0].request.events.as_ref().unwrap().pages.len(), 1);
    assert!(shop.world.dead_letters("counter").await.is_empty());
}

#[tokio::test]
async fn s5_a_notification_waits_for_its_target_and_survives_a_restart() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let settings = angzarr_server::registry::ReactionSettings {
        retries: angzarr_server::handler::Retries {
            attempts: 1_000_000,
            min: std::time::Duration::from_millis(1),
            max: std::time::Duration::from_millis(20),
        },
        ..saga_on_labels(&reactor).await
    };
    let stock = Counter::new();
    let address = stock.serve(Dialect::V1).await;
    let setup = |counter, folder| Setup {
        counter,
        others: vec![handler("stock", &address)],
        reactions: vec![settings.clone()],
        folder,
        ..Setup::default()
    };
    let away = Counter {
        on_notification: Some(Arc::new(|| Err(tonic::Status::unavailable("not now")))),
        ..Counter::new()
    };
    let world = setup(away, None).start().await;
    world.sent(at_head(1, label("order"))).await;
    world.stored("angzarr.outbox.restock", 1).await;
    let folder = world.stop().await;
    let world = setup(Counter::new(), Some(folder)).start().await;
    world.stored("counter", 2).await;
    assert_eq!(notifications(&world.counter).len(), 1);
    assert_eq!(reactor.translated.all().len(), 1, "the trigger was done");
}

#[tokio::test]
async fn s5_a_notification_that_is_refused_is_a_dead_letter() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let counter = Counter {
        on_notification: Some(Arc::new(|| {
            Err(tonic::Status::invalid_argument("no such thing"))
        })),
        ..Counter::new()
    };
    let world = shop_with(counter, saga_on_labels(&reactor).await, Settings::default()).await;
    world.sent(at_head(1, label("order"))).await;
    let letter = world.dead_letter("counter").await;
    let Some(angzarr_dead_letter::RejectionDetails::CompensationDeliveryFailed(details)) =
        letter.rejection_details
    else {
        panic!("{letter:?}");
    };
    assert_eq!(details.attempts, 1);
    assert!(details.last_error.contains("no such thing"));
}

#[tokio::test]
async fn s5_delivery_is_tried_again_up_to_the_budget() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let counter = Counter {
        on_notification: Some(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(tonic::Status::internal("not now"))
        })),
        ..Counter::new()
    };
    let world = shop_with(counter, saga_on_labels(&reactor).await, Settings::default()).await;
    world.sent(at_head(1, label("order"))).await;
    let letter = world.dead_letter("counter").await;
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    let Some(angzarr_dead_letter::RejectionDetails::CompensationDeliveryFailed(details)) =
        letter.rejection_details
    else {
        panic!();
    };
    assert_eq!(details.attempts, 4);
}

#[tokio::test]
async fn s5_the_component_may_leave_the_rest_to_the_framework() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", listener.local_addr().unwrap());
    let posted = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        let mut some = [0; 1024];
        while !text.ends_with(b"}") {
            let read = connection.read(&mut some).await.unwrap();
            text.extend_from_slice(&some[..read]);
        }
        connection
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(text).unwrap()
    });
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let counter = Counter {
        on_notification: Some(Arc::new(|| {
            Ok(crate::counter::revocation(
                angzarr_proto::v1::RevocationResponse {
                    emit_system_revocation: true,
                    send_to_dead_letter_queue: true,
                    escalate: true,
                    abort: false,
                    reason: "beyond me".into(),
                },
            ))
        })),
        ..Counter::new()
    };
    let settings = Settings {
        escalation_webhook: Some(webhook),
        ..Settings::default()
    };
    let world = shop_with(counter, saga_on_labels(&reactor).await, settings).await;
    world.sent(at_head(1, label("order"))).await;
    let letter = world.dead_letter("stock").await;
    let Some(angzarr_dead_letter::Payload::RejectedCommand(book)) = letter.payload else {
        panic!();
    };
    assert_eq!(book.cover.unwrap().domain, "stock");
    let failed = world.stored("angzarr.saga-failures", 1).await;
    let failed: SagaCompensationFailed = unpack(&failed[0]);
    assert_eq!(failed.compensation_failure_reason, "beyond me");
    assert_eq!(failed.rejection_reason, "full");
    assert_eq!(failed.triggering_aggregate.unwrap().domain, "counter");
    let posted = posted.await.unwrap();
    assert!(posted.starts_with("POST /hook"), "{posted}");
    assert!(posted.contains("beyond me"), "{posted}");
}

#[tokio::test]
async fn s5_a_notification_may_be_passed_on_to_what_caused_the_source() {
    // counter -> stock -> shelf; the shelf refuses, the stock passes that on to the counter.
    let first = commanding(|root| vec![emitted("stock", root, label("from the counter"))]);
    let second = commanding(|root| vec![emitted("shelf", root, plain("Reject"))]);
    let shelf = Counter::new();
    let shelf_address = shelf.serve(Dialect::V1).await;
    let stock = Counter {
        on_notification: Some(Arc::new(|| {
            Ok(crate::counter::answer(
                angzarr_proto::v1::business_response::Result::Notification(Notification::default()),
            ))
        })),
        ..Counter::new()
    };
    let stock_address = stock.serve(Dialect::V1).await;
    let to_shelf = angzarr_server::registry::ReactionSettings {
        name: "shelve".into(),
        inputs: vec![crate::reactor::input("stock", &["Labelled"])],
        ..saga(&second).await
    };
    let world = Setup {
        others: vec![
            handler("stock", &stock_address),
            handler("shelf", &shelf_address),
        ],
        reactions: vec![saga_on_labels(&first).await, to_shelf],
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(at_head(1, label("order"))).await;
    let pages = world.stored("counter", 2).await;
    let compensated: crate::counter::Amount = unpack(&pages[1]);
    assert_eq!(compensated.amount, 1000);
    let calls = notifications(&world.counter);
    let Some(page_header::SequenceType::AngzarrDeferred(tuple)) =
        &calls[0].request.command.as_ref().unwrap().pages[0]
            .header
            .as_ref()
            .unwrap()
            .sequence_type
    else {
        panic!();
    };
    assert_eq!(tuple.source_component, "restock");
    assert_eq!(notifications(&stock).len(), 1);
}

/// A saga that reacts to labels only, so that the answers of the counter cause nothing more.
async fn saga_on_labels(
    reactor: &crate::reactor::Reactor,
) -> angzarr_server::registry::ReactionSettings {
    angzarr_server::registry::ReactionSettings {
        inputs: vec![crate::reactor::input("counter", &["Labelled"])],
        ..saga(reactor).await
    }
}

async fn shop_with(
    counter: Counter,
    reaction: angzarr_server::registry::ReactionSettings,
    settings: Settings,
) -> World {
    let stock = Counter::new();
    let address = stock.serve(Dialect::V1).await;
    Setup {
        counter,
        others: vec![handler("stock", &address)],
        reactions: vec![reaction],
        settings,
        ..Setup::default()
    }
    .start()
    .await
}
