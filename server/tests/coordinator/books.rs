//! §2, §9: what a handler decides on is what is stored, whoever stored it and whatever is kept in
//! memory.

use angzarr_proto::store::v1::{AggregateAppend, AppendRequest};
use angzarr_proto::v1::{CommandRequest, EventPage, Revocation, event_page};
use angzarr_server::coordinator::Settings;
use angzarr_server::framework;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::counter::{Amount, added, any, fold};
use crate::messages::*;
use crate::world::*;

const ROOTS: u8 = 3;
const CASCADES: [&str; 2] = ["checkout", "refund"];

/// Stores an event past the coordinator.
async fn elsewhere(world: &World, root: u8, page: EventPage) {
    let request = AppendRequest {
        writes: vec![AggregateAppend {
            cover: Some(cover(root)),
            pages: vec![page],
            ..AggregateAppend::default()
        }],
        ..AppendRequest::default()
    };
    world.store.append(request).await.unwrap();
}

/// Takes back an event, whether it was committed long ago or is the newest.
fn revoking(root: u8, sequence: u32) -> EventPage {
    let revocation = Revocation {
        target: Some(cover(root)),
        sequences: vec![sequence],
        reason: "test".to_owned(),
        ..Revocation::default()
    };
    EventPage {
        payload: Some(event_page::Payload::Event(framework::pack(
            "Revocation",
            &revocation,
        ))),
        ..EventPage::default()
    }
}

/// Sends a command outside of any cascade and compares what its handler got with what a query
/// shows.
async fn check(world: &World, root: u8, request: CommandRequest, what: &str) {
    let stored = world.book(cover(root)).await;
    let before = world.counter.calls().len();
    // Where another cascade is at work it may be refused, after it was decided.
    let _ = world.send(request).await;
    let calls = world.counter.calls();
    let call = calls
        .get(before)
        .unwrap_or_else(|| panic!("{what}: no call"));
    let seen = call.request.events.clone().unwrap();
    assert_eq!(seen.next_sequence, stored.next_sequence, "{what}");
    let state = fold(seen.snapshot.as_ref(), &seen.pages);
    assert_eq!(state, fold(None, &stored.pages), "{what}");
    if seen.snapshot.is_none() {
        assert_eq!(seen.pages, stored.pages, "{what}");
    }
}

async fn run(world: &World, rng: &mut StdRng, step: usize) {
    let root = rng.random_range(1..=ROOTS);
    let amount = rng.random_range(1..10);
    let cascade = CASCADES[rng.random_range(0..CASCADES.len())];
    let what = format!("step {step}, root {root}");
    match rng.random_range(0..100) {
        0..55 => check(world, root, at_head(root, add(amount)), &what).await,
        55..60 => check(world, root, at_head(root, plain("Nothing")), &what).await,
        60..65 => check(world, root, at_head(root, plain("Reject")), &what).await,
        65..72 => elsewhere(world, root, added(amount)).await,
        72..75 => {
            let next = world.book(cover(root)).await.next_sequence;
            if let Some(last) = next.checked_sub(1) {
                let page = revoking(root, rng.random_range(0..=last));
                elsewhere(world, root, page).await;
            }
        }
        75..85 => {
            let _ = world
                .send(in_cascade(at_head(root, add(amount)), cascade))
                .await;
        }
        85..90 => world.commit(cascade).await,
        90..95 => world.rollback(cascade).await,
        95..98 => {
            let request = at_head(root, any("Snapshot", &Amount { amount }));
            check(world, root, request, &what).await;
        }
        _ => {
            let label = at_head(root, label(&format!("{step}")));
            check(world, root, label, &what).await;
        }
    }
}

/// With room for all books, for some of them, and for none.
#[tokio::test]
async fn s2_a_handler_decides_on_what_is_stored() {
    let seed: u64 = std::env::var("BOOKS_SEED")
        .map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    eprintln!("BOOKS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for books_bytes in [1 << 20, 64 << 10, 0] {
        let setup = Setup {
            settings: Settings {
                books_bytes,
                ..Settings::default()
            },
            ..Setup::default()
        };
        let world = setup.start().await;
        for step in 0..250 {
            run(&world, &mut rng, step).await;
        }
    }
}

#[tokio::test]
async fn s10_who_wants_every_snapshot_gets_that_of_somebody_else() {
    use angzarr_proto::store::v1::PutSnapshotRequest;
    use angzarr_proto::v1::Snapshot;
    use angzarr_server::registry::Snapshots;

    let setup = Setup {
        snapshots: Snapshots::Always,
        ..Setup::default()
    };
    let world = setup.start().await;
    world.add(1, 1).await;
    world.add(1, 2).await;
    let snapshot = Snapshot {
        sequence: 1,
        state: Some(any("State", &fold(None, &world.book(cover(1)).await.pages))),
        ..Snapshot::default()
    };
    let request = PutSnapshotRequest {
        cover: Some(cover(1)),
        snapshot: Some(snapshot),
    };
    world.store.put_snapshot(request).await.unwrap();
    world.add(1, 4).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(seen.snapshot.as_ref().map(|found| found.sequence), Some(1));
    assert!(seen.pages.is_empty(), "{seen:?}");
}
