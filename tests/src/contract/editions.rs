use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, DomainDivergence, Edition};
use pb::read_request::Selection;

use super::read::{range, set};
use super::snapshots::{put, riding};
use super::subject::{
    Subject, cover, everything_of, leaving, next, no_events, on, one, second, sequences, snapshot,
    texts, write,
};

pub async fn a_branch_inherits_below_its_divergence(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c", "d"]).await;
    fork(&subject, "what-if", &[("order", 2)])
        .await
        .expect("fork");
    let branch = on("what-if", &order);
    assert_eq!(subject.texts(&branch).await, ["a", "b"]);
    assert_eq!(subject.next_sequence(&branch).await, 2);

    let write = pb::AggregateAppend {
        expected: next(2),
        ..write(&branch, &["C"])
    };
    let answer = subject.append(one(write)).await;
    assert_eq!(
        answer
            .results
            .first()
            .and_then(|result| result.first_sequence),
        Some(2)
    );
    subject.add(&branch, &["D", "E"]).await;
    subject.add(&order, &["later"]).await;
    let book = subject.book(&branch).await;
    assert_eq!(texts(&book.pages), ["a", "b", "C", "D", "E"]);
    assert_eq!(sequences(&book.pages), [0, 1, 2, 3, 4]);
    assert_eq!(
        book.cover.edition.map(|edition| edition.name).as_deref(),
        Some("what-if")
    );
    // A domain without a divergence of its own is followed to its end.
    let stock = cover("stock", 1);
    subject.add(&stock, &["x"]).await;
    assert_eq!(subject.texts(&on("what-if", &stock)).await, ["x"]);
    // Zero inherits nothing.
    fork(&subject, "blank", &[("order", 0)])
        .await
        .expect("fork");
    let blank = on("blank", &order);
    assert_eq!(subject.next_sequence(&blank).await, 0);
    let write = pb::AggregateAppend {
        expected: no_events(),
        ..super::subject::write(&blank, &["z"])
    };
    subject.append(one(write)).await;
    assert_eq!(subject.texts(&blank).await, ["z"]);
}

pub async fn a_branch_without_divergence_leaves_main_at_its_first_event(subject: Subject) {
    let (order, other) = (cover("order", 1), cover("order", 2));
    subject.add(&order, &["a", "b", "c"]).await;
    subject.add(&other, &["p"]).await;
    let branch = on("what-if", &order);
    let first = subject.add(&branch, &["X"]).await;
    assert_eq!(first.first_sequence, Some(3));
    subject.add(&order, &["d", "e"]).await;
    assert_eq!(subject.texts(&branch).await, ["a", "b", "c", "X"]);
    assert_eq!(subject.texts(&order).await, ["a", "b", "c", "d", "e"]);
    // Each aggregate leaves main for itself.
    subject.add(&other, &["q"]).await;
    assert_eq!(subject.texts(&on("what-if", &other)).await, ["p", "q"]);
    assert_eq!(
        subject
            .add(&on("what-if", &other), &["Y"])
            .await
            .first_sequence,
        Some(2)
    );
    // An aggregate may begin on a branch.
    let born = on("what-if", &cover("order", 3));
    assert_eq!(subject.add(&born, &["Z"]).await.first_sequence, Some(0));
    subject.add(&cover("order", 3), &["main"]).await;
    assert_eq!(subject.texts(&born).await, ["Z"]);
}

pub async fn an_explicit_divergence_is_recorded_by_the_first_append(subject: Subject) {
    let (order, other) = (cover("order", 1), cover("order", 2));
    subject.add(&order, &["a", "b", "c", "d"]).await;
    subject.add(&other, &["p", "q", "r"]).await;
    let answer = subject.add(&leaving("what-if", 1, &order), &["X"]).await;
    assert_eq!(answer.first_sequence, Some(1));
    assert_eq!(subject.texts(&on("what-if", &order)).await, ["a", "X"]);
    // It holds for the domain.
    assert_eq!(subject.texts(&on("what-if", &other)).await, ["p"]);
    assert_eq!(
        details(&subject).await,
        [("what-if".to_owned(), "order".to_owned(), Some(1), 1)]
    );
    subject.add(&on("what-more", &order), &["Y"]).await;
    assert_eq!(
        details_of(&subject, "what-if").await,
        [("what-if".to_owned(), "order".to_owned(), Some(1), 1)]
    );
    assert_eq!(details_of(&subject, "what").await, []);
}

