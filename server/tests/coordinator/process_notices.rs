//! §6 A process manager tells somebody something.

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    Compensate, Cover, Notification, ProcessManagerHandleRequest, ProcessManagerHandleResponse,
    RejectionNotification, angzarr_dead_letter, command_page, page_header,
};
use angzarr_server::framework;
use angzarr_server::registry::ReactionSettings;
use prost::Message;
use prost_types::Any;

use crate::counter::{Call, any};
use crate::messages::*;
use crate::process_managers::{is_notification, manager, noted, order, process_cover};
use crate::reactor::{Reactor, component, emitted, fact, input};
use crate::rejections::notifications;
use crate::sagas::Shop;

fn undo() -> Any {
    let compensate = Compensate {
        target: Some(cover(1)),
        sequences: vec![0],
        reason: "nobody is at home".into(),
    };
    framework::pack("Compensate", &compensate)
}

fn saying(cover: Option<Cover>, payload: Option<Any>) -> Notification {
    Notification {
        cover,
        payload,
        sent_at: None,
    }
}

/// Says this to every ordinary event.
fn telling(notification: Notification) -> Reactor {
    Reactor::new().processing(move |request: ProcessManagerHandleRequest| {
        let notification = (!is_notification(&request)).then(|| notification.clone());
        async move {
            Ok(ProcessManagerHandleResponse {
                process_events: vec![fact("x", 1, noted("Taken"))],
                notification,
                ..ProcessManagerHandleResponse::default()
            })
        }
    })
}

/// The notification a command handler was called with.
fn heard(call: &Call) -> Option<Notification> {
    let command = call.request.command.as_ref()?;
    let Some(command_page::Payload::Command(any)) = &command.pages[0].payload else {
        return None;
    };
    let is_one = any.type_url.ends_with(".Notification");
    is_one.then(|| Notification::decode(any.value.as_slice()).unwrap())
}

#[tokio::test]
async fn s6_a_notification_reaches_the_source_of_the_event() {
    let reactor = telling(saying(None, Some(undo())));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    let pages = shop.world.stored("counter", 2).await;
    assert_eq!(unpack::<crate::counter::Amount>(&pages[1]).amount, 1000);
    let call = shop.world.counter.calls().pop().unwrap();
    let said = heard(&call).unwrap();
    assert_eq!(said.payload, Some(undo()));
    assert!(said.sent_at.is_some());
    let command = call.request.command.unwrap();
    let cover = command.cover.unwrap();
    assert_eq!(
        cover.correlation_id,
        order(1).command.unwrap().cover.unwrap().correlation_id
    );
    let header = command.pages[0].header.as_ref().unwrap();
    let Some(page_header::SequenceType::AngzarrDeferred(tuple)) = &header.sequence_type else {
        panic!("{header:?}");
    };
    assert_eq!(
        (tuple.source_seq, tuple.source_component.as_str()),
        (0, "shipping")
    );
    assert_eq!(types(&shop.world.book(process_cover()).await), ["Taken"]);
}

#[tokio::test]
async fn s6_a_notification_reaches_whom_it_names_once() {
    for dialect in Dialect::ALL {
        let reactor = telling(saying(Some(cover_in("stock", 7)), Some(plain("Hurry"))));
        let settings = ReactionSettings {
            inputs: vec![input("counter", &["Labelled"])],
            ..component(
                angzarr_server::registry::ReactionKind::ProcessManager,
                "shipping",
                &reactor.serve(dialect).await,
            )
        };
        let shop = Shop::with(vec![settings]).await;
        shop.world.sent(order(1)).await;
        shop.world.stored("stock", 1).await;
        let consumers = &shop.world.consumers;
        consumers.reset("process_manager.shipping").await.unwrap();
        consumers.reset("outbox.shipping").await.unwrap();
        shop.world.sent(order(2)).await;
        shop.world.stored("stock", 2).await;
        let calls = shop.stock.calls();
        assert_eq!(calls.len(), 2, "one call for each order");
        let said = heard(&calls[0]).unwrap();
        assert_eq!(said.payload, Some(plain("Hurry")), "whatever it is about");
        assert_eq!(shop.world.book_of("stock", 7).await.next_sequence, 2);
        assert_eq!(
            shop.world.book(cover(1)).await.next_sequence,
            1,
            "nobody else"
        );
    }
}

