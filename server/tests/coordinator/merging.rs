//! Section 2: merge strategies.

use angzarr_proto::store::v1::ReadRequest;
use angzarr_proto::v1::{
    AngzarrDeadLetter, Cover, EventBook, EventPage, MergeStrategy, PageHeader, Uuid,
    angzarr_dead_letter, page_header,
};
use futures::StreamExt;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::counter::Counter;
use crate::messages::*;
use crate::reactor::emitted;
use crate::sagas::{commanding, saga};
use crate::settling::described;
use crate::world::*;

#[track_caller]
fn assert_mismatch(refused: &Status, expected: &str, actual: &str) {
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().starts_with("Sequence mismatch:"),
        "{}",
        refused.message()
    );
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "SEQUENCE_MISMATCH");
    assert_eq!(info.domain, "angzarr");
    assert_eq!(info.metadata["expected"], expected);
    assert_eq!(info.metadata["actual"], actual);
}

fn overlapping(refused: &Status) -> Option<String> {
    let info = refused.get_details_error_info()?;
    info.metadata.get("overlapping_fields").cloned()
}

#[tokio::test]
async fn s2_strict_mismatch_refuses_without_calling_handler() {
    let world = World::start().await;
    world.add(1, 1).await;
    let calls = world.counter.calls().len();
    for expected in [0, 2] {
        let refused = world
            .send(command(cover(1), add(1), expected))
            .await
            .unwrap_err();
        assert_mismatch(&refused, &expected.to_string(), "1");
        assert_eq!(overlapping(&refused), None, "nothing was compared");
    }
    assert_eq!(world.counter.calls().len(), calls);
    assert_eq!(
        sequences(&world.sent(command(cover(1), add(1), 1)).await),
        [1]
    );
}

#[tokio::test]
async fn s2_a_mismatch_carries_the_current_book() {
    let world = World::start().await;
    world.add(1, 1).await;
    let refused = world.send(command(cover(1), add(1), 0)).await.unwrap_err();
    let rich = tonic_types::pb::Status::decode(refused.details()).unwrap();
    let any = rich
        .details
        .iter()
        .find(|any| any.type_url.ends_with(".EventBook"))
        .unwrap();
    let book = EventBook::decode(any.value.as_slice()).unwrap();
    assert_eq!(book.next_sequence, 1);
    assert_eq!(book.pages, world.book(cover(1)).await.pages);
}

#[tokio::test]
async fn s2_a_mismatch_on_a_long_book_still_reaches_the_client() {
    let world = World::start().await;
    world.sent(at_head(1, label(&"x".repeat(100_000)))).await;
    let refused = world.send(command(cover(1), add(1), 0)).await.unwrap_err();
    assert_mismatch(&refused, "0", "1");
}

#[tokio::test]
async fn s2_commutative_stores_when_the_changed_fields_are_disjoint() {
    let world = World::start().await;
    world.add(1, 1).await;
    let request = command(cover(1), label("a"), 0);
    let book = world
        .sent(merged(request, MergeStrategy::MergeCommutative))
        .await;
    assert_eq!(sequences(&book), [1]);
    // Now the label is what the client had not seen.
    let request = command(cover(1), add(5), 1);
    world
        .sent(merged(request, MergeStrategy::MergeCommutative))
        .await;
    assert_eq!(world.state(1).await.value, 6);
}

#[tokio::test]
async fn s2_commutative_refuses_when_the_changed_fields_overlap() {
    let world = World::start().await;
    world.add(1, 1).await;
    let request = merged(
        command(cover(1), add(1), 0),
        MergeStrategy::MergeCommutative,
    );
    let refused = world.send(request).await.unwrap_err();
    assert_mismatch(&refused, "0", "1");
    assert_eq!(overlapping(&refused).as_deref(), Some("1"));
    assert!(refused.message().ends_with("both changed 1"), "{refused}");
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}

#[tokio::test]
async fn s2_a_descriptor_set_names_the_fields_that_overlap() {
    let world = Setup {
        descriptors: Some(described()),
        ..Setup::default()
    };
    let world = world.start().await;
    world.add(1, 1).await;
    world.sent(at_head(1, label("a"))).await;
    let stale = |payload| {
        let request = command(cover(1), payload, 0);
        world.send(merged(request, MergeStrategy::MergeCommutative))
    };
    for (payload, name) in [(add(1), "value"), (label("b"), "label")] {
        let refused = stale(payload).await.unwrap_err();
        assert_mismatch(&refused, "0", "2");
        assert_eq!(overlapping(&refused).as_deref(), Some(name));
        assert!(refused.message().ends_with(name), "{refused}");
    }
}

