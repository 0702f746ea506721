use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::event_page::Payload;
use angzarr_proto::v1::page_header::SequenceType;
use angzarr_proto::v1::{Cover, PageHeader, PayloadReference};
use futures::future::join_all;

use super::subject::{
    Subject, after, cover, event, next, no_events, one, page, second, sequences, texts, write,
};

pub async fn numbers_pages_without_gaps(subject: Subject) {
    let order = cover("order", 1);
    let first = subject.add(&order, &["a", "b"]).await;
    assert_eq!(
        (first.first_sequence, first.last_sequence),
        (Some(0), Some(1))
    );
    assert_eq!((first.next_sequence, first.duplicate), (2, false));
    let second = subject.add(&order, &["c"]).await;
    assert_eq!(
        (second.first_sequence, second.last_sequence),
        (Some(2), Some(2))
    );

    let book = subject.book(&order).await;
    assert_eq!(sequences(&book.pages), [0, 1, 2]);
    assert_eq!(texts(&book.pages), ["a", "b", "c"]);
    assert_eq!(book.next_sequence, 3);
    assert_eq!(book.cover, order);
}

pub async fn replaces_headers_and_keeps_payloads(subject: Subject) {
    let order = cover("order", 1);
    let mut numbered = page("a");
    let sequence_type = Some(SequenceType::Sequence(77));
    numbered.header = Some(PageHeader {
        sequence_type,
        sync_mode: Some(3),
    });
    // What a client says about pending state is not believed: the append decides.
    numbered.no_commit = true;
    numbered.cascade_id = Some("forged".to_owned());
    let external = PayloadReference {
        uri: "file:///x".to_owned(),
        ..Default::default()
    };
    let mut referring = page("");
    referring.payload = Some(Payload::External(external.clone()));
    let pages = vec![numbered, referring];
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&order, &[])
        }))
        .await;

    let pages = subject.book(&order).await.pages;
    let [first, second] = pages.as_slice() else {
        panic!("two pages, not {pages:?}")
    };
    let plain = |sequence| PageHeader {
        sequence_type: Some(SequenceType::Sequence(sequence)),
        sync_mode: None,
    };
    assert_eq!(first.header, Some(plain(0)));
    assert_eq!((first.no_commit, &first.cascade_id), (false, &None));
    assert_eq!(first.payload, page("a").payload);
    assert_eq!(second.header, Some(plain(1)));
    assert_eq!(second.payload, Some(Payload::External(external)));
}

pub async fn dates_pages_that_have_no_date(subject: Subject) {
    let order = cover("order", 1);
    let mut dated = page("dated");
    dated.created_at = Some(second(1_000));
    let write = pb::AggregateAppend {
        pages: vec![dated, page("new")],
        ..write(&order, &[])
    };
    let answer = subject.append(one(write)).await;
    let pages = subject.book(&order).await.pages;
    let recorded_at = answer.results.first().and_then(|result| result.recorded_at);
    let dates: Vec<_> = pages.iter().map(|page| page.created_at).collect();
    assert_eq!(dates, [Some(second(1_000)), recorded_at]);
    assert!(
        recorded_at.is_some_and(|at| at.seconds > 1_000),
        "{recorded_at:?}"
    );
}

pub async fn refuses_a_stale_expectation(subject: Subject) {
    let order = cover("order", 0xab);
    subject.add(&order, &["a", "b"]).await;
    let position = subject.position().await;
    for expected in [0, 1, 3] {
        let write = pb::AggregateAppend {
            expected: next(expected),
            ..write(&order, &["x"])
        };
        let conflict = StoreError::Conflict {
            domain: "order".to_owned(),
            root: "ab".repeat(16),
            expected,
            actual: 2,
        };
        assert_eq!(subject.refused(one(write)).await, conflict);
    }
    assert_eq!(subject.texts(&order).await, ["a", "b"]);
    assert_eq!(subject.position().await, position);
    let write = pb::AggregateAppend {
        expected: next(2),
        ..write(&order, &["c"])
    };
    subject.append(one(write)).await;
    assert_eq!(subject.texts(&order).await, ["a", "b", "c"]);
}

