//! §6 Process managers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    CommandBook, CommandRequest, EventBook, EventPage, ProcessManagerHandleRequest,
    ProcessManagerHandleResponse, SyncMode,
};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tonic::Status;
use uuid::Uuid;

use crate::counter::{added, any};
use crate::messages::*;
use crate::reactor::{Reactor, component, emitted, fact, input, root_of};
use crate::sagas::Shop;

pub(crate) const PROCESS: &str = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";

/// An order in a process.
pub(crate) fn order(root: u8) -> CommandRequest {
    correlated(at_head(root, label("order")), PROCESS)
}

pub(crate) fn noted(name: &str) -> EventPage {
    EventPage {
        payload: Some(angzarr_proto::v1::event_page::Payload::Event(any(
            name,
            &crate::counter::Amount { amount: 1 },
        ))),
        ..EventPage::default()
    }
}

pub(crate) fn is_notification(request: &ProcessManagerHandleRequest) -> bool {
    let trigger = request.trigger.as_ref().unwrap();
    types(trigger) == ["Notification"]
}

/// Notes each event, and answers ordinary ones with these commands and facts.
pub(crate) fn noting(
    commands: impl Fn(u8) -> (Vec<CommandBook>, Vec<EventBook>) + Send + Sync + 'static,
) -> Reactor {
    Reactor::new().processing(move |request: ProcessManagerHandleRequest| {
        let news = is_notification(&request);
        let (commands, facts) = if news {
            (Vec::new(), Vec::new())
        } else {
            commands(root_of(request.trigger.as_ref().unwrap()))
        };
        let page = noted(if news { "Refused" } else { "Taken" });
        async move {
            Ok(ProcessManagerHandleResponse {
                process_events: vec![EventBook {
                    pages: vec![page],
                    ..EventBook::default()
                }],
                commands,
                facts,
                notification: None,
            })
        }
    })
}

pub(crate) async fn manager(reactor: &Reactor) -> ReactionSettings {
    ReactionSettings {
        inputs: vec![input("counter", &["Labelled"])],
        targets: vec!["stock".into()],
        ..reactor
            .component(ReactionKind::ProcessManager, "shipping")
            .await
    }
}

pub(crate) fn process_cover() -> angzarr_proto::v1::Cover {
    let mut cover = cover_in("shipping", 1);
    cover.root.as_mut().unwrap().value = Uuid::parse_str(PROCESS).unwrap().as_bytes().to_vec();
    cover
}

