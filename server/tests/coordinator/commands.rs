//! Section 2: handling a command.

use std::sync::Arc;

use angzarr_proto::store::v1::{ReadAllRequest, read_all_response};
use angzarr_proto::v1::SyncMode;
use futures::StreamExt;
use futures::future::join_all;
use tonic::Code;

use crate::counter::{Amount, any};
use crate::messages::*;
use crate::world::*;

#[tokio::test]
async fn s2_the_coordinator_numbers_pages_and_decides_what_is_not_business() {
    let world = World::start().await;
    world.add(1, 1).await;
    let book = world
        .sent(at_head(1, any("Sloppy", &Amount { amount: 2 })))
        .await;
    assert_eq!(sequences(&book), [1]);
    assert_eq!(book.next_sequence, 2);
    assert_eq!(book.cover, Some(cover(1)));
    let page = &book.pages[0];
    assert!(!page.no_commit && page.cascade_id.is_none());
    assert!(page.created_at.unwrap().seconds > 1);
    let stored = world.book(cover(1)).await;
    assert_eq!(
        stored.pages[1], *page,
        "the answer shows the page as it is stored"
    );

    let book = world
        .sent(at_head(1, any("Repeat", &Amount { amount: 3 })))
        .await;
    assert_eq!(sequences(&book), [2, 3, 4]);
}

#[tokio::test]
async fn s2_a_command_that_changes_nothing_stores_nothing() {
    let world = World::start().await;
    world.add(1, 1).await;
    let book = world.sent(at_head(1, plain("Nothing"))).await;
    assert!(book.pages.is_empty());
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}

#[tokio::test]
async fn s2_pages_that_repeat_the_input_are_dropped() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.add(1, 2).await;
    let book = world
        .sent(at_head(1, any("Echo", &Amount { amount: 4 })))
        .await;
    assert_eq!(sequences(&book), [2]);
    assert_eq!(world.state(1).await.value, 7);
}

#[tokio::test]
async fn s2_the_status_of_the_handler_is_unchanged() {
    let world = World::start().await;
    let refused = world.send(at_head(1, plain("Reject"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "full");
    assert_eq!(refused.details(), b"kept as they are");
    let refused = world.send(at_head(1, plain("Unheard"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "Unknown command: Unheard");
}

#[tokio::test]
async fn s2_a_revocation_is_refused_and_a_notification_is_empty() {
    let world = World::start().await;
    let refused = world.send(at_head(1, plain("Revoke"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "not today");
    let book = world.sent(at_head(1, plain("Notify"))).await;
    assert!(book.pages.is_empty());
    assert_eq!(world.book(cover(1)).await.next_sequence, 0);
}

#[tokio::test]
async fn s2_concurrent_commands_to_one_aggregate_are_serialised() {
    let world = Arc::new(World::start().await);
    let books = join_all((0..40).map(|_| world.add(1, 1))).await;
    let mut numbers: Vec<_> = books.iter().flat_map(sequences).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert_eq!(world.state(1).await.value, 40);
}

#[tokio::test]
async fn s2_a_slow_handler_delays_no_other_aggregate() {
    let world = Arc::new(World::start().await);
    let slow = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.sent(at_head(1, plain("Wait"))).await })
    };
    // Only once this one is through may the slow one go on.
    world.add(2, 1).await;
    world.counter.gate.add_permits(1);
    assert_eq!(sequences(&slow.await.unwrap()), [0]);
}

#[tokio::test]
async fn s2_an_unknown_domain_is_named_with_those_configured() {
    let world = World::start().await;
    let mut request = at_head(1, add(1));
    cover_mut(&mut request).domain = "billing".into();
    let refused = world.send(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(
        refused.message().contains("billing"),
        "{}",
        refused.message()
    );
    assert!(
        refused.message().contains("counter"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn s2_every_mode_answers_and_isolated_events_are_marked() {
    let world = World::start().await;
    let modes = [
        SyncMode::Async,
        SyncMode::Simple,
        SyncMode::Cascade,
        SyncMode::Decision,
        SyncMode::Isolated,
    ];
    for mode in modes {
        assert_eq!(
            world
                .sent(in_mode(at_head(1, add(1)), mode))
                .await
                .pages
                .len(),
            1
        );
    }
    // The page's mode counts more than the request's.
    let mut request = at_head(1, add(1));
    let header = page_mut(&mut request).header.as_mut().unwrap();
    header.sync_mode = Some(SyncMode::Isolated.into());
    world.sent(request).await;

    let mut isolated = Vec::new();
    let mut records = world
        .store
        .read_all(ReadAllRequest::default())
        .await
        .unwrap();
    while let Some(record) = records.next().await {
        if let Some(read_all_response::Item::Book(book)) = record.unwrap().item {
            isolated.push(book.isolated);
        }
    }
    assert_eq!(isolated, [false, false, false, false, true, true]);
}

#[tokio::test]
async fn s2_a_command_without_a_sequence_expects_the_start() {
    let world = World::start().await;
    let mut request = command(cover(1), add(1), 0);
    page_mut(&mut request).header = None;
    world.sent(request.clone()).await;
    let refused = world.send(request).await.unwrap_err();
    assert!(
        refused.message().starts_with("Sequence mismatch:"),
        "{}",
        refused.message()
    );
}
