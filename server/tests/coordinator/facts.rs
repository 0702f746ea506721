//! Section 3: facts.

use angzarr_proto::v1::{
    EventBook, EventPage, EventRequest, ExternalDeferredSequence, FactInjectionResponse,
    PageHeader, page_header,
};
use futures::future::join_all;
use tonic::{Code, Status};

use crate::counter::{Counter, added};
use crate::messages::*;
use crate::world::*;

pub(crate) fn facts(id: &str, amounts: &[u32]) -> EventRequest {
    let external = ExternalDeferredSequence {
        external_id: id.into(),
        ..Default::default()
    };
    let header = PageHeader {
        sequence_type: Some(page_header::SequenceType::ExternalDeferred(external)),
        sync_mode: None,
    };
    let page = |amount| EventPage {
        header: Some(header.clone()),
        ..added(amount)
    };
    EventRequest {
        events: Some(EventBook {
            cover: Some(cover(1)),
            pages: amounts.iter().copied().map(page).collect(),
            ..EventBook::default()
        }),
        ..EventRequest::default()
    }
}

async fn inject(world: &World, request: EventRequest) -> Result<FactInjectionResponse, Status> {
    world
        .commands()
        .handle_event(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn s3_facts_are_numbered_from_the_head_and_call_nobody() {
    let world = World::start().await;
    world.add(1, 1).await;
    let calls = world.counter.calls().len();
    let answer = inject(&world, facts("pay-1", &[2, 3])).await.unwrap();
    assert!(!answer.already_processed);
    let book = answer.events.unwrap();
    assert_eq!((sequences(&book), book.next_sequence), (vec![1, 2], 3));
    assert_eq!(world.book(cover(1)).await.pages[1..], book.pages[..]);
    assert_eq!(world.counter.calls().len(), calls);
    assert_eq!(world.state(1).await.value, 6);
}

#[tokio::test]
async fn s3_a_known_external_id_gets_the_original_events() {
    let world = World::start().await;
    let first = inject(&world, facts("pay-1", &[2])).await.unwrap();
    world.add(1, 1).await;
    let second = inject(&world, facts("pay-1", &[7])).await.unwrap();
    assert!(second.already_processed);
    assert_eq!(second.events, first.events);
    assert_eq!(world.book(cover(1)).await.next_sequence, 2);
}

#[tokio::test]
async fn s3_an_external_id_is_required() {
    let world = World::start().await;
    let mut request = facts("x", &[1]);
    request.events.as_mut().unwrap().pages[0].header = None;
    let refused = inject(&world, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("external_id"));
    let refused = inject(&world, facts("", &[1])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(world.book(cover(1)).await.next_sequence, 0);
}

#[tokio::test]
async fn s3_the_handler_may_replace_facts() {
    let counter = Counter {
        takes_facts: true,
        ..Counter::new()
    };
    let world = Setup {
        counter,
        ..Setup::default()
    }
    .start()
    .await;
    let request = || EventRequest {
        route_to_handler: true,
        ..facts("pay-1", &[5])
    };
    let answer = inject(&world, request()).await.unwrap();
    assert_eq!(sequences(&answer.events.clone().unwrap()), [0]);
    assert_eq!(world.state(1).await.value, 10);
    let again = inject(&world, request()).await.unwrap();
    assert!(again.already_processed);
    assert_eq!(again.events, answer.events);
}

#[tokio::test]
async fn s3_a_handler_without_the_method_takes_facts_as_they_are() {
    let world = World::start().await;
    let request = EventRequest {
        route_to_handler: true,
        ..facts("pay-1", &[5])
    };
    assert!(!inject(&world, request).await.unwrap().already_processed);
    assert_eq!(world.state(1).await.value, 5);
}

#[tokio::test]
async fn s3_of_concurrent_duplicates_one_stores() {
    let world = World::start().await;
    let answers = join_all((0..8).map(|_| inject(&world, facts("pay-1", &[2])))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        answers
            .iter()
            .filter(|answer| !answer.already_processed)
            .count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.events == answers[0].events)
    );
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}

#[tokio::test]
async fn s3_facts_of_an_unknown_domain_are_refused() {
    let world = World::start().await;
    let mut request = facts("pay-1", &[1]);
    request
        .events
        .as_mut()
        .unwrap()
        .cover
        .as_mut()
        .unwrap()
        .domain = "billing".into();
    assert_eq!(
        inject(&world, request).await.unwrap_err().code(),
        Code::NotFound
    );
}
