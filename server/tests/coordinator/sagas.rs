//! §4 Sagas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    CommandBook, PageHeader, SagaHandleRequest, SagaResponse, SyncMode, angzarr_dead_letter,
    page_header,
};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tonic::Status;

use crate::counter::{Counter, added};
use crate::messages::*;
use crate::reactor::{Reactor, component, emitted, fact, input, root_of};
use crate::world::*;

/// The counter, a stock that is another counter, and a saga between them.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) stock: Counter,
}

impl Shop {
    pub(crate) async fn with(reactions: Vec<ReactionSettings>) -> Self {
        let stock = Counter::new();
        let address = stock.serve(Dialect::V1).await;
        let world = Setup {
            others: vec![handler("stock", &address)],
            reactions,
            ..Setup::default()
        }
        .start()
        .await;
        Self { world, stock }
    }
}

/// Answers each event with these commands, made for its root.
pub(crate) fn commanding(
    commands: impl Fn(u8) -> Vec<CommandBook> + Send + Sync + 'static,
) -> Reactor {
    Reactor::new().translating(move |request: SagaHandleRequest| {
        let commands = commands(root_of(request.source.as_ref().unwrap()));
        async move {
            Ok(SagaResponse {
                commands,
                events: Vec::new(),
            })
        }
    })
}

pub(crate) async fn saga(reactor: &Reactor) -> ReactionSettings {
    ReactionSettings {
        targets: vec!["stock".into()],
        ..reactor.component(ReactionKind::Saga, "restock").await
    }
}

#[tokio::test]
async fn s4_an_event_becomes_a_command_elsewhere() {
    let reactor = commanding(|root| vec![emitted("stock", root, add(5))]);
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    let request = correlated(at_head(1, add(1)), "order-7");
    shop.world.sent(request).await;
    let pages = shop.world.stored("stock", 1).await;
    assert_eq!(
        event(&pages[0]).type_url,
        "type.googleapis.com/counter.Added"
    );
    let call = shop.stock.calls().pop().unwrap();
    let command = call.request.command.unwrap();
    assert_eq!(command.cover.unwrap().correlation_id, "order-7");
    assert_eq!(call.correlation_header.as_deref(), Some("order-7"));
    let Some(page_header::SequenceType::AngzarrDeferred(tuple)) = command.pages[0]
        .header
        .as_ref()
        .unwrap()
        .sequence_type
        .clone()
    else {
        panic!("{command:?}", command = command.pages);
    };
    assert_eq!(
        (
            tuple.source_seq,
            tuple.source_component.as_str(),
            tuple.command_index
        ),
        (0, "restock", 0)
    );
    assert_eq!(tuple.source.unwrap().domain, "counter");
}

#[tokio::test]
async fn s4_a_trigger_has_one_page_and_every_target_a_next_sequence() {
    let reactor = Reactor::new();
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    let mut request = at_head(1, add(1));
    cover_mut(&mut request).domain = "stock".into();
    shop.world.sent(request.clone()).await;
    shop.world.sent(request).await;
    shop.world
        .sent(at_head(
            1,
            crate::counter::any("Repeat", &crate::counter::Amount { amount: 3 }),
        ))
        .await;
    let calls = reactor.translated.reach(3).await;
    for (place, call) in calls.iter().enumerate() {
        let source = call.source.as_ref().unwrap();
        assert_eq!(sequences(source), [place as u32]);
        assert_eq!(call.destination_sequences.get("stock"), Some(&2));
        assert_eq!(call.sync_mode(), SyncMode::Async);
    }
    shop.world.add(9, 1).await;
    let calls = reactor.translated.reach(4).await;
    assert_eq!(calls[3].destination_sequences.get("stock"), Some(&0));
}

#[tokio::test]
async fn s4_commands_carry_the_edition_of_the_trigger() {
    let reactor = commanding(|root| vec![emitted("stock", root, add(5))]);
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    let mut request = at_head(1, add(1));
    *cover_mut(&mut request) = on_branch(cover(1), "b");
    shop.world.sent(request).await;
    shop.world.stored("stock", 1).await;
    assert_eq!(shop.world.book_of("stock", 1).await.next_sequence, 0);
    let on_b = shop.world.book(on_branch(cover_in("stock", 1), "b")).await;
    assert_eq!(on_b.next_sequence, 1);
}

