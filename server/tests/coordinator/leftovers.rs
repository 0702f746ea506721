//! §9: what is left to do in a cascade when its request has ended.

use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::store::v1::ListParticipantsRequest;
use angzarr_proto::v1::{CascadeErrorMode, CommandRequest, SyncMode};
use angzarr_server::handler::Retries;
use angzarr_server::registry::ReactionSettings;
use tempfile::TempDir;

use crate::counter::Counter;
use crate::messages::*;
use crate::mortal::Interruption;
use crate::process_managers::{manager, noting, order};
use crate::reactor::{Reactor, emitted};
use crate::sagas::{Shop, commanding};
use crate::synchronous::{cascade, failing, on_labels};
use crate::world::*;

const ID: &str = "checkout";

/// The participants of the cascade, with how many pending events each has.
async fn pending(world: &World) -> Vec<(String, u8, usize)> {
    let request = ListParticipantsRequest {
        cascade_id: ID.into(),
    };
    let found = world.store.list_participants(request).await.unwrap();
    let one = |found: angzarr_proto::store::v1::Participant| {
        let cover = found.cover.unwrap();
        let root = cover.root.unwrap().value[0];
        (cover.domain, root, found.sequences.len())
    };
    let own = found.participants.into_iter().map(one);
    own.filter(|(domain, ..)| !domain.starts_with("angzarr."))
        .collect()
}

/// Waits until a consumer has nothing to do.
async fn idle(world: &World, consumer: &str) {
    let position = world
        .store
        .stats(Default::default())
        .await
        .unwrap()
        .position;
    let mut progress = world.consumers.follow(consumer).unwrap();
    let done = progress.wait_for(|progress| progress.done >= position && progress.held == 0);
    let waited = tokio::time::timeout(Duration::from_secs(20), done).await;
    waited.unwrap().unwrap();
}

/// A process manager that never gives up on the stock.
async fn stubborn(reactor: &Reactor) -> ReactionSettings {
    ReactionSettings {
        retries: Retries {
            attempts: 1_000_000,
            min: Duration::from_millis(1),
            max: Duration::from_millis(20),
        },
        ..manager(reactor).await
    }
}

async fn world(stock: &str, reactions: Vec<ReactionSettings>, folder: Option<TempDir>) -> World {
    let setup = Setup {
        others: vec![handler("stock", stock)],
        reactions,
        folder,
        ..Setup::default()
    };
    setup.start().await
}

/// A server that died when a process owed a command to a stock that nobody served, in a cascade.
async fn owing(settings: &ReactionSettings) -> TempDir {
    let world = world("http://127.0.0.1:1", vec![settings.clone()], None).await;
    let mut commands = world.commands();
    let request = in_cascade(in_mode(order(1), SyncMode::Cascade), ID);
    let asking = tokio::spawn(async move { commands.handle_command(request).await });
    world.stored("angzarr.outbox.shipping", 1).await;
    asking.abort();
    world.kill().await
}

#[tokio::test]
async fn s9_what_is_left_of_a_cascade_leaves_another_of_its_name_alone() {
    for committed in [true, false] {
        let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
        let settings = stubborn(&reactor).await;
        let folder = owing(&settings).await;
        // Settled while nobody works, and begun again under the same name.
        let world = world("http://127.0.0.1:1", Vec::new(), Some(folder)).await;
        if committed {
            world.commit(ID).await;
        } else {
            world.rollback(ID).await;
        }
        world.sent(in_cascade(at_head(2, add(7)), ID)).await;
        let folder = world.stop().await;

        let stock = Counter::new().serve(Dialect::V1).await;
        let world = self::world(&stock, vec![settings], Some(folder)).await;
        idle(&world, "outbox.shipping").await;
        let came = if committed { 5 } else { 0 };
        assert_eq!(
            world.total("stock", 1).await,
            came,
            "committed: {committed}"
        );
        assert_eq!(pending(&world).await, [("counter".to_owned(), 2, 1)]);
        world.commit(ID).await;
        assert_eq!(world.state(2).await.value, 7, "committed: {committed}");
    }
}

#[tokio::test]
async fn s9_a_cascade_may_be_settled_while_what_is_left_of_it_is_done() {
    for committed in [true, false] {
        let reactor = noting(|root| (vec![emitted("stock", root, plain("Wait"))], Vec::new()));
        let settings = stubborn(&reactor).await;
        let folder = owing(&settings).await;
        let stock = Counter::new();
        let address = stock.serve(Dialect::V1).await;
        let world = world(&address, vec![settings], Some(folder)).await;
        // The stock is about to decide within the cascade.
        stock.arrived.acquire().await.unwrap().forget();
        if committed {
            world.commit(ID).await;
        } else {
            world.rollback(ID).await;
        }
        world.sent(in_cascade(at_head(2, add(7)), ID)).await;
        stock.gate.add_permits(2);
        idle(&world, "outbox.shipping").await;
        let came = u32::from(committed);
        assert_eq!(
            world.total("stock", 1).await,
            came,
            "committed: {committed}"
        );
        let book = world.book_of("stock", 1).await;
        assert_eq!(book.pages.len(), came as usize, "{book:?}");
        assert_eq!(pending(&world).await, [("counter".to_owned(), 2, 1)]);
    }
}

