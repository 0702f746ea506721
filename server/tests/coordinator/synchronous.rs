//! §2 SIMPLE, CASCADE and its error modes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_proto::v1::{
    CascadeErrorMode, CommandRequest, Compensate, Notification, Projection, SagaHandleRequest,
    SagaResponse, SyncMode, angzarr_dead_letter, command_page,
};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use prost::Message;
use tonic::{Code, Status};

use crate::counter::{Counter, any};
use crate::messages::*;
use crate::reactor::{Reactor, emitted, input, root_of};
use crate::sagas::{Shop, commanding, saga};
use crate::world::*;

fn simple(request: CommandRequest) -> CommandRequest {
    in_mode(request, SyncMode::Simple)
}

pub(crate) fn cascade(request: CommandRequest) -> CommandRequest {
    in_mode(request, SyncMode::Cascade)
}

pub(crate) fn failing(mut request: CommandRequest, mode: CascadeErrorMode) -> CommandRequest {
    request.cascade_error_mode = mode.into();
    request
}

async fn projector(reactor: &Reactor, domain: &str) -> ReactionSettings {
    ReactionSettings {
        inputs: vec![input(domain, &[])],
        ..reactor
            .component(ReactionKind::Projector, &format!("{domain}-view"))
            .await
    }
}

/// A saga that reacts to labels of the counter only.
pub(crate) async fn on_labels(reactor: &Reactor) -> ReactionSettings {
    ReactionSettings {
        inputs: vec![input("counter", &["Labelled"])],
        ..saga(reactor).await
    }
}

/// A projector whose projection is the number of its calls.
fn counting() -> Reactor {
    Reactor::new().projecting(|book| async move {
        Ok(Projection {
            projector: "mine".into(),
            sequence: book.next_sequence,
            projection: Some(any("Seen", &crate::counter::Amount { amount: 1 })),
            ..Projection::default()
        })
    })
}

/// Waits until everything stored so far has been seen by a consumer.
async fn caught_up(world: &World, consumer: &str, position: u64) {
    let consumers = &world.consumers;
    let mut progress = consumers.follow(consumer).unwrap();
    progress
        .wait_for(|progress| progress.done >= position && progress.held == 0)
        .await
        .unwrap();
}

async fn position(world: &World) -> u64 {
    let stats = angzarr_proto::store::v1::StatsRequest {};
    world.store.stats(stats).await.unwrap().position
}

#[tokio::test]
async fn s2_simple_answers_with_projections_and_runs_no_projector_twice() {
    let view = counting();
    let translator = Reactor::new();
    let shop = Shop::with(vec![
        projector(&view, "counter").await,
        saga(&translator).await,
    ])
    .await;
    let answer = shop.world.send(simple(at_head(1, add(1)))).await.unwrap();
    assert_eq!(answer.projections.len(), 1);
    assert_eq!(answer.projections[0].projector, "mine");
    assert_eq!(answer.projections[0].sequence, 1);
    // The saga runs later, the projector not again.
    translator.translated.reach(1).await;
    shop.world.add(1, 1).await;
    let books = view.projected.reach(2).await;
    let came: Vec<u32> = books.iter().flat_map(sequences).collect();
    assert_eq!(came, [0, 1]);
}

