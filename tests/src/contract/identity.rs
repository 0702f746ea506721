use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, Edition, Uuid};

use super::subject::{Subject, after, correlated, cover, event, on, one, page, write};

pub async fn three_names_of_main_are_one_timeline(subject: Subject) {
    let order = cover("order", 1);
    for (name, text) in [("", "a"), ("angzarr", "b")] {
        subject.add(&on(name, &order), &[text]).await;
    }
    subject.add(&order, &["c"]).await;
    for main in [order.clone(), on("", &order), on("angzarr", &order)] {
        let book = subject.book(&main).await;
        assert_eq!(book.next_sequence, 3);
        assert_eq!(
            book.cover.edition, None,
            "covers going out leave main's edition unset"
        );
    }
    let records = subject.records(after(0)).await;
    assert!(
        records.iter().all(|record| record.cover.edition.is_none()),
        "{records:?}"
    );
    let editions = subject
        .store
        .list_editions(pb::ListEditionsRequest::default())
        .await;
    assert_eq!(editions.expect("editions").editions, [] as [String; 0]);
}

pub async fn aggregates_differ_by_domain_root_and_edition(subject: Subject) {
    let order = cover("order", 1);
    let all = [
        order.clone(),
        cover("order", 2),
        cover("orders", 1),
        cover("orde", 1),
        on("what-if", &order),
        on("What-if", &order),
    ];
    for (number, each) in all.iter().enumerate() {
        subject.add(each, &[&number.to_string()]).await;
    }
    for (number, each) in all.iter().enumerate() {
        let texts = subject.texts(each).await;
        assert_eq!(texts.last(), Some(&number.to_string()), "{each:?}");
        // A branch inherits main's event.
        assert_eq!(
            texts.len(),
            1 + usize::from(each.edition.is_some()),
            "{each:?}"
        );
    }
}

pub async fn malformed_covers_are_refused_by_field(subject: Subject) {
    let good = || cover("order", 1);
    let rooted = |length| Cover {
        root: Some(Uuid {
            value: vec![1; length],
        }),
        ..good()
    };
    let long = |length| "x".repeat(length);
    let mut bad: Vec<(Cover, &str)> = vec![
        (
            Cover {
                root: None,
                ..good()
            },
            "root",
        ),
        (rooted(0), "root"),
        (rooted(15), "root"),
        (rooted(17), "root"),
        (correlated(&long(129), &good()), "correlation"),
        (correlated("caf\u{e9}", &good()), "correlation"),
        (correlated("a\nb", &good()), "correlation"),
        (on(&long(65), &good()), "edition"),
        (on("a b", &good()), "edition"),
        (on("a/b", &good()), "edition"),
    ];
    for domain in [
        "",
        "Order",
        "9order",
        "-order",
        "or der",
        "or/der",
        "\u{fc}ber",
        &long(65),
    ] {
        bad.push((cover(domain, 1), "domain"));
    }
    for (cover, field) in bad {
        for error in [
            subject.refused(one(write(&cover, &["x"]))).await,
            subject
                .store
                .read(super::subject::everything_of(&cover))
                .await
                .err()
                .expect("no read"),
        ] {
            let StoreError::Invalid(text) = &error else {
                panic!("{cover:?}: {error:?}")
            };
            assert!(text.contains(field), "{cover:?}: {text:?} names {field}");
        }
    }
    let nothing = pb::AggregateAppend {
        cover: None,
        pages: vec![page("x")],
        ..Default::default()
    };
    assert!(matches!(
        subject.refused(one(nothing)).await,
        StoreError::Invalid(_)
    ));
    assert_eq!(subject.records(after(0)).await, []);
}

pub async fn limits_are_refused_by_name(subject: Subject) {
    let order = cover("order", 1);
    let many = one(write(&order, &["x"; 101]));
    let pages = vec![event("shop.Noted", &vec![0; 256 * 1024 + 1])];
    let large = one(pb::AggregateAppend {
        pages,
        ..write(&order, &[])
    });
    for (request, limit) in [(many, "100"), (large, "256 KiB")] {
        let error = subject.store.append(request).await.expect_err(limit);
        let StoreError::TooLarge(text) = &error else {
            panic!("{limit}: {error:?}")
        };
        let bytes = limit.replace("256 KiB", "262144");
        assert!(
            text.contains(limit) || text.contains(&bytes),
            "{text:?} names {limit}"
        );
    }
    assert_eq!(subject.next_sequence(&order).await, 0);
}

pub async fn what_is_at_the_limit_is_stored(subject: Subject) {
    let order = Cover {
        domain: "_".repeat(64),
        correlation_id: "~".repeat(128),
        edition: Some(Edition {
            name: "Z._-".repeat(16),
            divergences: Vec::new(),
        }),
        ..cover("", 0xff)
    };
    subject.append(one(write(&order, &["x"; 100]))).await;
    // The limit is the payload's: the value that an event carries.
    let pages = vec![event("shop.Noted", &vec![0; 255 * 1024])];
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&order, &[])
        }))
        .await;
    assert_eq!(subject.next_sequence(&order).await, 101);
}
