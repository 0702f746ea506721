use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;

use super::subject::{Subject, correlated, cover, on, root};

/// Walks a listing in pages of two and checks that no page is larger.
macro_rules! walk {
    ($subject:expr, $method:ident, $request:expr, $items:ident) => {{
        let mut items = Vec::new();
        let mut request = $request.clone();
        request.page_size = 2;
        loop {
            let answer = $subject
                .store
                .$method(request.clone())
                .await
                .expect("a page");
            assert!(answer.$items.len() <= 2, "{answer:?}");
            items.extend(answer.$items);
            if answer.next_page_token.is_empty() {
                break items;
            }
            assert_ne!(
                answer.next_page_token, request.page_token,
                "paging gets somewhere"
            );
            request.page_token = answer.next_page_token;
        }
    }};
}

pub async fn domains_are_paged_in_order(subject: Subject) {
    assert_eq!(domains(&subject).await, [] as [String; 0]);
    for domain in ["stock", "a", "order", "a.b", "order_2"] {
        subject.add(&cover(domain, 1), &["x"]).await;
        subject.add(&cover(domain, 2), &["x"]).await;
    }
    assert_eq!(
        domains(&subject).await,
        ["a", "a.b", "order", "order_2", "stock"]
    );
}

pub async fn editions_are_paged_in_order(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    subject.add(&order, &["x"]).await;
    for edition in ["c", "a", "b"] {
        subject.add(&on(edition, &order), &["x"]).await;
    }
    subject.add(&on("d", &stock), &["x"]).await;
    let all = walk!(
        subject,
        list_editions,
        pb::ListEditionsRequest::default(),
        editions
    );
    assert_eq!(all, ["a", "b", "c", "d"]);
    let of = |domain: &str| pb::ListEditionsRequest {
        domain: domain.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        walk!(subject, list_editions, of("order"), editions),
        ["a", "b", "c"]
    );
    assert_eq!(walk!(subject, list_editions, of("stock"), editions), ["d"]);
}

pub async fn aggregates_are_paged_in_order(subject: Subject) {
    for number in [9, 3, 200, 7, 1] {
        subject.add(&cover("order", number), &["x", "y"]).await;
    }
    subject.add(&cover("orders", 4), &["x"]).await;
    subject
        .add(&on("what-if", &cover("order", 3)), &["z"])
        .await;
    let of = |edition: &str| pb::ListAggregatesRequest {
        domain: "order".to_owned(),
        edition: edition.to_owned(),
        ..Default::default()
    };
    let summary = |number, next_sequence| pb::AggregateSummary {
        root: Some(root(number)),
        next_sequence,
    };
    let main = walk!(subject, list_aggregates, of(""), aggregates);
    assert_eq!(main, [1, 3, 7, 9, 200].map(|number| summary(number, 2)));
    assert_eq!(
        walk!(subject, list_aggregates, of("angzarr"), aggregates),
        main
    );
    let branch = walk!(subject, list_aggregates, of("what-if"), aggregates);
    assert_eq!(branch, [summary(3, 3)]);
}

pub async fn correlated_aggregates_come_in_first_event_order(subject: Subject) {
    let all = [
        cover("stock", 9),
        cover("order", 1),
        on("what-if", &cover("order", 1)),
        cover("a", 3),
    ];
    for each in &all {
        subject.add(&correlated("one", each), &["x"]).await;
    }
    subject
        .add(&correlated("two", &cover("order", 5)), &["x"])
        .await;
    subject.add(&cover("order", 6), &["x"]).await;
    subject
        .add(&correlated("one", &cover("order", 1)), &["again"])
        .await;
    let of = |id: &str| pb::ListCorrelatedRequest {
        correlation_id: id.to_owned(),
        ..Default::default()
    };
    let found = walk!(subject, list_correlated, of("one"), covers);
    let keys = |covers: &[angzarr_proto::v1::Cover]| -> Vec<_> {
        let name = |cover: &angzarr_proto::v1::Cover| {
            cover.edition.as_ref().map(|edition| edition.name.clone())
        };
        covers
            .iter()
            .map(|cover| (cover.domain.clone(), cover.root.clone(), name(cover)))
            .collect()
    };
    assert_eq!(keys(&found), keys(&all));
    assert_eq!(
        keys(&walk!(subject, list_correlated, of("none"), covers)),
        []
    );
}

pub async fn a_token_that_is_none_is_refused(subject: Subject) {
    for number in 1..5 {
        subject
            .add(&correlated("one", &cover("order", number)), &["x"])
            .await;
    }
    let page_token = "\u{1f600} not a token".to_owned();
    let error = subject
        .store
        .list_aggregates(pb::ListAggregatesRequest {
            domain: "order".to_owned(),
            page_token: page_token.clone(),
            ..Default::default()
        })
        .await
        .err();
    assert!(matches!(error, Some(StoreError::Invalid(_))), "{error:?}");
    let error = subject
        .store
        .list_correlated(pb::ListCorrelatedRequest {
            correlation_id: "one".to_owned(),
            page_token,
            ..Default::default()
        })
        .await
        .err();
    assert!(matches!(error, Some(StoreError::Invalid(_))), "{error:?}");
}

async fn domains(subject: &Subject) -> Vec<String> {
    walk!(
        subject,
        list_domains,
        pb::ListDomainsRequest::default(),
        domains
    )
}