#[tokio::test]
async fn s2_what_ran_synchronously_does_not_run_again_after_a_restart() {
    let view = counting();
    let settings = projector(&view, "counter").await;
    let shop = Shop::with(vec![settings.clone()]).await;
    let consumers = &shop.world.consumers;
    // Nothing is delivered, so that no checkpoint passes the event.
    consumers.pause("projector.counter-view").await.unwrap();
    let mut progress = consumers.follow("projector.counter-view").unwrap();
    progress.wait_for(|progress| progress.paused).await.unwrap();
    shop.world.send(simple(at_head(1, add(1)))).await.unwrap();
    let folder = shop.world.stop().await;
    let world = Setup {
        reactions: vec![settings],
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    let books = view.projected.reach(2).await;
    let came: Vec<u32> = books.iter().flat_map(sequences).collect();
    assert_eq!(came, [0, 1]);
}

#[tokio::test]
async fn s2_a_projector_that_fails_in_simple_gets_the_event_later() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let view = Reactor::new().projecting(move |_| {
        let broken = state.load(Ordering::SeqCst);
        async move {
            if broken {
                return Err(Status::unavailable("restarting"));
            }
            Ok(Projection::default())
        }
    });
    let settings = ReactionSettings {
        retries: angzarr_server::handler::Retries {
            attempts: 3,
            min: std::time::Duration::from_millis(1),
            max: std::time::Duration::from_millis(1),
        },
        ..projector(&view, "counter").await
    };
    let shop = Shop::with(vec![settings]).await;
    let answer = shop.world.send(simple(at_head(1, add(1)))).await.unwrap();
    assert!(answer.projections.is_empty());
    assert_eq!(answer.reaction_errors.len(), 1);
    assert_eq!(answer.reaction_errors[0].component, "counter-view");
    assert_eq!(answer.reaction_errors[0].code, Code::Unavailable as i32);
    // Synchronously and then as any other event.
    view.projected.reach(4).await;
    broken.store(false, Ordering::SeqCst);
}

#[tokio::test]
async fn s2_a_fact_may_be_waited_for() {
    let view = counting();
    let shop = Shop::with(vec![projector(&view, "counter").await]).await;
    let mut request = crate::facts::facts("f-1", &[1]);
    request.sync_mode = SyncMode::Simple.into();
    let answer = shop
        .world
        .commands()
        .handle_event(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.projections.len(), 1);
}

#[tokio::test]
async fn s2_cascade_finishes_what_is_downstream_and_runs_nothing_twice() {
    let translator = commanding(|root| vec![emitted("stock", root, add(5))]);
    let stock_view = counting();
    let shop = Shop::with(vec![
        projector(&stock_view, "stock").await,
        on_labels(&translator).await,
    ])
    .await;
    let request = cascade(at_head(1, label("order")));
    let answer = shop.world.send(request).await.unwrap();
    assert_eq!(shop.world.total("stock", 1).await, 5);
    assert_eq!(
        answer.projections.len(),
        1,
        "those of downstream commands too"
    );
    assert!(answer.reaction_errors.is_empty());
    let asked = translator.translated.all().pop().unwrap();
    assert_eq!(asked.sync_mode(), SyncMode::Cascade);
    // What comes later comes alone.
    shop.world.sent(at_head(2, label("later"))).await;
    shop.world.stored("stock", 2).await;
    stock_view.projected.reach(2).await;
    caught_up(&shop.world, "saga.restock", 3).await;
    assert_eq!(translator.translated.all().len(), 2);
    assert_eq!(stock_view.projected.all().len(), 2);
}

#[tokio::test]
async fn s2_components_that_answer_each_other_for_ever_are_stopped() {
    let translator = Reactor::new().translating(|request: SagaHandleRequest| {
        let root = root_of(request.source.as_ref().unwrap());
        async move {
            Ok(SagaResponse {
                commands: vec![emitted("counter", root, add(1))],
                events: Vec::new(),
            })
        }
    });
    let shop = Shop::with(vec![saga(&translator).await]).await;
    let refused = shop
        .world
        .send(cascade(at_head(1, add(1))))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("16 deep"),
        "{}",
        refused.message()
    );
    assert_eq!(shop.world.state(1).await.value, 17);
    // The last event is not delivered again either: the chain ends.
    let position = position(&shop.world).await;
    shop.world
        .sent(in_mode(at_head(9, plain("Nothing")), SyncMode::Async))
        .await;
    caught_up(&shop.world, "saga.restock", position - 16).await;
    assert_eq!(shop.world.state(1).await.value, 17);
}

#[tokio::test]
async fn s2_fail_fast_fails_with_the_code_and_reason_of_the_reaction() {
    let translator = commanding(|root| {
        vec![
            emitted("stock", root, add(5)),
            emitted("stock", root, plain("Reject")),
            emitted("stock", root, add(7)),
        ]
    });
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let refused = shop
        .world
        .send(cascade(at_head(1, label("order"))))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "full");
    assert_eq!(
        shop.world.total("stock", 1).await,
        5,
        "what ran keeps its effects"
    );
    // The source is told all the same.
    let pages = shop.world.stored("counter", 2).await;
    assert_eq!(unpack::<crate::counter::Amount>(&pages[1]).amount, 1000);
}