#[tokio::test]
async fn s6_a_refusal_that_is_passed_on_is_told_to_the_source_once() {
    let reactor = Reactor::new().processing(|request: ProcessManagerHandleRequest| async move {
        if is_notification(&request) {
            let trigger = request.trigger.unwrap();
            let told = Notification::decode(event(&trigger.pages[0]).value.as_slice()).unwrap();
            return Ok(ProcessManagerHandleResponse {
                process_events: vec![fact("x", 1, noted("Refused"))],
                notification: Some(told),
                ..ProcessManagerHandleResponse::default()
            });
        }
        Ok(ProcessManagerHandleResponse {
            commands: vec![emitted("stock", 1, plain("Reject"))],
            ..ProcessManagerHandleResponse::default()
        })
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    // The command, the news for the process and for the source, and the same from the process.
    shop.world.stored("angzarr.outbox.shipping", 4).await;
    // What follows in the same process stands behind it.
    shop.world.sent(order(2)).await;
    shop.world.stored("counter", 4).await;
    let told = notifications(&shop.world.counter);
    assert_eq!(told.len(), 2, "once for each order");
    assert_eq!(shop.world.book(cover(1)).await.next_sequence, 2);
    let process = shop.world.book(process_cover()).await;
    assert_eq!(types(&process), ["Refused", "Refused"]);
}

#[tokio::test]
async fn s6_a_process_may_ask_for_more_than_is_told_anyway() {
    let reactor = Reactor::new().processing(|request: ProcessManagerHandleRequest| async move {
        let refused = is_notification(&request);
        let commands = vec![emitted("stock", 1, plain("Reject"))];
        Ok(ProcessManagerHandleResponse {
            commands: if refused { Vec::new() } else { commands },
            notification: refused.then(|| saying(None, Some(undo()))),
            ..ProcessManagerHandleResponse::default()
        })
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    shop.world.stored("counter", 3).await;
    let calls = shop.world.counter.calls();
    let payloads: Vec<_> = calls
        .iter()
        .filter_map(heard)
        .map(|said| said.payload.unwrap())
        .collect();
    let name = |any: &Any| any.type_url.rsplit('.').next().unwrap().to_owned();
    let names: Vec<_> = payloads.iter().map(name).collect();
    assert_eq!(names, ["RejectionNotification", "Compensate"]);
    let refusal = RejectionNotification::decode(payloads[0].value.as_slice()).unwrap();
    assert_eq!(refusal.rejection_reason, "full");
}

#[tokio::test]
async fn s6_a_notification_that_nobody_can_get_stores_nothing() {
    for (said, word) in [
        (saying(Some(cover_in("mars", 1)), Some(undo())), "mars"),
        (saying(None, None), "no payload"),
        (
            saying(
                Some(Cover {
                    root: None,
                    ..cover_in("stock", 1)
                }),
                Some(undo()),
            ),
            "notification.cover.root",
        ),
    ] {
        let reactor = telling(said);
        let shop = Shop::with(vec![manager(&reactor).await]).await;
        shop.world.sent(order(1)).await;
        let letter = shop.world.dead_letter("counter").await;
        let reason = letter.rejection_reason;
        assert!(reason.contains(word), "{reason}");
        assert_eq!(shop.world.book(process_cover()).await.next_sequence, 0);
    }
}

#[tokio::test]
async fn s5_what_is_not_about_a_refusal_is_put_aside_as_it_is() {
    let reactor = telling(saying(
        None,
        Some(any("Hurry", &crate::counter::Amount { amount: 1 })),
    ));
    let counter = crate::counter::Counter {
        on_notification: Some(std::sync::Arc::new(|| {
            Ok(crate::counter::revocation(
                angzarr_proto::v1::RevocationResponse {
                    send_to_dead_letter_queue: true,
                    reason: "not in a hurry".into(),
                    ..angzarr_proto::v1::RevocationResponse::default()
                },
            ))
        })),
        ..crate::counter::Counter::new()
    };
    let world = crate::world::Setup {
        counter,
        reactions: vec![ReactionSettings {
            targets: Vec::new(),
            ..manager(&reactor).await
        }],
        ..crate::world::Setup::default()
    }
    .start()
    .await;
    world.sent(order(1)).await;
    let letter = world.dead_letter("counter").await;
    assert_eq!(letter.rejection_reason, "not in a hurry");
    let Some(angzarr_dead_letter::Payload::RejectedCommand(book)) = letter.payload else {
        panic!("no command");
    };
    assert_eq!(book.cover.unwrap().domain, "counter");
}
