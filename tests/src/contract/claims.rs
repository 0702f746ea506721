use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::Cover;
use futures::future::join_all;

use super::subject::{Subject, cover, next, on, one, write};

pub async fn a_known_claim_returns_the_first_range(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["before"]).await;
    let first = subject
        .append(one(claimed(&order, "fact", b"k", &["a", "b"])))
        .await;
    subject.add(&order, &["after"]).await;
    let position = subject.position().await;

    let again = subject
        .append(one(claimed(&order, "fact", b"k", &["x", "y", "z"])))
        .await;
    let (first, again) = (
        first.results.first().cloned(),
        again.results.first().cloned(),
    );
    let (first, again) = (first.expect("a result"), again.expect("a result"));
    assert_eq!(
        (first.first_sequence, first.last_sequence, first.duplicate),
        (Some(1), Some(2), false)
    );
    assert_eq!(
        (again.first_sequence, again.last_sequence, again.duplicate),
        (Some(1), Some(2), true)
    );
    assert_eq!(again.next_sequence, 4);
    assert_eq!(subject.texts(&order).await, ["before", "a", "b", "after"]);
    assert_eq!(subject.position().await, position);
    assert_eq!(
        claim(&subject, &order, "fact", b"k").await,
        (true, Some(1), Some(2))
    );
    assert_eq!(
        claim(&subject, &order, "fact", b"other").await,
        (false, None, None)
    );
}

/// A writer that repeats a request whose answer it lost sends the same expectation again.
pub async fn a_known_claim_comes_before_the_expectation(subject: Subject) {
    let order = cover("order", 1);
    let write = pb::AggregateAppend {
        expected: next(0),
        ..claimed(&order, "fact", b"k", &["a"])
    };
    subject.append(one(write.clone())).await;
    let again = subject.append(one(write)).await;
    assert!(
        again.results.iter().all(|result| result.duplicate),
        "{again:?}"
    );
}

pub async fn a_claim_without_pages_is_remembered(subject: Subject) {
    let order = cover("order", 1);
    let first = subject
        .append(one(claimed(&order, "command", b"k", &[])))
        .await;
    assert!(
        first
            .results
            .iter()
            .all(|result| !result.duplicate && result.first_sequence.is_none())
    );
    assert_eq!(
        claim(&subject, &order, "command", b"k").await,
        (true, None, None)
    );
    let again = subject
        .append(one(claimed(&order, "command", b"k", &["x"])))
        .await;
    assert!(
        again
            .results
            .iter()
            .all(|result| result.duplicate && result.first_sequence.is_none())
    );
    assert_eq!(subject.next_sequence(&order).await, 0);
}

pub async fn claims_differ_by_timeline_kind_and_key(subject: Subject) {
    let order = cover("order", 1);
    let all = [
        claimed(&order, "fact", b"k", &["a"]),
        claimed(&order, "fact", b"kk", &["a"]),
        claimed(&order, "fact", b"", &["a"]),
        claimed(&order, "factk", b"", &["a"]),
        claimed(&order, "command", b"k", &["a"]),
        claimed(&cover("order", 2), "fact", b"k", &["a"]),
        claimed(&cover("orders", 1), "fact", b"k", &["a"]),
        claimed(&on("what-if", &order), "fact", b"k", &["a"]),
    ];
    for duplicate in [false, true] {
        for write in &all {
            // An empty key may be refused, but never taken for another's.
            let Ok(answer) = subject.store.append(one(write.clone())).await else {
                continue;
            };
            assert!(
                answer
                    .results
                    .iter()
                    .all(|result| result.duplicate == duplicate),
                "{write:?}"
            );
        }
    }
}

pub async fn of_concurrent_duplicates_one_is_stored(subject: Subject) {
    let order = cover("order", 1);
    let attempts = (0..16).map(|_| {
        let store = subject.store.clone();
        let request = one(claimed(&order, "fact", b"k", &["a", "b"]));
        tokio::spawn(async move { store.append(request).await })
    });
    let mut stored = 0;
    for outcome in join_all(attempts).await {
        let answer = outcome.expect("no panic").expect("a duplicate is no error");
        for result in answer.results {
            assert_eq!(
                (result.first_sequence, result.last_sequence),
                (Some(0), Some(1))
            );
            stored += usize::from(!result.duplicate);
        }
    }
    assert_eq!(stored, 1);
    assert_eq!(subject.texts(&order).await, ["a", "b"]);
}

pub async fn a_refused_append_leaves_no_claim(subject: Subject) {
    let order = cover("order", 1);
    let write = pb::AggregateAppend {
        expected: next(7),
        ..claimed(&order, "fact", b"k", &["a"])
    };
    let error = subject.refused(one(write)).await;
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(
        claim(&subject, &order, "fact", b"k").await,
        (false, None, None)
    );
}

/// Whether the store answers with a duplicate or refuses a request that cannot be the first one
/// again, nothing of it is stored.
pub async fn a_known_claim_stores_nothing_of_its_request(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    let first = one(claimed(&order, "fact", b"k", &["a"]));
    subject.append(first).await;
    let both = pb::AppendRequest {
        writes: vec![claimed(&order, "fact", b"k", &["x"]), write(&stock, &["b"])],
        ..Default::default()
    };
    match subject.store.append(both).await {
        Ok(answer) => assert!(
            answer.results.iter().all(|result| result.duplicate),
            "{answer:?}"
        ),
        Err(error) => assert!(matches!(error, StoreError::Refused(_)), "{error:?}"),
    }
    assert_eq!(subject.texts(&order).await, ["a"]);
    assert_eq!(subject.next_sequence(&stock).await, 0);
}

fn claimed(cover: &Cover, kind: &str, key: &[u8], texts: &[&str]) -> pb::AggregateAppend {
    let claim = Some(pb::Claim {
        kind: kind.to_owned(),
        key: key.to_vec(),
    });
    pb::AggregateAppend {
        claim,
        ..write(cover, texts)
    }
}

async fn claim(
    subject: &Subject,
    cover: &Cover,
    kind: &str,
    key: &[u8],
) -> (bool, Option<u32>, Option<u32>) {
    let claim = pb::Claim {
        kind: kind.to_owned(),
        key: key.to_vec(),
    };
    let request = pb::GetClaimRequest {
        cover: Some(cover.clone()),
        claim: Some(claim),
    };
    let answer = subject.store.get_claim(request).await.expect("claim");
    (answer.known, answer.first_sequence, answer.last_sequence)
}