#[tokio::test]
async fn s4_a_named_sequence_is_checked_and_still_delivered_once() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    let reactor = Reactor::new().translating(move |request: SagaHandleRequest| {
        // The first answer is stale, the later ones are what the server said.
        let stale = attempts.fetch_add(1, Ordering::SeqCst) == 0;
        let next = request.destination_sequences["stock"];
        let header = PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(if stale {
                7
            } else {
                next
            })),
            sync_mode: None,
        };
        let mut command = emitted("stock", 1, add(5));
        command.pages[0].header = Some(header);
        command.pages[0].merge_strategy = angzarr_proto::v1::MergeStrategy::MergeStrict.into();
        // The second is never taken, so that the first comes again after it was carried out.
        let blocked = emitted("stock", 1, plain("Wait"));
        async move {
            Ok(SagaResponse {
                commands: vec![command, blocked],
                events: Vec::new(),
            })
        }
    });
    let settings = saga(&reactor).await;
    let stock = Counter::new();
    let address = stock.serve(Dialect::V1).await;
    let world = Setup {
        others: vec![angzarr_server::registry::HandlerSettings {
            timeout: std::time::Duration::from_millis(200),
            ..handler("stock", &address)
        }],
        reactions: vec![settings],
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    world.dead_letter("counter").await;
    assert_eq!(seen.load(Ordering::SeqCst), 4, "the budget was used");
    assert_eq!(world.total("stock", 1).await, 5, "stored once");
}

#[tokio::test]
async fn s4_facts_are_injected_once_before_commands_run() {
    let reactor = Reactor::new().translating(|request: SagaHandleRequest| {
        let root = root_of(request.source.as_ref().unwrap());
        async move {
            Ok(SagaResponse {
                commands: vec![emitted("stock", root, add(1))],
                events: vec![fact("stock", root, added(10))],
            })
        }
    });
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    shop.world.stored("stock", 2).await;
    let book = shop.world.book_of("stock", 1).await;
    let amounts: Vec<u32> = book
        .pages
        .iter()
        .map(|page| unpack::<crate::counter::Amount>(page).amount)
        .collect();
    assert_eq!(amounts, [10, 1]);
}

#[tokio::test]
async fn s4_an_uninjectable_fact_fails_before_any_command_runs() {
    let reactor = Reactor::new().translating(|_| async {
        Ok(SagaResponse {
            commands: vec![emitted("stock", 1, add(1))],
            events: vec![fact("nowhere", 1, added(10))],
        })
    });
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    let letter = shop.world.dead_letter("counter").await;
    assert!(letter.rejection_reason.contains("nowhere"));
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        letter.rejection_details
    else {
        panic!();
    };
    assert_eq!((details.retry_count, details.is_transient), (0, false));
    assert!(shop.stock.calls().is_empty());
    assert_eq!(letter.source_component_type, "saga");
}

#[tokio::test]
async fn s4_a_command_to_an_unknown_domain_is_a_dead_letter() {
    let reactor = commanding(|root| {
        vec![
            emitted("stock", root, add(1)),
            emitted("mars", root, add(1)),
        ]
    });
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    let letter = shop.world.dead_letter("counter").await;
    assert!(
        letter.rejection_reason.contains("mars"),
        "{}",
        letter.rejection_reason
    );
    assert!(shop.stock.calls().is_empty());
}

#[tokio::test]
async fn s4_transient_failures_use_the_budget_then_the_checkpoint_passes() {
    let reactor = Reactor::new().translating(|request: SagaHandleRequest| async move {
        if root_of(request.source.as_ref().unwrap()) == 1 {
            return Err(Status::aborted("busy"));
        }
        Ok(SagaResponse::default())
    });
    let settings = saga(&reactor).await;
    let shop = Shop::with(vec![settings.clone()]).await;
    shop.world.add(1, 1).await;
    let letter = shop.world.dead_letter("counter").await;
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        letter.rejection_details
    else {
        panic!();
    };
    assert_eq!((details.retry_count, details.is_transient), (4, true));
    let folder = shop.world.stop().await;
    let world = Setup {
        reactions: vec![settings],
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    world.add(2, 1).await;
    let calls = reactor.translated.reach(5).await;
    assert_eq!(root_of(calls[4].source.as_ref().unwrap()), 2);
    assert_eq!(world.dead_letters("counter").await.len(), 1);
}

#[tokio::test]
async fn s4_a_redelivered_trigger_changes_nothing_at_the_target() {
    let reactor = commanding(|root| {
        vec![
            emitted("stock", root, add(5)),
            emitted("stock", root, plain("Nothing")),
        ]
    });
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    let consumers = &shop.world.consumers;
    let mut progress = consumers.follow("saga.restock").unwrap();
    // Both commands, of which only one leaves an event.
    progress
        .wait_for(|progress| progress.done > 0)
        .await
        .unwrap();
    consumers.reset("saga.restock").await.unwrap();
    progress
        .wait_for(|progress| progress.generation == 1 && progress.done > 0)
        .await
        .unwrap();
    assert_eq!(reactor.translated.all().len(), 2);
    assert_eq!(shop.stock.calls().len(), 2);
    assert_eq!(shop.world.total("stock", 1).await, 5);
}

#[tokio::test]
async fn s4_every_dialect_is_spoken() {
    for dialect in Dialect::ALL {
        let reactor = commanding(|root| vec![emitted("stock", root, add(5))]);
        let settings = ReactionSettings {
            inputs: vec![input("counter", &["counter.Added"])],
            ..component(ReactionKind::Saga, "restock", &reactor.serve(dialect).await)
        };
        let shop = Shop::with(vec![settings]).await;
        shop.world.add(1, 1).await;
        shop.world.stored("stock", 1).await;
    }
}