fn refused_in_cascade(request: CommandRequest) -> CommandRequest {
    let request = failing(cascade(request), CascadeErrorMode::CascadeErrorContinue);
    in_cascade(request, ID)
}

#[tokio::test]
async fn s9_the_news_of_a_refusal_belongs_to_the_cascade_and_does_not_settle_it() {
    for committed in [true, false] {
        let translator = commanding(|root| {
            vec![
                emitted("stock", root, add(5)),
                emitted("stock", root, plain("Reject")),
            ]
        });
        let shop = Shop::with(vec![on_labels(&translator).await]).await;
        let world = &shop.world;
        let request = refused_in_cascade(at_head(1, label("order")));
        world.send(request).await.unwrap();
        world.stored("counter", 2).await;
        idle(world, "outbox.restock").await;
        let all = [("counter".to_owned(), 1, 2), ("stock".to_owned(), 1, 1)];
        assert_eq!(pending(world).await, all);
        if committed {
            world.commit(ID).await;
        } else {
            world.rollback(ID).await;
        }
        let state = world.state(1).await;
        let (told, stocked) = if committed { (1000, 5) } else { (0, 0) };
        assert_eq!(state.value, told, "committed: {committed}");
        assert_eq!(world.total("stock", 1).await, stocked);
    }
}

#[tokio::test]
async fn s9_a_process_hears_of_a_refusal_within_its_cascade() {
    let reactor = noting(|root| (vec![emitted("stock", root, plain("Reject"))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    let world = &shop.world;
    world.send(refused_in_cascade(order(1))).await.unwrap();
    // What it took, and what it was told.
    world.stored("shipping", 2).await;
    world.stored("counter", 2).await;
    idle(world, "outbox.shipping").await;
    let process = uuid::Uuid::parse_str(crate::process_managers::PROCESS)
        .unwrap()
        .as_bytes()[0];
    let all = [
        ("counter".to_owned(), 1, 2),
        ("shipping".to_owned(), process, 2),
    ];
    assert_eq!(pending(world).await, all);
    world.rollback(ID).await;
    assert_eq!(world.state(1).await.value, 0);
}

/// A server that died when a refusal was recorded in a cascade, and what its successor is to be.
async fn refusing(settings: &ReactionSettings, stock: &str) -> Setup {
    let setup = |counter, folder| Setup {
        counter,
        others: vec![handler("stock", stock)],
        reactions: vec![settings.clone()],
        folder,
        ..Setup::default()
    };
    let away = Counter {
        on_notification: Some(std::sync::Arc::new(|| {
            Err(tonic::Status::unavailable("not now"))
        })),
        ..Counter::new()
    };
    let world = setup(away, None).start().await;
    let request = refused_in_cascade(at_head(1, label("order")));
    world.send(request).await.unwrap();
    world.stored("angzarr.outbox.restock", 1).await;
    setup(Counter::new(), Some(world.kill().await))
}

#[tokio::test]
async fn s9_a_cascade_may_be_settled_at_any_step_of_telling_its_refusals() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let stock = Counter::new().serve(Dialect::V1).await;
    let settings = ReactionSettings {
        retries: stubborn(&reactor).await.retries,
        ..on_labels(&reactor).await
    };
    for committed in [true, false] {
        let mut step = 0;
        loop {
            let settling = Interruption::at(step, move |store| {
                Box::pin(async move {
                    if committed {
                        commit(&store, ID).await;
                    } else {
                        rollback(&store, ID).await;
                    }
                })
            });
            let setup = Setup {
                interruption: Some(settling.clone()),
                ..refusing(&settings, &stock).await
            };
            let world = setup.start().await;
            idle(&world, "outbox.restock").await;
            if !settling.came().await {
                break;
            }
            idle(&world, "outbox.restock").await;
            let told = if committed { 1000 } else { 0 };
            let value = world.state(1).await.value;
            assert_eq!(value, told, "committed: {committed}, before call {step}");
            step += 1;
        }
        assert!(step >= 10, "only {step} calls to come between");
    }
}

#[tokio::test]
async fn s9_nobody_is_told_of_what_was_rolled_back_before() {
    let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
    let stock = Counter::new().serve(Dialect::V1).await;
    let settings = ReactionSettings {
        retries: stubborn(&reactor).await.retries,
        ..on_labels(&reactor).await
    };
    let setup = refusing(&settings, &stock).await;
    let world = world(&stock, Vec::new(), setup.folder).await;
    world.rollback(ID).await;
    let folder = Some(world.stop().await);
    let world = self::world(&stock, vec![settings], folder).await;
    idle(&world, "outbox.restock").await;
    assert!(
        world.counter.calls().is_empty(),
        "there is nothing to compensate"
    );
    assert_eq!(types(&world.book(cover(1)).await), ["NoOp", "NoOp"]);
}