pub async fn another_divergence_later_is_refused(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c", "d"]).await;
    subject.add(&leaving("what-if", 1, &order), &["X"]).await;
    let error = subject
        .refused(one(write(&leaving("what-if", 2, &order), &["Y"])))
        .await;
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    let error = fork(&subject, "what-if", &[("order", 3)])
        .await
        .expect_err("other divergence");
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    subject.add(&leaving("what-if", 1, &order), &["Z"]).await;
    fork(&subject, "what-if", &[("order", 1)])
        .await
        .expect("the same divergence");
    assert_eq!(subject.texts(&on("what-if", &order)).await, ["a", "X", "Z"]);
}

pub async fn a_divergence_beyond_main_is_refused(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b"]).await;
    let error = subject
        .refused(one(write(&leaving("what-if", 3, &order), &["X"])))
        .await;
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    assert_eq!(details(&subject).await, []);
    assert_eq!(
        subject
            .add(&leaving("what-if", 2, &order), &["X"])
            .await
            .first_sequence,
        Some(2)
    );
}

pub async fn a_fork_beyond_main_starts_where_main_ends(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b"]).await;
    fork(&subject, "what-if", &[("order", 10)])
        .await
        .expect("fork");
    let branch = on("what-if", &order);
    assert_eq!(subject.next_sequence(&branch).await, 2);
    assert_eq!(subject.add(&branch, &["C"]).await.first_sequence, Some(2));
    subject.add(&order, &["c"]).await;
    assert_eq!(subject.texts(&branch).await, ["a", "b", "C"]);
}

pub async fn a_read_may_name_its_own_divergence(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c"]).await;
    assert_eq!(subject.texts(&leaving("preview", 1, &order)).await, ["a"]);
    assert_eq!(
        subject.next_sequence(&leaving("preview", 1, &order)).await,
        1
    );
    // Reading records nothing.
    assert_eq!(subject.texts(&on("preview", &order)).await, ["a", "b", "c"]);
    assert_eq!(details(&subject).await, []);
}

pub async fn every_selection_composes(subject: Subject) {
    let order = cover("order", 1);
    let dated = |at: i64, text: &str| {
        let mut page = super::subject::page(text);
        page.created_at = Some(second(at));
        page
    };
    let pages = vec![
        dated(10, "a"),
        dated(20, "b"),
        dated(30, "c"),
        dated(40, "d"),
    ];
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&order, &[])
        }))
        .await;
    let branch = leaving("what-if", 2, &order);
    let pages = vec![dated(50, "C"), dated(60, "D")];
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&branch, &[])
        }))
        .await;

    let branch = on("what-if", &order);
    for (selection, expected) in [
        (range(1, Some(2)), vec!["b", "C"]),
        (range(2, None), vec!["C", "D"]),
        (range(0, Some(1)), vec!["a", "b"]),
        (set(&[3, 0]), vec!["a", "D"]),
        (Selection::AsOfSequence(2), vec!["a", "b", "C"]),
        (Selection::AsOfSequence(0), vec!["a"]),
        (Selection::AsOfTime(second(40)), vec!["a", "b"]),
        (Selection::AsOfTime(second(55)), vec!["a", "b", "C"]),
    ] {
        let request = pb::ReadRequest {
            selection: Some(selection),
            ..everything_of(&branch)
        };
        assert_eq!(
            texts(&subject.read(request.clone()).await.pages),
            expected,
            "{request:?}"
        );
        let direction = pb::Direction::Backwards.into();
        let backwards = pb::ReadRequest {
            direction,
            ..request.clone()
        };
        let mut found = texts(&subject.read(backwards).await.pages);
        found.reverse();
        assert_eq!(found, expected, "backwards: {request:?}");
    }
}

