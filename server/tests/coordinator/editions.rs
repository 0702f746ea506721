//! Section 8: editions.

use angzarr_proto::v1::{
    Cover, DeleteEditionEvents, DomainDivergence, Edition, EditionEventsDeleted,
};
use angzarr_server::framework;
use tonic::Code;

use crate::counter::fold;
use crate::messages::*;
use crate::world::*;

fn diverged(number: u8, name: &str, sequence: u32) -> Cover {
    let divergence = DomainDivergence {
        domain: "counter".into(),
        sequence,
    };
    Cover {
        edition: Some(Edition {
            name: name.into(),
            divergences: vec![divergence],
        }),
        ..cover(number)
    }
}

fn deletion(edition: &str) -> angzarr_proto::v1::CommandRequest {
    let deletion = DeleteEditionEvents {
        edition: edition.into(),
        domain: "counter".into(),
    };
    let mut request = at_head(1, framework::pack("DeleteEditionEvents", &deletion));
    cover_mut(&mut request).root = None;
    request
}

#[tokio::test]
async fn s8_a_branch_decides_on_what_it_inherits() {
    let world = World::start().await;
    for amount in [1, 2, 4] {
        world.add(1, amount).await;
    }
    let book = world
        .sent(command(diverged(1, "what-if", 2), add(100), 2))
        .await;
    assert_eq!((sequences(&book), book.next_sequence), (vec![2], 3));
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!((sequences(&seen), seen.next_sequence), (vec![0, 1], 2));

    // Later main events never show; the branch is told by its name alone now.
    world.add(1, 8).await;
    let branch = world.book(on_branch(cover(1), "what-if")).await;
    assert_eq!(fold(None, &branch.pages).value, 103);
    assert_eq!(world.state(1).await.value, 15);
}

#[tokio::test]
async fn s8_another_divergence_or_one_beyond_main_is_refused() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.add(1, 1).await;
    world
        .sent(command(diverged(1, "what-if", 1), add(1), 1))
        .await;
    let refused = world
        .send(command(diverged(1, "what-if", 2), add(1), 2))
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        Code::InvalidArgument,
        "{}",
        refused.message()
    );
    let refused = world
        .send(command(diverged(1, "beyond", 9), add(1), 9))
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        Code::InvalidArgument,
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn s8_a_stale_sequence_on_a_branch_is_told_by_the_branch() {
    let world = World::start().await;
    world.add(1, 1).await;
    world
        .sent(command(on_branch(cover(1), "what-if"), add(1), 1))
        .await;
    let stale = command(on_branch(cover(1), "what-if"), add(1), 1);
    let refused = world.send(stale).await.unwrap_err();
    assert!(refused.message().starts_with("Sequence mismatch:"));
    world.sent(command(cover(1), add(1), 1)).await;
}

#[tokio::test]
async fn s8_delete_edition_events_answers_with_edition_events_deleted() {
    let world = World::start().await;
    world.add(1, 1).await;
    let branch = on_branch(cover(1), "what-if");
    world.sent(command(branch.clone(), add(1), 1)).await;
    world.sent(command(branch.clone(), add(1), 2)).await;
    let calls = world.counter.calls().len();

    let answer = world.sent(deletion("what-if")).await;
    assert_eq!(types(&answer), ["EditionEventsDeleted"]);
    let deleted: EditionEventsDeleted = unpack(&answer.pages[0]);
    assert_eq!(
        (deleted.edition.as_str(), deleted.deleted_count),
        ("what-if", 2)
    );
    assert!(
        deleted.deleted_at.parse::<jiff::Timestamp>().is_ok(),
        "{}",
        deleted.deleted_at
    );
    assert_eq!(world.counter.calls().len(), calls);
    assert_eq!(
        world.book(branch).await.pages.len(),
        1,
        "main alone is left"
    );

    for main in ["", "angzarr"] {
        let refused = world.send(deletion(main)).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::FailedPrecondition,
            "{}",
            refused.message()
        );
    }
}
