//! §7 Projectors.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{AngzarrDeadLetter, EventBook, Projection, SyncMode, angzarr_dead_letter};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tonic::Status;

use crate::messages::*;
use crate::reactor::{Reactor, component, input, root_of};
use crate::world::*;

async fn world_with(reactions: Vec<ReactionSettings>) -> World {
    Setup {
        reactions,
        ..Setup::default()
    }
    .start()
    .await
}

async fn projector(reactor: &Reactor) -> ReactionSettings {
    reactor.component(ReactionKind::Projector, "totals").await
}

/// The numbers of what came for an aggregate.
fn came(books: &[EventBook], root: u8) -> Vec<u32> {
    let of_root = books.iter().filter(|book| root_of(book) == root);
    of_root.flat_map(sequences).collect()
}

#[tokio::test]
async fn s7_every_event_comes_in_the_order_of_its_aggregate() {
    let reactor = Reactor::new();
    let world = world_with(vec![projector(&reactor).await]).await;
    for n in 0..30 {
        world.add(n % 3 + 1, 1).await;
    }
    let books = reactor.projected.reach(30).await;
    for root in 1..=3 {
        assert_eq!(came(&books, root), (0..10).collect::<Vec<_>>());
    }
    let book = books.iter().find(|book| root_of(book) == 1).unwrap();
    let stored = world.book(cover(1)).await;
    assert_eq!(book.pages[0], stored.pages[0]);
    assert_eq!(book.next_sequence, 1);
}

#[tokio::test]
async fn s7_only_subscribed_domains_types_and_main_come() {
    let reactor = Reactor::new();
    let settings = ReactionSettings {
        inputs: vec![input("counter", &["Labelled"]), input("other", &[])],
        ..projector(&reactor).await
    };
    let world = world_with(vec![settings]).await;
    world.add(1, 1).await;
    let mut on_a_branch = at_head(1, label("branch"));
    *cover_mut(&mut on_a_branch) = on_branch(cover(1), "b");
    world.sent(on_a_branch).await;
    world
        .sent(in_mode(at_head(1, label("isolated")), SyncMode::Isolated))
        .await;
    world.sent(at_head(1, label("seen"))).await;
    let books = reactor.projected.reach(1).await;
    world.sent(at_head(2, label("last"))).await;
    let books = [books, reactor.projected.reach(2).await].concat();
    assert_eq!((sequences(&books[0]), books.len()), (vec![2], 3));
    assert!(books.iter().all(|book| types(book) == ["Labelled"]));
}

#[tokio::test]
async fn s7_a_projector_may_ask_for_all_editions() {
    let reactor = Reactor::new();
    let settings = ReactionSettings {
        all_editions: true,
        ..projector(&reactor).await
    };
    let world = world_with(vec![settings]).await;
    let mut request = at_head(1, add(1));
    *cover_mut(&mut request) = on_branch(cover(1), "b");
    world.sent(request).await;
    let books = reactor.projected.reach(1).await;
    let edition = books[0].cover.as_ref().unwrap().edition.as_ref().unwrap();
    assert_eq!(edition.name, "b");
}

#[tokio::test]
async fn s7_every_dialect_is_spoken() {
    for dialect in Dialect::ALL {
        let reactor = Reactor::new();
        let address = reactor.serve(dialect).await;
        let settings = component(ReactionKind::Projector, "totals", &address);
        let world = world_with(vec![settings]).await;
        world.add(1, 1).await;
        let books = reactor.projected.reach(1).await;
        let committed = dialect == Dialect::Client03;
        assert_eq!(books[0].pages[0].no_commit, committed, "{dialect:?}");
    }
}

