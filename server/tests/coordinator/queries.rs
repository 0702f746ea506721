//! Section 11: queries.

use angzarr_proto::v1::{
    AggregateRoot, Cover, Query, SequenceRange, SequenceSet, TemporalQuery, query, temporal_query,
};
use futures::TryStreamExt;
use tonic::Code;

use crate::counter::{Amount, any};
use crate::messages::*;
use crate::world::*;

fn select(cover: Cover, selection: query::Selection) -> Query {
    Query {
        cover: Some(cover),
        selection: Some(selection),
    }
}

fn range(lower: u32, upper: Option<u32>) -> query::Selection {
    query::Selection::Range(SequenceRange { lower, upper })
}

fn with_correlation(cover: Cover, id: &str) -> Cover {
    Cover {
        correlation_id: id.into(),
        ..cover
    }
}

async fn five(world: &World) {
    world
        .sent(at_head(1, any("Repeat", &Amount { amount: 5 })))
        .await;
}

#[tokio::test]
async fn s11_an_unknown_root_is_an_empty_book() {
    let world = World::start().await;
    let book = world.book(cover(7)).await;
    assert_eq!((book.cover, book.next_sequence), (Some(cover(7)), 0));
    assert!(book.pages.is_empty());
    let mut client = world.queries();
    let books = client.get_events(Query {
        cover: Some(cover(7)),
        selection: None,
    });
    let books: Vec<_> = books
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(books.len(), 1);
}

#[tokio::test]
async fn s11_the_selection_always_applies() {
    let world = World::start().await;
    five(&world).await;
    let temporal = query::Selection::Temporal(TemporalQuery {
        point_in_time: Some(temporal_query::PointInTime::AsOfSequence(2)),
    });
    let set = query::Selection::Sequences(SequenceSet { values: vec![4, 0] });
    let cases = [
        (range(1, Some(3)), vec![1, 2, 3]),
        (range(3, None), vec![3, 4]),
        (range(9, None), vec![]),
        (set, vec![0, 4]),
        (temporal, vec![0, 1, 2]),
    ];
    for (selection, expected) in cases {
        let query = select(cover(1), selection);
        let book = world
            .queries()
            .get_event_book(query)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(sequences(&book), expected);
        assert_eq!(book.next_sequence, 5);
    }
}

#[tokio::test]
async fn s11_impossible_selections_are_refused() {
    let world = World::start().await;
    let nowhere = query::Selection::Temporal(TemporalQuery::default());
    for selection in [range(3, Some(2)), nowhere] {
        let query = select(cover(1), selection);
        let refused = world.queries().get_event_book(query).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{}",
            refused.message()
        );
    }
}

#[tokio::test]
async fn s11_correlated_books_come_in_the_order_of_their_first_event() {
    let world = World::start().await;
    for number in [3, 1, 3, 2] {
        world
            .sent(correlated(at_head(number, add(1)), "corr-1"))
            .await;
    }
    world.add(1, 1).await;
    world.sent(correlated(at_head(4, add(1)), "corr-2")).await;

    let anywhere = with_correlation(Cover::default(), "corr-1");
    let mut client = world.queries();
    let books = client.get_events(Query {
        cover: Some(anywhere),
        selection: None,
    });
    let books: Vec<_> = books
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    let roots: Vec<_> = books
        .iter()
        .map(|book| book.cover.as_ref().unwrap().root.as_ref().unwrap().value[0])
        .collect();
    assert_eq!(roots, [3, 1, 2]);
    let pages: Vec<_> = books.iter().map(sequences).collect();
    assert_eq!(pages, [vec![0, 1], vec![0], vec![0]]);
}

#[tokio::test]
async fn s11_root_and_correlation_must_both_match() {
    let world = World::start().await;
    world.sent(correlated(at_head(1, add(1)), "corr-1")).await;
    world.sent(correlated(at_head(1, add(1)), "corr-2")).await;
    let book = world.book(with_correlation(cover(1), "corr-2")).await;
    assert_eq!(sequences(&book), [1]);
    assert!(
        world
            .book(with_correlation(cover(1), "corr-3"))
            .await
            .pages
            .is_empty()
    );
    let query = select(with_correlation(cover(1), "corr-2"), range(0, Some(0)));
    let book = world
        .queries()
        .get_event_book(query)
        .await
        .unwrap()
        .into_inner();
    assert!(book.pages.is_empty());
}

#[tokio::test]
async fn s11_synchronize_answers_each_query_with_one_book() {
    let world = World::start().await;
    world.add(1, 1).await;
    world.add(2, 1).await;
    let asked = [2, 9, 1];
    let queries = asked.map(|number| Query {
        cover: Some(cover(number)),
        selection: None,
    });
    let books = world
        .queries()
        .synchronize(futures::stream::iter(queries))
        .await
        .unwrap();
    let books: Vec<_> = books.into_inner().try_collect().await.unwrap();
    let covers: Vec<_> = books
        .iter()
        .map(|book| book.cover.clone().unwrap())
        .collect();
    assert_eq!(covers, asked.map(cover));
    assert_eq!(
        books
            .iter()
            .map(|book| book.pages.len())
            .collect::<Vec<_>>(),
        [1, 0, 1]
    );
}

#[tokio::test]
async fn s11_every_main_root_is_listed() {
    let world = World::start().await;
    for number in [3, 1, 2] {
        world.add(number, 1).await;
    }
    world
        .sent(command(on_branch(cover(4), "what-if"), add(1), 0))
        .await;
    let roots = world
        .queries()
        .get_aggregate_roots(())
        .await
        .unwrap()
        .into_inner();
    let roots: Vec<AggregateRoot> = roots.try_collect().await.unwrap();
    let expected = [1, 2, 3].map(|number| AggregateRoot {
        domain: "counter".into(),
        root: Some(root(number)),
    });
    assert_eq!(roots, expected);
}

#[tokio::test]
async fn s11_a_long_book_is_sent_in_parts_and_never_cut_silently() {
    let world = World::start().await;
    let text = "x".repeat(200_000);
    for _ in 0..60 {
        world.sent(at_head(1, label(&text))).await;
    }
    let query = Query {
        cover: Some(cover(1)),
        selection: None,
    };
    let refused = world
        .queries()
        .get_event_book(query.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("GetEvents"),
        "{}",
        refused.message()
    );
    let parts = world
        .queries()
        .get_events(query)
        .await
        .unwrap()
        .into_inner();
    let parts: Vec<_> = parts.try_collect().await.unwrap();
    let numbers: Vec<_> = parts.iter().flat_map(sequences).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    assert!(parts.len() > 1);
}