#[tokio::test]
async fn s2_fields_are_named_in_refusals_that_reach_the_source_of_a_command() {
    // The saga decided on what it was told, and somebody was faster ever since.
    let mut late = emitted("stock", 1, add(5));
    late.pages[0].header = Some(PageHeader {
        sequence_type: Some(page_header::SequenceType::Sequence(0)),
        sync_mode: None,
    });
    let reactor = commanding(move |_| vec![late.clone()]);
    let stock = Counter::new().serve(angzarr_proto::Dialect::V1).await;
    let world = Setup {
        descriptors: Some(described()),
        others: vec![handler("stock", &stock)],
        reactions: vec![saga(&reactor).await],
        ..Setup::default()
    };
    let world = world.start().await;
    let mut first = at_head(1, add(1));
    cover_mut(&mut first).domain = "stock".into();
    world.sent(first).await;
    world.sent(at_head(1, add(1))).await;
    let reason = world.dead_letter("counter").await.rejection_reason;
    assert!(reason.ends_with("both changed value"), "{reason}");
}

#[tokio::test]
async fn s2_commutative_is_strict_without_replay() {
    let counter = Counter {
        replays: false,
        ..Counter::new()
    };
    let world = Setup {
        counter,
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    let request = merged(
        command(cover(1), label("a"), 0),
        MergeStrategy::MergeCommutative,
    );
    assert_mismatch(&world.send(request).await.unwrap_err(), "0", "1");
}

#[tokio::test]
async fn s2_aggregate_handles_lets_both_commands_at_zero_succeed() {
    let world = World::start().await;
    let request = || {
        merged(
            command(cover(1), add(1), 0),
            MergeStrategy::MergeAggregateHandles,
        )
    };
    let (first, second) = tokio::join!(world.sent(request()), world.sent(request()));
    let mut numbers = [sequences(&first), sequences(&second)].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1]);
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(seen.pages.len(), 1, "the handler sees the full prior book");
}

#[tokio::test]
async fn s2_manual_dead_letters_and_aborts() {
    let world = World::start().await;
    world.add(1, 1).await;
    let calls = world.counter.calls().len();
    let request = merged(command(cover(1), add(9), 0), MergeStrategy::MergeManual);
    let refused = world.send(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert_eq!(world.counter.calls().len(), calls);
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);

    let dead = Cover {
        domain: "angzarr.dlq.counter".into(),
        root: Some(Uuid { value: vec![0; 16] }),
        ..Cover::default()
    };
    let request_read = ReadRequest {
        cover: Some(dead),
        ..ReadRequest::default()
    };
    let mut chunks = world.store.read(request_read).await.unwrap();
    let chunk = chunks.next().await.unwrap().unwrap();
    let page = chunk.pages.iter().next().unwrap();
    let letter: AngzarrDeadLetter = unpack(&EventPage::decode(page).unwrap());
    let Some(angzarr_dead_letter::Payload::RejectedCommand(rejected)) = letter.payload else {
        panic!("no command")
    };
    assert_eq!(rejected, request.command.unwrap());
    assert_eq!(letter.source_component_type, "aggregate");
    let Some(angzarr_dead_letter::RejectionDetails::SequenceMismatch(details)) =
        letter.rejection_details
    else {
        panic!("no details")
    };
    assert_eq!((details.expected_sequence, details.actual_sequence), (0, 1));
    assert_eq!(details.merge_strategy(), MergeStrategy::MergeManual);
}

#[tokio::test]
async fn s2_the_longest_command_of_the_longest_domain_is_dead_lettered_too() {
    let counter = Counter::new();
    let address = counter.serve(angzarr_proto::Dialect::V1).await;
    let domain = "d".repeat(64);
    let others = vec![handler(&domain, &address)];
    let world = Setup {
        others,
        ..Setup::default()
    }
    .start()
    .await;
    let longest = prost_types::Any {
        value: vec![0; 256 * 1024],
        ..add(1)
    };
    let mut request = merged(command(cover(1), longest, 3), MergeStrategy::MergeManual);
    cover_mut(&mut request).domain = domain.clone();
    let refused = world.send(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{}", refused.message());
    assert!(refused.message().contains(&format!("angzarr.dlq.{domain}")));
}

#[tokio::test]
async fn s2_every_strategy_proceeds_on_the_expected_sequence() {
    let world = World::start().await;
    let strategies = [
        MergeStrategy::MergeCommutative,
        MergeStrategy::MergeStrict,
        MergeStrategy::MergeAggregateHandles,
        MergeStrategy::MergeManual,
    ];
    for (next, strategy) in (0..).zip(strategies) {
        let book = world
            .sent(merged(command(cover(1), add(1), next), strategy))
            .await;
        assert_eq!(sequences(&book), [next]);
    }
}
