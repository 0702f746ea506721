use angzarr_proto::store::v1 as pb;
use futures::TryStreamExt;
use prost_types::Any;

use super::subject::{
    Recorded, Subject, after, correlated, cover, event, on, one, root, texts, write,
};

pub async fn the_whole_store_comes_in_commit_order(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    subject.add(&order, &["a"]).await;
    subject.add(&stock, &["b", "c"]).await;
    let both = pb::AppendRequest {
        writes: vec![write(&stock, &["d"]), write(&order, &["e", "f"])],
        ..Default::default()
    };
    let last = subject.append(both).await.position;
    subject.add(&on("what-if", &order), &["g"]).await;

    let records = subject.records(after(0)).await;
    assert_eq!(noted(&records), ["a", "b", "c", "d", "e", "f", "g"]);
    assert!(
        records.is_sorted_by(|a, b| a.position < b.position),
        "{records:?}"
    );
    assert!(
        records.iter().all(|record| record.position > 0),
        "0 is before the first event"
    );
    assert_eq!(records.get(5).map(|record| record.position), Some(last));
}

pub async fn a_position_resumes(subject: Subject) {
    let order = cover("order", 1);
    for texts in [&["a", "b"][..], &["c"], &["d", "e"]] {
        subject.add(&order, texts).await;
    }
    let all = subject.records(after(0)).await;
    assert_eq!(all.len(), 5);
    // From any position, also from inside of what was committed together.
    for (index, record) in all.iter().enumerate() {
        let rest = subject.records(after(record.position)).await;
        assert_eq!(rest.as_slice(), all.get(index + 1..).unwrap_or_default());
    }
    assert_eq!(subject.records(after(subject.position().await)).await, []);
}

pub async fn filters_hold_together(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 2));
    subject.add(&correlated("one", &order), &["a"]).await;
    subject.add(&correlated("two", &order), &["b"]).await;
    subject.add(&correlated("one", &stock), &["c"]).await;
    subject
        .add(&correlated("one", &on("what-if", &order)), &["d"])
        .await;
    subject
        .add(&correlated("two", &on("other", &stock)), &["e"])
        .await;

    let of = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    for (filter, expected) in [
        (pb::Filter::default(), &["a", "b", "c", "d", "e"][..]),
        (
            pb::Filter {
                domains: of(&["order"]),
                ..Default::default()
            },
            &["a", "b", "d"],
        ),
        (
            pb::Filter {
                domains: of(&["stock", "order"]),
                ..Default::default()
            },
            &["a", "b", "c", "d", "e"],
        ),
        (
            pb::Filter {
                editions: of(&[""]),
                ..Default::default()
            },
            &["a", "b", "c"],
        ),
        (
            pb::Filter {
                editions: of(&["angzarr"]),
                ..Default::default()
            },
            &["a", "b", "c"],
        ),
        (
            pb::Filter {
                editions: of(&["what-if", "other"]),
                ..Default::default()
            },
            &["d", "e"],
        ),
        (
            pb::Filter {
                roots: vec![root(2).value],
                ..Default::default()
            },
            &["c", "e"],
        ),
        (
            pb::Filter {
                correlation_id: "one".to_owned(),
                ..Default::default()
            },
            &["a", "c", "d"],
        ),
        (
            pb::Filter {
                domains: of(&["order"]),
                editions: of(&["angzarr"]),
                roots: vec![root(1).value],
                correlation_id: "two".to_owned(),
                types: of(&["Noted"]),
                ..Default::default()
            },
            &["b"],
        ),
        (
            pb::Filter {
                domains: of(&["orde"]),
                ..Default::default()
            },
            &[],
        ),
    ] {
        let found = subject.records(filtered(filter.clone())).await;
        assert_eq!(noted(&found), expected, "{filter:?}");
    }
}

pub async fn types_match_by_last_part_or_in_full(subject: Subject) {
    let order = cover("order", 1);
    let pages = [
        "shop.Opened",
        "shop.v2.Opened",
        "bank.Opened",
        "shop.Reopened",
        "Opened",
    ]
    .map(|name| event(name, b"x"));
    subject
        .append(one(pb::AggregateAppend {
            pages: pages.to_vec(),
            ..write(&order, &[])
        }))
        .await;
    for (name, expected) in [
        (
            "Opened",
            &[
                "[shop.Opened]",
                "[shop.v2.Opened]",
                "[bank.Opened]",
                "[Opened]",
            ][..],
        ),
        ("shop.Opened", &["[shop.Opened]"]),
        ("v2.Opened", &[]),
        ("pened", &[]),
        ("Reopened", &["[shop.Reopened]"]),
    ] {
        let filter = pb::Filter {
            types: vec![name.to_owned()],
            ..Default::default()
        };
        assert_eq!(
            noted(&subject.records(filtered(filter)).await),
            expected,
            "{name}"
        );
    }
}

pub async fn isolated_events_are_marked_and_left_out_on_demand(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    let request = pb::AppendRequest {
        isolated: true,
        ..one(write(&order, &["b", "c"]))
    };
    subject.append(request).await;
    subject.add(&order, &["d"]).await;

    let all = subject.records(after(0)).await;
    let isolated: Vec<_> = all.iter().map(|record| record.isolated).collect();
    assert_eq!(isolated, [false, true, true, false]);
    let filter = pb::Filter {
        skip_isolated: true,
        ..Default::default()
    };
    assert_eq!(noted(&subject.records(filtered(filter)).await), ["a", "d"]);
    assert_eq!(subject.texts(&order).await, ["a", "b", "c", "d"]);
}

pub async fn covers_carry_correlation_and_ext(subject: Subject) {
    let ext = Any {
        type_url: "type.googleapis.com/shop.Tenant".to_owned(),
        value: vec![1, 2],
    };
    let mut order = correlated("one", &cover("order", 1));
    order.ext = Some(ext);
    subject.add(&order, &["a"]).await;
    subject.add(&cover("order", 1), &["b"]).await;
    let records = subject.records(after(0)).await;
    let covers: Vec<_> = records.into_iter().map(|record| record.cover).collect();
    assert_eq!(covers, [order, cover("order", 1)]);
}

pub async fn a_filter_that_drops_everything_still_moves_on(subject: Subject) {
    for number in 0..10 {
        subject.add(&cover("order", number), &["x"; 50]).await;
    }
    let filter = pb::Filter {
        domains: vec!["stock".to_owned()],
        ..Default::default()
    };
    let answers = subject
        .store
        .read_all(filtered(filter))
        .await
        .expect("read_all");
    let answers: Vec<_> = answers.try_collect().await.expect("answers");
    let last = answers.last().and_then(|answer| answer.item.clone());
    let end = pb::Progress {
        position: subject.position().await,
        caught_up: true,
    };
    assert_eq!(last, Some(pb::read_all_response::Item::Progress(end)));
}

pub(super) fn filtered(filter: pb::Filter) -> pb::ReadAllRequest {
    pb::ReadAllRequest {
        after_position: 0,
        filter: Some(filter),
    }
}

fn noted(records: &[Recorded]) -> Vec<String> {
    texts(
        &records
            .iter()
            .map(|record| record.page.clone())
            .collect::<Vec<_>>(),
    )
}