#[tokio::test]
async fn s7_the_checkpoint_survives_a_restart() {
    let reactor = Reactor::new();
    let settings = projector(&reactor).await;
    let world = world_with(vec![settings.clone()]).await;
    for _ in 0..5 {
        world.add(1, 1).await;
    }
    reactor.projected.reach(5).await;
    let folder = world.stop().await;
    let world = Setup {
        reactions: vec![settings],
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    let books = reactor.projected.reach(6).await;
    assert_eq!(came(&books, 1), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn s7_a_slow_projector_does_not_block_writers() {
    let reactor = Reactor::new().projecting(|_| std::future::pending());
    let world = world_with(vec![projector(&reactor).await]).await;
    for n in 0..50 {
        world.add(n, 1).await;
    }
    let consumer = &world.consumers;
    assert_eq!(consumer.progress("projector.totals").unwrap().done, 0);
}

#[tokio::test]
async fn s7_a_transient_failure_is_tried_again_in_order() {
    let failures = Arc::new(AtomicUsize::new(2));
    let reactor = Reactor::new().projecting(move |_| {
        let fails = failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        async move {
            if fails {
                return Err(Status::unavailable("restarting"));
            }
            Ok(Projection::default())
        }
    });
    let world = world_with(vec![projector(&reactor).await]).await;
    world.add(1, 1).await;
    world.add(1, 2).await;
    let books = reactor.projected.reach(4).await;
    assert_eq!(came(&books, 1), [0, 0, 0, 1]);
    assert!(world.dead_letters("counter").await.is_empty());
}

#[tokio::test]
async fn s7_a_poisoned_root_blocks_only_itself_and_ends_as_a_dead_letter() {
    let reactor = Reactor::new().projecting(|book| async move {
        if root_of(&book) == 1 {
            return Err(Status::unavailable("poison"));
        }
        Ok(Projection::default())
    });
    let world = world_with(vec![projector(&reactor).await]).await;
    world.add(1, 1).await;
    world.add(2, 1).await;
    let letter = world.dead_letter("counter").await;
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        &letter.rejection_details
    else {
        panic!("{letter:?}");
    };
    assert_eq!((details.retry_count, details.is_transient), (4, true));
    assert!(details.error.contains("poison"));
    assert_eq!(letter.source_component, "totals");
    assert_eq!(letter.source_component_type, "projector");
    let Some(angzarr_dead_letter::Payload::RejectedEvents(book)) = &letter.payload else {
        panic!("{letter:?}");
    };
    assert_eq!((root_of(book), sequences(book)), (1, vec![0]));
    let books = reactor.projected.reach(5).await;
    assert_eq!(came(&books, 2), [0]);
    assert_eq!(came(&books, 1), [0, 0, 0, 0]);
}

#[tokio::test]
async fn s7_a_permanent_failure_is_attempted_once() {
    let reactor =
        Reactor::new().projecting(|_| async { Err(Status::invalid_argument("not for me")) });
    let world = world_with(vec![projector(&reactor).await]).await;
    world.add(1, 1).await;
    let letter = world.dead_letter("counter").await;
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        &letter.rejection_details
    else {
        panic!("{letter:?}");
    };
    assert_eq!((details.retry_count, details.is_transient), (0, false));
    assert_eq!(reactor.projected.all().len(), 1);
}

#[tokio::test]
async fn s7_what_cannot_be_reached_gets_its_events_when_it_comes_back() {
    let reactor = Reactor::new();
    let settings = projector(&reactor).await;
    let address = reactor.serve(Dialect::V1).await;
    let settings = ReactionSettings {
        retries: angzarr_server::handler::Retries {
            attempts: 1000,
            min: Duration::from_millis(1),
            max: Duration::from_millis(20),
        },
        // A port nobody listens on.
        address: "http://127.0.0.1:1".into(),
        ..settings
    };
    let world = world_with(vec![settings.clone()]).await;
    world.add(1, 1).await;
    let folder = world.stop().await;
    let world = Setup {
        reactions: vec![ReactionSettings {
            address,
            ..settings
        }],
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    let books = reactor.projected.reach(1).await;
    assert_eq!(came(&books, 1), [0]);
    assert!(world.dead_letters("counter").await.is_empty());
}

#[tokio::test]
async fn s7_a_rebuild_replays_from_the_start_with_progress() {
    let reactor = Reactor::new();
    let world = world_with(vec![projector(&reactor).await]).await;
    for _ in 0..4 {
        world.add(1, 1).await;
    }
    reactor.projected.reach(4).await;
    let consumers = &world.consumers;
    consumers.reset("projector.totals").await.unwrap();
    let books = reactor.projected.reach(8).await;
    assert_eq!(came(&books, 1), [0, 1, 2, 3, 0, 1, 2, 3]);
    let mut progress = consumers.follow("projector.totals").unwrap();
    let done = progress
        .wait_for(|progress| progress.done >= 4 && progress.generation == 1)
        .await
        .unwrap()
        .clone();
    assert_eq!(done.held, 0);
    assert!(consumers.reset("projector.other").await.is_err());
}

#[tokio::test]
async fn s7_a_paused_consumer_begins_nothing_until_it_is_resumed() {
    let reactor = Reactor::new();
    let world = world_with(vec![projector(&reactor).await]).await;
    let consumers = &world.consumers;
    consumers.pause("projector.totals").await.unwrap();
    let mut progress = consumers.follow("projector.totals").unwrap();
    progress.wait_for(|progress| progress.paused).await.unwrap();
    world.add(1, 1).await;
    consumers.resume("projector.totals").await.unwrap();
    progress
        .wait_for(|progress| !progress.paused)
        .await
        .unwrap();
    assert_eq!(reactor.projected.reach(1).await.len(), 1);
}

#[tokio::test]
async fn s9_pending_events_come_when_they_are_confirmed_and_revoked_ones_never() {
    let reactor = Reactor::new();
    let world = world_with(vec![projector(&reactor).await]).await;
    world.sent(in_cascade(at_head(1, add(1)), "kept")).await;
    world.sent(in_cascade(at_head(2, add(1)), "void")).await;
    world.add(3, 1).await;
    let books = reactor.projected.reach(1).await;
    assert_eq!(root_of(&books[0]), 3);
    world.rollback("void").await;
    world.commit("kept").await;
    world.add(4, 1).await;
    let books = reactor.projected.reach(3).await;
    let roots: BTreeSet<u8> = books.iter().map(root_of).collect();
    assert_eq!(roots, BTreeSet::from([1, 3, 4]));
    let confirmed = books.iter().find(|book| root_of(book) == 1).unwrap();
    assert_eq!(types(confirmed), ["Added"]);
    assert!(!confirmed.pages[0].no_commit);
}

#[tokio::test]
async fn s7_a_projector_that_panics_the_connection_is_not_lost() {
    let first = Arc::new(AtomicBool::new(true));
    let reactor = Reactor::new().projecting(move |_| {
        let first = first.swap(false, Ordering::SeqCst);
        async move {
            assert!(!first, "business code panics");
            Ok(Projection::default())
        }
    });
    let world = world_with(vec![projector(&reactor).await]).await;
    world.add(1, 1).await;
    let books = reactor.projected.reach(2).await;
    assert_eq!(came(&books, 1), [0, 0]);
}

#[tokio::test]
async fn s7_internal_domains_come_only_to_those_who_name_them() {
    let failing = Reactor::new().projecting(|_| async { Err(Status::not_found("no")) });
    let watcher = Reactor::new();
    let letters = ReactionSettings {
        inputs: vec![input("angzarr.dlq.counter", &[])],
        ..watcher.component(ReactionKind::Projector, "letters").await
    };
    let world = world_with(vec![projector(&failing).await, letters]).await;
    world.add(1, 1).await;
    let books = watcher.projected.reach(1).await;
    let letter: AngzarrDeadLetter = unpack(&books[0].pages[0]);
    assert_eq!(letter.source_component, "totals");
}