pub async fn refuses_events_where_none_were_expected(subject: Subject) {
    let order = cover("order", 1);
    let create = pb::AggregateAppend {
        expected: no_events(),
        ..write(&order, &["a"])
    };
    subject.append(one(create.clone())).await;
    let error = subject.refused(one(create)).await;
    assert!(
        matches!(
            error,
            StoreError::Conflict {
                expected: 0,
                actual: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(subject.texts(&order).await, ["a"]);
}

pub async fn one_of_many_racing_writers_wins(subject: Subject) {
    let order = cover("order", 1);
    let attempts = (0..16).map(|writer| {
        let text = writer.to_string();
        let write = pb::AggregateAppend {
            expected: next(0),
            ..write(&order, &[&text])
        };
        let store = subject.store.clone();
        tokio::spawn(async move { store.append(one(write)).await })
    });
    let outcomes = join_all(attempts).await;
    let mut won = 0;
    for outcome in outcomes {
        match outcome.expect("no panic") {
            Ok(_) => won += 1,
            Err(StoreError::Conflict {
                expected: 0,
                actual: 1,
                ..
            }) => {}
            Err(other) => panic!("a race is lost by a conflict, not {other:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(subject.next_sequence(&order).await, 1);
}

pub async fn racing_writers_without_expectation_leave_no_gap(subject: Subject) {
    let order = cover("order", 1);
    let attempts = (0..32).map(|writer| {
        let text = writer.to_string();
        let request = one(write(&order, &[&text, &text]));
        let store = subject.store.clone();
        tokio::spawn(async move { store.append(request).await })
    });
    for outcome in join_all(attempts).await {
        outcome
            .expect("no panic")
            .expect("nothing to conflict with");
    }
    let pages = subject.book(&order).await.pages;
    assert_eq!(sequences(&pages), (0..64).collect::<Vec<_>>());
    // Pages of one append stay together.
    let texts = texts(&pages);
    assert!(
        texts.chunks(2).all(|pair| pair.first() == pair.last()),
        "{texts:?}"
    );
}

pub async fn stores_several_aggregates_or_none(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    let both = |expected| pb::AppendRequest {
        writes: vec![
            write(&order, &["ordered"]),
            pb::AggregateAppend {
                expected,
                ..write(&stock, &["reserved", "counted"])
            },
        ],
        ..Default::default()
    };
    let error = subject.refused(both(next(4))).await;
    assert!(
        matches!(&error, StoreError::Conflict { domain, .. } if domain == "stock"),
        "{error}"
    );
    assert_eq!(subject.next_sequence(&order).await, 0);
    assert_eq!(subject.records(after(0)).await, []);

    let answer = subject.append(both(next(0))).await;
    let last: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.last_sequence)
        .collect();
    assert_eq!(last, [Some(0), Some(1)]);
    assert_eq!(answer.position, subject.position().await);
    assert_eq!(subject.texts(&order).await, ["ordered"]);
    assert_eq!(subject.texts(&stock).await, ["reserved", "counted"]);
}

pub async fn conditions_bind_aggregates_that_are_not_written(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 9));
    subject.add(&stock, &["counted"]).await;
    let under = |expected| pb::AppendRequest {
        conditions: vec![pb::Condition {
            cover: Some(stock.clone()),
            expected,
        }],
        ..one(write(&order, &["ordered"]))
    };
    for (expected, number) in [(next(0), 0), (next(2), 2), (no_events(), 0)] {
        let error = subject.refused(under(expected)).await;
        let wanted = StoreError::Conflict {
            domain: "stock".to_owned(),
            root: "09".repeat(16),
            expected: number,
            actual: 1,
        };
        assert_eq!(error, wanted);
    }
    assert_eq!(subject.next_sequence(&order).await, 0);
    subject.append(under(next(1))).await;
    assert_eq!(subject.texts(&order).await, ["ordered"]);
    assert_eq!(subject.texts(&stock).await, ["counted"]);
}

pub async fn moves_the_checkpoint_with_the_events(subject: Subject) {
    let order = cover("order", 1);
    subject.append(checkpointed(&order, 5)).await;
    assert_eq!(checkpoint(&subject).await, 5);
    // Doing the same work again is refused, and so its events are not stored twice.
    subject.refused(checkpointed(&order, 4)).await;
    assert_eq!(checkpoint(&subject).await, 5);
    assert_eq!(subject.next_sequence(&order).await, 1);
}

pub async fn refused_appends_do_not_move_the_checkpoint(subject: Subject) {
    let order = cover("order", 1);
    let mut request = checkpointed(&order, 5);
    request.writes = vec![pb::AggregateAppend {
        expected: next(3),
        ..write(&order, &["x"])
    }];
    subject.refused(request).await;
    assert_eq!(checkpoint(&subject).await, 0);
}

pub async fn positions_never_go_back(subject: Subject) {
    let mut last = 0;
    for number in 0..5 {
        let answer = subject
            .append(one(write(&cover("order", number), &["a", "b"])))
            .await;
        assert!(answer.position > last, "{} follows {last}", answer.position);
        last = answer.position;
    }
    assert_eq!(subject.position().await, last);
}

pub async fn carries_pages_of_any_bytes(subject: Subject) {
    let order = cover("order", 1);
    let every_byte: Vec<u8> = (0..=255).collect();
    let pages = vec![
        event("shop.Noted", &every_byte),
        event("shop.Noted", b""),
        event("", b""),
    ];
    let payloads: Vec<_> = pages.iter().map(|page| page.payload.clone()).collect();
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&order, &[])
        }))
        .await;
    let stored = subject.book(&order).await.pages;
    assert_eq!(
        stored
            .into_iter()
            .map(|page| page.payload)
            .collect::<Vec<_>>(),
        payloads
    );
}

fn checkpointed(order: &Cover, position: u64) -> pb::AppendRequest {
    let checkpoint = Some(pb::Checkpoint {
        consumer: "shipping".to_owned(),
        position,
    });
    pb::AppendRequest {
        checkpoint,
        ..one(write(order, &["seen"]))
    }
}

async fn checkpoint(subject: &Subject) -> u64 {
    let request = pb::GetPositionRequest {
        consumer: "shipping".to_owned(),
    };
    subject
        .store
        .get_position(request)
        .await
        .expect("position")
        .position
}