#[tokio::test]
async fn s6_events_commands_and_facts_come_of_one_trigger() {
    let reactor = noting(|root| {
        (
            vec![emitted("stock", root, add(5))],
            vec![fact("stock", root, added(10))],
        )
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    shop.world.stored("stock", 2).await;
    let amounts: Vec<u32> = shop
        .world
        .book_of("stock", 1)
        .await
        .pages
        .iter()
        .map(|page| unpack::<crate::counter::Amount>(page).amount)
        .collect();
    assert_eq!(amounts, [5, 10], "commands, then facts");
    let process = shop.world.book(process_cover()).await;
    assert_eq!(types(&process), ["Taken"]);
    // The server's own records of it are not part of what belongs together.
    let domains = shop.world.correlated(PROCESS).await;
    assert_eq!(domains, ["counter", "shipping", "stock"]);
    let call = reactor.processed.all().pop().unwrap();
    assert_eq!(call.destination_sequences.get("stock"), Some(&0));
    let state = call.process_state.unwrap();
    assert_eq!((state.next_sequence, state.pages.len()), (0, 0));
    assert_eq!(state.cover.unwrap().domain, "shipping");
    // The next event of the process finds the first.
    shop.world.sent(order(2)).await;
    let calls = reactor.processed.reach(2).await;
    let state = calls[1].process_state.as_ref().unwrap();
    assert_eq!(types(state), ["Taken"]);
    let calls = shop.stock.calls();
    let command = calls[0].request.command.as_ref().unwrap();
    assert_eq!(command.cover.as_ref().unwrap().correlation_id, PROCESS);
}

#[tokio::test]
async fn s6_the_root_is_made_of_any_correlation_id() {
    let reactor = noting(|_| (Vec::new(), Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world
        .sent(correlated(at_head(1, label("order")), "order-7"))
        .await;
    shop.world.stored("shipping", 1).await;
    let root = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"order-7");
    let mut cover = cover_in("shipping", 1);
    cover.root.as_mut().unwrap().value = root.as_bytes().to_vec();
    assert_eq!(shop.world.book(cover).await.next_sequence, 1);
}

#[tokio::test]
async fn s6_events_without_a_correlation_id_are_not_delivered() {
    let reactor = noting(|_| (Vec::new(), Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(at_head(1, label("nobody's"))).await;
    shop.world.sent(order(2)).await;
    let calls = reactor.processed.reach(1).await;
    assert_eq!(root_of(calls[0].trigger.as_ref().unwrap()), 2);
}

#[tokio::test]
async fn s6_a_redelivered_trigger_is_recognised() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    shop.world.stored("stock", 1).await;
    let consumers = &shop.world.consumers;
    consumers.reset("process_manager.shipping").await.unwrap();
    consumers.reset("outbox.shipping").await.unwrap();
    shop.world.sent(order(2)).await;
    shop.world.stored("stock", 2).await;
    assert_eq!(reactor.processed.all().len(), 2, "one call for each event");
    assert_eq!(shop.world.total("stock", 1).await, 5);
    assert_eq!(shop.world.book(process_cover()).await.next_sequence, 2);
}

#[tokio::test]
async fn s6_commands_follow_the_edition_of_the_trigger() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    let mut request = order(1);
    cover_mut(&mut request).edition = on_branch(cover(1), "b").edition;
    shop.world.sent(request).await;
    shop.world.stored("stock", 1).await;
    let on_b = |cover| shop.world.book(on_branch(cover, "b"));
    assert_eq!(on_b(cover_in("stock", 1)).await.next_sequence, 1);
    assert_eq!(on_b(process_cover()).await.next_sequence, 1);
    assert_eq!(shop.world.book(process_cover()).await.next_sequence, 0);
}

#[tokio::test]
async fn s6_a_refusal_reaches_the_process_and_then_the_source() {
    let reactor = noting(|root| (vec![emitted("stock", root, plain("Reject"))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    let pages = shop.world.stored("counter", 2).await;
    assert_eq!(unpack::<crate::counter::Amount>(&pages[1]).amount, 1000);
    let process = shop.world.book(process_cover()).await;
    assert_eq!(types(&process), ["Taken", "Refused"]);
    assert_eq!(reactor.processed.all().len(), 2);
}

#[tokio::test]
async fn s6_a_process_may_answer_a_refusal_with_another_command() {
    let reactor = Reactor::new().processing(|request: ProcessManagerHandleRequest| async move {
        let command = if is_notification(&request) {
            add(9)
        } else {
            plain("Reject")
        };
        Ok(ProcessManagerHandleResponse {
            commands: vec![emitted("stock", 1, command)],
            ..ProcessManagerHandleResponse::default()
        })
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    shop.world.stored("stock", 1).await;
    assert_eq!(shop.world.total("stock", 1).await, 9);
}

#[tokio::test]
async fn s6_what_a_process_cannot_say_is_not_stored_at_all() {
    for (answer, word) in [
        (
            ProcessManagerHandleResponse {
                process_events: vec![fact("x", 1, noted("Taken"))],
                commands: vec![emitted("mars", 1, add(1))],
                ..ProcessManagerHandleResponse::default()
            },
            "mars",
        ),
        (
            ProcessManagerHandleResponse {
                process_events: vec![fact("x", 1, EventPage::default())],
                commands: vec![emitted("stock", 1, add(1))],
                ..ProcessManagerHandleResponse::default()
            },
            "process event 0",
        ),
        (
            ProcessManagerHandleResponse {
                commands: (0..101).map(|_| emitted("stock", 1, add(1))).collect(),
                ..ProcessManagerHandleResponse::default()
            },
            "101 commands",
        ),
    ] {
        let reactor = Reactor::new().processing(move |_| {
            let answer = answer.clone();
            async move { Ok(answer) }
        });
        let shop = Shop::with(vec![manager(&reactor).await]).await;
        shop.world.sent(order(1)).await;
        let letter = shop.world.dead_letter("counter").await;
        assert!(
            letter.rejection_reason.contains(word),
            "{}",
            letter.rejection_reason
        );
        assert_eq!(letter.source_component_type, "process_manager");
        assert_eq!(shop.world.book(process_cover()).await.next_sequence, 0);
        assert!(shop.stock.calls().is_empty());
    }
}

#[tokio::test]
async fn s9_confirmed_events_come_with_their_correlation_id() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(in_cascade(order(1), "c-1")).await;
    let other = correlated(at_head(1, label("other")), "p-2");
    shop.world.sent(in_cascade(other, "c-1")).await;
    shop.world.commit("c-1").await;
    let calls = reactor.processed.reach(2).await;
    let ids: Vec<_> = calls
        .iter()
        .map(|call| call.trigger.as_ref().unwrap().cover.as_ref().unwrap())
        .map(|cover| cover.correlation_id.as_str())
        .collect();
    assert_eq!(ids, [PROCESS, "p-2"]);
    shop.world.stored("stock", 2).await;
}

#[tokio::test]
async fn s6_a_process_that_answers_itself_for_ever_is_stopped() {
    let reactor = noting(|_| (Vec::new(), Vec::new()));
    let settings = ReactionSettings {
        inputs: vec![input("counter", &["Labelled"]), input("shipping", &[])],
        ..manager(&reactor).await
    };
    let shop = Shop::with(vec![settings]).await;
    let refused = shop
        .world
        .send(in_mode(order(1), SyncMode::Cascade))
        .await
        .unwrap_err();
    assert!(
        refused.message().contains("16 deep"),
        "{}",
        refused.message()
    );
    let process = shop.world.book(process_cover()).await;
    assert!(process.next_sequence <= 17, "{}", process.next_sequence);
}

#[tokio::test]
async fn s6_every_dialect_is_spoken() {
    for dialect in Dialect::ALL {
        let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
        let settings = ReactionSettings {
            inputs: vec![input("counter", &["Labelled"])],
            ..component(
                ReactionKind::ProcessManager,
                "shipping",
                &reactor.serve(dialect).await,
            )
        };
        let shop = Shop::with(vec![settings]).await;
        shop.world.sent(order(1)).await;
        shop.world.stored("stock", 1).await;
    }
}

#[tokio::test]
async fn s6_transient_failures_are_tried_again() {
    let failed = Arc::new(AtomicBool::new(false));
    let reactor = Reactor::new().processing(move |_| {
        let first = !failed.swap(true, Ordering::SeqCst);
        async move {
            if first {
                return Err(Status::unavailable("restarting"));
            }
            Ok(ProcessManagerHandleResponse {
                process_events: vec![fact("x", 1, noted("Taken"))],
                ..ProcessManagerHandleResponse::default()
            })
        }
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(order(1)).await;
    shop.world.stored("shipping", 1).await;
    assert!(shop.world.dead_letters("counter").await.is_empty());
}