#[tokio::test]
async fn s2_continue_lists_each_failure_and_succeeds() {
    let translator = commanding(|root| {
        vec![
            emitted("stock", root, plain("Reject")),
            emitted("stock", root, add(7)),
        ]
    });
    let broken = Reactor::new().translating(|_| async { Err(Status::not_found("lost")) });
    let second = ReactionSettings {
        name: "broken".into(),
        ..on_labels(&broken).await
    };
    let shop = Shop::with(vec![on_labels(&translator).await, second]).await;
    let request = failing(
        cascade(at_head(1, label("order"))),
        CascadeErrorMode::CascadeErrorContinue,
    );
    let answer = shop.world.send(request).await.unwrap();
    assert_eq!(sequences(&answer.events.unwrap()), [0]);
    let errors = answer.reaction_errors;
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].component, "restock");
    assert_eq!(errors[0].target.as_ref().unwrap().domain, "stock");
    assert!(errors[0].command_type.ends_with("Reject"));
    assert_eq!((errors[0].code, errors[0].message.as_str()), (9, "full"));
    assert_eq!(
        (errors[1].component.as_str(), errors[1].code),
        ("broken", 5)
    );
    assert_eq!(shop.world.total("stock", 1).await, 7);
}

#[tokio::test]
async fn s2_dead_letter_puts_the_command_aside_and_succeeds() {
    let translator = commanding(|root| {
        vec![
            emitted("stock", root, plain("Reject")),
            emitted("stock", root, add(7)),
        ]
    });
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let request = failing(
        cascade(at_head(1, label("order"))),
        CascadeErrorMode::CascadeErrorDeadLetter,
    );
    let answer = shop.world.send(request).await.unwrap();
    assert!(answer.reaction_errors.is_empty());
    let letters = shop.world.dead_letters("stock").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].rejection_reason, "full");
    let Some(angzarr_dead_letter::Payload::RejectedCommand(book)) = &letters[0].payload else {
        panic!();
    };
    assert_eq!(book.cover.as_ref().unwrap().domain, "stock");
    assert_eq!(shop.world.total("stock", 1).await, 7);
}

#[tokio::test]
async fn s2_compensate_asks_the_owners_to_undo_what_ran() {
    let translator = commanding(|root| {
        vec![
            emitted(
                "stock",
                root,
                any("Repeat", &crate::counter::Amount { amount: 2 }),
            ),
            emitted("stock", root, plain("Reject")),
        ]
    });
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let request = failing(
        cascade(at_head(1, label("order"))),
        CascadeErrorMode::CascadeErrorCompensate,
    );
    let refused = shop.world.send(request).await.unwrap_err();
    assert_eq!(refused.message(), "full");
    let pages = shop.world.stored("stock", 3).await;
    assert_eq!(unpack::<crate::counter::Amount>(&pages[2]).amount, 1000);
    let call = shop.stock.calls().pop().unwrap();
    let command = call.request.command.unwrap();
    let Some(command_page::Payload::Command(any)) = &command.pages[0].payload else {
        panic!();
    };
    let notification = Notification::decode(any.value.as_slice()).unwrap();
    let payload = notification.payload.unwrap();
    assert!(payload.type_url.ends_with("Compensate"));
    let compensate = Compensate::decode(payload.value.as_slice()).unwrap();
    assert_eq!(compensate.sequences, [0, 1]);
    assert_eq!(compensate.reason, "full");
}

#[tokio::test]
async fn s2_one_slow_reaction_keeps_no_other_aggregate_waiting() {
    let translator = Reactor::new().translating(|request: SagaHandleRequest| async move {
        if root_of(request.source.as_ref().unwrap()) == 1 {
            std::future::pending::<()>().await;
        }
        Ok(SagaResponse::default())
    });
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let slow = shop.world.send(cascade(at_head(1, label("slow"))));
    let quick = async {
        translator.translated.reach(1).await;
        shop.world
            .send(cascade(at_head(2, label("quick"))))
            .await
            .unwrap();
        shop.world.add(1, 1).await;
    };
    tokio::select! {
        _ = slow => panic!("it hangs"),
        () = quick => {}
    }
    let _: &Counter = &shop.stock;
}
