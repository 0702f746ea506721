//! Section 2: deferred commands.

use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandRequest, ExternalDeferredSequence, MergeStrategy, PageHeader,
    page_header,
};
use prost_types::Any;

use crate::messages::*;
use crate::world::*;

fn deferred(payload: Any, command_index: u32) -> CommandRequest {
    let deferred = AngzarrDeferredSequence {
        source: Some(cover(9)),
        source_seq: 3,
        source_component: "saga".into(),
        command_index,
    };
    with_header(
        payload,
        page_header::SequenceType::AngzarrDeferred(deferred),
    )
}

fn external(payload: Any, id: &str) -> CommandRequest {
    let external = ExternalDeferredSequence {
        external_id: id.into(),
        ..Default::default()
    };
    with_header(
        payload,
        page_header::SequenceType::ExternalDeferred(external),
    )
}

fn with_header(payload: Any, sequence_type: page_header::SequenceType) -> CommandRequest {
    let mut request = command(cover(1), payload, 0);
    page_mut(&mut request).header = Some(PageHeader {
        sequence_type: Some(sequence_type),
        sync_mode: None,
    });
    merged(request, MergeStrategy::MergeStrict)
}

#[tokio::test]
async fn s2_deferred_commands_go_to_the_head_unchecked() {
    let world = World::start().await;
    world.add(1, 1).await;
    assert_eq!(sequences(&world.sent(deferred(add(1), 0)).await), [1]);
    assert_eq!(sequences(&world.sent(external(add(1), "a")).await), [2]);
}

#[tokio::test]
async fn s2_a_duplicate_gets_the_first_events_and_calls_nobody() {
    let world = World::start().await;
    for request in [deferred(add(1), 0), external(add(1), "a")] {
        let first = world.sent(request.clone()).await;
        world.add(1, 1).await;
        let calls = world.counter.calls().len();
        let second = world.sent(request).await;
        assert_eq!(second, first);
        assert_eq!(world.counter.calls().len(), calls);
    }
    assert_eq!(world.book(cover(1)).await.next_sequence, 4);
}

#[tokio::test]
async fn s2_another_index_is_another_command() {
    let world = World::start().await;
    world.sent(deferred(add(1), 0)).await;
    assert_eq!(sequences(&world.sent(deferred(add(1), 1)).await), [1]);
}

#[tokio::test]
async fn s2_the_key_is_stored_also_when_there_is_no_event() {
    let world = World::start().await;
    world.add(1, 1).await;
    assert!(
        world
            .sent(deferred(plain("Nothing"), 0))
            .await
            .pages
            .is_empty()
    );
    let calls = world.counter.calls().len();
    assert!(world.sent(deferred(add(1), 0)).await.pages.is_empty());
    assert_eq!(world.counter.calls().len(), calls);
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}

#[tokio::test]
async fn s2_concurrent_duplicates_store_once() {
    let world = World::start().await;
    let sends = (0..8).map(|_| world.sent(deferred(add(1), 0)));
    let books = futures::future::join_all(sends).await;
    assert!(books.iter().all(|book| *book == books[0]));
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}

#[tokio::test]
async fn s2_a_refused_deferred_command_may_be_sent_again() {
    let world = World::start().await;
    world.send(deferred(plain("Reject"), 0)).await.unwrap_err();
    assert_eq!(sequences(&world.sent(deferred(add(1), 0)).await), [0]);
}
