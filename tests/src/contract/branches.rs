use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;

use super::snapshots::riding;
use super::subject::{Subject, after, cover, everything_of, leaving, on, one};

pub async fn a_deleted_branch_is_gone_at_once(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    subject.add(&order, &["a", "b"]).await;
    let branch = leaving("what-if", 1, &order);
    subject.append(one(riding(&branch, 2, &["B", "C"]))).await;
    subject.add(&on("what-if", &stock), &["S"]).await;
    subject.add(&on("other", &order), &["O"]).await;
    assert_eq!(delete(&subject, "what-if", "").await, Ok(3));

    let branch = on("what-if", &order);
    assert_eq!(subject.texts(&branch).await, ["a", "b"]);
    assert_eq!(subject.next_sequence(&on("what-if", &stock)).await, 0);
    let request = pb::ReadRequest {
        with_snapshot: true,
        ..everything_of(&branch)
    };
    assert_eq!(subject.read(request).await.snapshot, None);
    assert_eq!(subject.texts(&on("other", &order)).await, ["a", "b", "O"]);
    let records = subject.records(after(0)).await;
    assert_eq!(records.len(), 3, "{records:?}");
    let named = subject
        .store
        .list_editions(pb::ListEditionsRequest::default())
        .await;
    assert_eq!(named.expect("editions").editions, ["other"]);
    // The name is free again, for another divergence too.
    assert_eq!(
        subject
            .add(&leaving("what-if", 2, &order), &["X"])
            .await
            .first_sequence,
        Some(2)
    );
    assert_eq!(subject.texts(&branch).await, ["a", "b", "X"]);
}

pub async fn one_domain_of_a_branch_can_be_deleted(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    for each in [&order, &stock] {
        subject.add(each, &["a"]).await;
        subject.add(&on("what-if", each), &["B", "C"]).await;
    }
    assert_eq!(delete(&subject, "what-if", "order").await, Ok(2));
    assert_eq!(subject.texts(&on("what-if", &order)).await, ["a"]);
    assert_eq!(subject.texts(&on("what-if", &stock)).await, ["a", "B", "C"]);
}

pub async fn main_cannot_be_deleted(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    for main in ["", "angzarr"] {
        let error = delete(&subject, main, "").await.expect_err("main stays");
        assert!(
            matches!(error, StoreError::Refused(_)),
            "{main:?}: {error:?}"
        );
    }
    assert_eq!(subject.texts(&order).await, ["a"]);
}

pub async fn a_diff_names_what_the_branch_has(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 2));
    subject.add(&order, &["a", "b", "c"]).await;
    subject.add(&stock, &["s"]).await;
    subject.add(&cover("order", 9), &["not touched"]).await;
    subject.add(&leaving("what-if", 1, &order), &["B"]).await;
    subject.add(&on("what-if", &stock), &["S", "T"]).await;
    subject.add(&stock, &["t"]).await;
    let diff = async |domain: &str| {
        let request = pb::DiffRequest {
            edition: "what-if".to_owned(),
            domain: domain.to_owned(),
        };
        subject.store.diff(request).await.expect("diff")
    };
    let of_order = pb::DiffResponse {
        domain: "order".to_owned(),
        root: order.root.clone(),
        divergence: 1,
        main_next_sequence: 3,
        edition_next_sequence: 2,
    };
    let of_stock = pb::DiffResponse {
        domain: "stock".to_owned(),
        root: stock.root.clone(),
        divergence: 1,
        main_next_sequence: 2,
        edition_next_sequence: 3,
    };
    assert_eq!(diff("").await, [of_order, of_stock.clone()]);
    assert_eq!(diff("stock").await, [of_stock]);
}

async fn delete(subject: &Subject, edition: &str, domain: &str) -> Result<u64, StoreError> {
    let (edition, domain) = (edition.to_owned(), domain.to_owned());
    let answer = subject
        .store
        .delete_edition(pb::DeleteEditionRequest { edition, domain })
        .await?;
    Ok(answer.deleted_events)
}
