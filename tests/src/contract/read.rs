use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{SequenceRange, SequenceSet};
use futures::StreamExt;
use pb::read_request::Selection;

use super::subject::{
    Subject, correlated, cover, everything_of, on, one, page, second, sequences, texts, write,
};

pub async fn an_unknown_aggregate_is_empty(subject: Subject) {
    for unknown in [cover("order", 1), on("what-if", &cover("order", 1))] {
        let book = subject.book(&unknown).await;
        assert_eq!(
            (book.next_sequence, book.pages.len(), book.snapshot),
            (0, 0, None)
        );
        assert_eq!(book.cover.root, unknown.root);
        assert_eq!(book.cover.domain, unknown.domain);
    }
}

pub async fn ranges_are_inclusive(subject: Subject) {
    filled(&subject).await;
    for (lower, upper, expected) in [
        (0, None, vec![0, 1, 2, 3, 4]),
        (3, None, vec![3, 4]),
        (1, Some(3), vec![1, 2, 3]),
        (2, Some(2), vec![2]),
        (4, Some(99), vec![4]),
        (0, Some(u32::MAX), vec![0, 1, 2, 3, 4]),
        (5, None, vec![]),
        (u32::MAX, None, vec![]),
    ] {
        let found = selected(&subject, range(lower, upper)).await;
        assert_eq!(found, expected, "{lower}..={upper:?}");
    }
}

pub async fn sets_hold_what_exists_in_order(subject: Subject) {
    filled(&subject).await;
    for (values, expected) in [
        (vec![2], vec![2]),
        (vec![0, 4], vec![0, 4]),
        (vec![3, 1, 99, 1, u32::MAX], vec![1, 3]),
        (vec![17], vec![]),
    ] {
        let found = selected(&subject, set(&values)).await;
        assert_eq!(found, expected, "{values:?}");
    }
}

pub async fn as_of_sequence_is_inclusive(subject: Subject) {
    filled(&subject).await;
    for (at, expected) in [(0, vec![0]), (2, vec![0, 1, 2]), (99, vec![0, 1, 2, 3, 4])] {
        let found = selected(&subject, Selection::AsOfSequence(at)).await;
        assert_eq!(found, expected, "as of {at}");
    }
}

pub async fn as_of_time_is_inclusive(subject: Subject) {
    let order = cover("order", 1);
    let pages = [10, 20, 20, 30].map(|at| {
        let mut page = page("x");
        page.created_at = Some(second(at));
        page
    });
    subject
        .append(one(pb::AggregateAppend {
            pages: pages.to_vec(),
            ..write(&order, &[])
        }))
        .await;
    for (at, expected) in [
        (9, vec![]),
        (10, vec![0]),
        (19, vec![0]),
        (20, vec![0, 1, 2]),
        (30, vec![0, 1, 2, 3]),
        (1_000, vec![0, 1, 2, 3]),
    ] {
        let found = selected(&subject, Selection::AsOfTime(second(at))).await;
        assert_eq!(found, expected, "as of second {at}");
    }
}

pub async fn backwards_is_the_reverse(subject: Subject) {
    filled(&subject).await;
    let order = cover("order", 1);
    for selection in [
        None,
        Some(range(1, Some(3))),
        Some(set(&[4, 0, 2])),
        Some(Selection::AsOfSequence(2)),
    ] {
        let forwards = pb::ReadRequest {
            selection,
            ..everything_of(&order)
        };
        let direction = pb::Direction::Backwards.into();
        let backwards = pb::ReadRequest {
            direction,
            ..forwards.clone()
        };
        let mut expected = sequences(&subject.read(forwards.clone()).await.pages);
        expected.reverse();
        assert!(!expected.is_empty());
        let found = sequences(&subject.read(backwards).await.pages);
        assert_eq!(found, expected, "{forwards:?}");
    }
}

pub async fn a_correlation_id_narrows(subject: Subject) {
    let order = cover("order", 1);
    for (id, text) in [("one", "a"), ("two", "b"), ("", "c"), ("one", "d")] {
        subject.add(&correlated(id, &order), &[text]).await;
    }
    assert_eq!(subject.texts(&correlated("one", &order)).await, ["a", "d"]);
    assert_eq!(subject.texts(&correlated("two", &order)).await, ["b"]);
    assert_eq!(
        subject.texts(&correlated("three", &order)).await,
        [] as [&str; 0]
    );
    assert_eq!(subject.texts(&order).await, ["a", "b", "c", "d"]);
    let narrowed = pb::ReadRequest {
        selection: Some(range(1, None)),
        ..everything_of(&correlated("one", &order))
    };
    assert_eq!(texts(&subject.read(narrowed).await.pages), ["d"]);
}

pub async fn a_long_history_comes_whole(subject: Subject) {
    let order = cover("order", 1);
    let big = "x".repeat(10_000);
    for _ in 0..20 {
        subject
            .append(one(write(&order, &[big.as_str(); 50])))
            .await;
    }
    let pages = subject.book(&order).await.pages;
    assert_eq!(sequences(&pages), (0..1_000).collect::<Vec<_>>());
    assert!(texts(&pages).iter().all(|text| *text == big));
    // 10 MB in one message would pass no transport's limit.
    let chunks = subject
        .store
        .read(everything_of(&order))
        .await
        .expect("read")
        .count()
        .await;
    assert!(chunks > 1, "{chunks} chunk");
}

pub async fn every_selection_tells_the_aggregates_next_sequence(subject: Subject) {
    filled(&subject).await;
    for selection in [range(9, None), set(&[1]), Selection::AsOfSequence(0)] {
        let request = pb::ReadRequest {
            selection: Some(selection),
            ..everything_of(&cover("order", 1))
        };
        assert_eq!(
            subject.read(request.clone()).await.next_sequence,
            5,
            "{request:?}"
        );
    }
    let empty_point = pb::ReadRequest {
        selection: Some(Selection::AsOfTime(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        })),
        ..everything_of(&cover("order", 1))
    };
    let refused = subject.store.read(empty_point).await.err();
    assert!(
        matches!(refused, Some(StoreError::Invalid(_))),
        "no such time: {refused:?}"
    );
}

pub(super) fn range(lower: u32, upper: Option<u32>) -> Selection {
    Selection::Range(SequenceRange { lower, upper })
}

pub(super) fn set(values: &[u32]) -> Selection {
    Selection::Sequences(SequenceSet {
        values: values.to_vec(),
    })
}

async fn filled(subject: &Subject) {
    subject.add(&cover("order", 1), &["a", "b"]).await;
    subject.add(&cover("order", 2), &["other"]).await;
    subject.add(&cover("order", 1), &["c", "d", "e"]).await;
}

async fn selected(subject: &Subject, selection: Selection) -> Vec<u32> {
    let order = cover("order", 1);
    let request = pb::ReadRequest {
        selection: Some(selection),
        ..everything_of(&order)
    };
    sequences(&subject.read(request).await.pages)
}
