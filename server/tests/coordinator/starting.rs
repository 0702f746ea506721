//! §7 Where a new component begins.

use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tempfile::TempDir;

use crate::messages::*;
use crate::mortal::Death;
use crate::reactor::{Reactor, root_of};
use crate::world::*;

const KINDS: [ReactionKind; 3] = [
    ReactionKind::Projector,
    ReactionKind::Saga,
    ReactionKind::ProcessManager,
];

/// First bytes of the roots of the events a component got, in order.
async fn came(reactor: &Reactor, kind: ReactionKind, count: usize) -> Vec<u8> {
    match kind {
        ReactionKind::Projector => {
            let books = reactor.projected.reach(count).await;
            books.iter().map(root_of).collect()
        }
        ReactionKind::Saga => {
            let calls = reactor.translated.reach(count).await;
            let roots = calls
                .iter()
                .map(|call| root_of(call.source.as_ref().unwrap()));
            roots.collect()
        }
        ReactionKind::ProcessManager => {
            let calls = reactor.processed.reach(count).await;
            let roots = calls
                .iter()
                .map(|call| root_of(call.trigger.as_ref().unwrap()));
            roots.collect()
        }
    }
}

async fn settings(reactor: &Reactor, kind: ReactionKind) -> ReactionSettings {
    ReactionSettings {
        from_now: true,
        // One at a time: what came is known in order.
        concurrency: 1,
        ..reactor.component(kind, "late").await
    }
}

async fn world(folder: Option<TempDir>, reactions: Vec<ReactionSettings>) -> World {
    let setup = Setup {
        folder,
        reactions,
        ..Setup::default()
    };
    setup.start().await
}

async fn add_to(world: &World, roots: std::ops::RangeInclusive<u8>) {
    for root in roots {
        world.sent(correlated(at_head(root, add(1)), "p-1")).await;
    }
}

/// A store with a history of which no component knows.
async fn history() -> TempDir {
    let world = world(None, Vec::new()).await;
    add_to(&world, 1..=3).await;
    world.stop().await
}

/// Until it is recorded where the component began.
async fn begun(world: &World) {
    world.stored("angzarr.consumers.started", 1).await;
}

#[tokio::test]
async fn s7_a_new_component_may_begin_with_what_comes() {
    for kind in KINDS {
        let reactor = Reactor::new();
        let settings = settings(&reactor, kind).await;
        let world = world(Some(history().await), vec![settings.clone()]).await;
        begun(&world).await;
        add_to(&world, 4..=5).await;
        assert_eq!(came(&reactor, kind, 2).await, [4, 5], "{kind:?}");
        // It is begun once: what it was then is of no interest any more.
        let folder = world.stop().await;
        let world = self::world(Some(folder), vec![settings]).await;
        add_to(&world, 6..=6).await;
        let all = came(&reactor, kind, 3).await;
        assert_eq!(all.last(), Some(&6), "{kind:?}: {all:?}");
        assert!(all.iter().all(|root| *root > 3), "{kind:?}: {all:?}");
    }
}

#[tokio::test]
async fn s7_others_begin_with_the_first_event() {
    let reactor = Reactor::new();
    let settings = ReactionSettings {
        from_now: false,
        ..settings(&reactor, ReactionKind::Projector).await
    };
    let world = world(Some(history().await), vec![settings]).await;
    let came = came(&reactor, ReactionKind::Projector, 3).await;
    assert_eq!(came, [1, 2, 3]);
    drop(world);
}

#[tokio::test]
async fn s7_what_happens_before_the_first_delivery_is_not_missed() {
    for with_history in [false, true] {
        for kind in KINDS {
            let reactor = Reactor::new();
            let settings = settings(&reactor, kind).await;
            let folder = if with_history {
                Some(history().await)
            } else {
                None
            };
            let world = world(folder, vec![settings.clone()]).await;
            begun(&world).await;
            let folder = world.kill().await;
            // The component is away.
            let world = self::world(Some(folder), Vec::new()).await;
            add_to(&world, 4..=5).await;
            let folder = world.stop().await;
            // What is configured by now does not move it.
            let settings = ReactionSettings {
                from_now: kind != ReactionKind::Saga,
                ..settings
            };
            let world = self::world(Some(folder), vec![settings]).await;
            add_to(&world, 6..=6).await;
            let came = came(&reactor, kind, 3).await;
            assert_eq!(came, [4, 5, 6], "{kind:?}, history: {with_history}");
        }
    }
}

#[tokio::test]
async fn s7_a_death_at_the_first_start_moves_nothing_that_was_recorded() {
    for made in [false, true] {
        let reactor = Reactor::new();
        let settings = settings(&reactor, ReactionKind::Projector).await;
        let death = Death::at(0, made);
        let world = Setup {
            folder: Some(history().await),
            reactions: vec![settings.clone()],
            death: Some(death.clone()),
            ..Setup::default()
        };
        let world = world.start().await;
        death.comes().await;
        let folder = world.kill().await;
        let world = self::world(Some(folder), Vec::new()).await;
        add_to(&world, 4..=4).await;
        let folder = world.stop().await;
        let world = self::world(Some(folder), vec![settings]).await;
        begun(&world).await;
        add_to(&world, 5..=5).await;
        let wanted: &[u8] = if made { &[4, 5] } else { &[5] };
        let came = came(&reactor, ReactionKind::Projector, wanted.len()).await;
        assert_eq!(came, wanted, "recorded: {made}");
    }
}

#[tokio::test]
async fn s7_a_rebuild_goes_from_the_first_event() {
    let reactor = Reactor::new();
    let settings = settings(&reactor, ReactionKind::Projector).await;
    let world = world(Some(history().await), vec![settings.clone()]).await;
    begun(&world).await;
    add_to(&world, 4..=4).await;
    reactor.projected.reach(1).await;
    world.consumers.reset("projector.late").await.unwrap();
    let came = self::came(&reactor, ReactionKind::Projector, 5).await;
    assert_eq!(came, [4, 1, 2, 3, 4]);
    // A restart does not bring the old start back.
    world.consumers.reset("projector.late").await.unwrap();
    let folder = world.stop().await;
    let world = self::world(Some(folder), vec![settings]).await;
    add_to(&world, 5..=5).await;
    let mut all = came;
    while !all.contains(&5) {
        all = self::came(&reactor, ReactionKind::Projector, all.len() + 1).await;
    }
    // What was under way when it stopped may have come twice.
    all.dedup();
    assert!(all.ends_with(&[1, 2, 3, 4, 5]), "{all:?}");
}