pub async fn main_never_sees_a_branch(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    subject.add(&on("what-if", &order), &["B", "C"]).await;
    assert_eq!(subject.next_sequence(&order).await, 1);
    let write = pb::AggregateAppend {
        expected: next(1),
        ..write(&order, &["b"])
    };
    subject.append(one(write)).await;
    assert_eq!(subject.texts(&order).await, ["a", "b"]);
}

pub async fn a_main_snapshot_serves_below_the_divergence(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c", "d"]).await;
    let persist = angzarr_proto::v1::SnapshotRetention::RetentionPersist.into();
    for sequence in [1, 3] {
        let kept = angzarr_proto::v1::Snapshot {
            retention: persist,
            ..snapshot(sequence)
        };
        put(&subject, &order, kept).await.expect("put");
    }
    for (at, start, pages) in [
        (4, Some(3), vec![]),
        (3, Some(1), vec![2]),
        (2, Some(1), vec![]),
        (1, None, vec![0]),
    ] {
        let branch = leaving("preview", at, &order);
        let request = pb::ReadRequest {
            with_snapshot: true,
            ..everything_of(&branch)
        };
        let book = subject.read(request).await;
        assert_eq!(
            book.snapshot.map(|snapshot| snapshot.sequence),
            start,
            "leaving at {at}"
        );
        assert_eq!(sequences(&book.pages), pages, "leaving at {at}");
    }
}

pub async fn snapshots_of_a_branch_are_its_own(subject: Subject) {
    let order = cover("order", 1);
    subject.append(one(riding(&order, 0, &["a"]))).await;
    let branch = on("what-if", &order);
    subject.append(one(riding(&branch, 2, &["b", "c"]))).await;
    subject.add(&branch, &["d"]).await;
    let read = async |cover: &Cover| {
        let request = pb::ReadRequest {
            with_snapshot: true,
            ..everything_of(cover)
        };
        let book = subject.read(request).await;
        (
            book.snapshot.map(|snapshot| snapshot.sequence),
            sequences(&book.pages),
        )
    };
    assert_eq!(read(&branch).await, (Some(2), vec![3]));
    assert_eq!(read(&order).await, (Some(0), vec![]));
    assert_eq!(read(&on("other", &order)).await, (Some(0), vec![]));
}

async fn fork(
    subject: &Subject,
    name: &str,
    divergences: &[(&str, u32)],
) -> Result<pb::ForkResponse, StoreError> {
    let divergences = divergences
        .iter()
        .map(|&(domain, sequence)| DomainDivergence {
            domain: domain.to_owned(),
            sequence,
        })
        .collect();
    let edition = Some(Edition {
        name: name.to_owned(),
        divergences,
    });
    subject.store.fork(pb::ForkRequest { edition }).await
}

/// Name, domain, divergence and number of events of every branch.
async fn details(subject: &Subject) -> Vec<(String, String, Option<u32>, u64)> {
    details_of(subject, "").await
}

/// The same of one branch.
async fn details_of(subject: &Subject, edition: &str) -> Vec<(String, String, Option<u32>, u64)> {
    let request = pb::ListEditionDetailsRequest {
        edition: edition.to_owned(),
        ..pb::ListEditionDetailsRequest::default()
    };
    let answer = subject
        .store
        .list_edition_details(request)
        .await
        .expect("details");
    let each = |edition: pb::EditionDetail| {
        let name = edition.name;
        let domains = edition.domains.into_iter();
        domains.map(move |of| (name.clone(), of.domain, of.divergence, of.events))
    };
    answer.editions.into_iter().flat_map(each).collect()
}
