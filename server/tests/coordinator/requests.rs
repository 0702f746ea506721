//! Section 1: identity and validation.

use angzarr_proto::v1::{Edition, Query, Uuid};
use prost_types::Any;
use tonic::Code;

use crate::messages::*;
use crate::world::World;

#[tokio::test]
async fn s1_malformed_requests_are_refused_and_store_nothing() {
    let world = World::start().await;
    type Spoil = fn(&mut angzarr_proto::v1::CommandRequest);
    let spoilers: [(&str, Spoil); 9] = [
        ("command is missing", |request| request.command = None),
        ("cover.domain", |request| {
            cover_mut(request).domain = "No Domain".into()
        }),
        ("cover.root", |request| cover_mut(request).root = None),
        ("cover.root.value", |request| {
            cover_mut(request).root = Some(Uuid { value: vec![1; 15] });
        }),
        ("cover.edition.name", |request| {
            let name = "what if?".into();
            cover_mut(request).edition = Some(Edition {
                name,
                divergences: vec![],
            });
        }),
        ("correlation_id", |request| {
            cover_mut(request).correlation_id = "ü".into()
        }),
        ("pages", |request| {
            request.command.as_mut().unwrap().pages.clear()
        }),
        ("pages[0].command", |request| {
            page_mut(request).payload = None
        }),
        ("sync_mode", |request| request.sync_mode = 17),
    ];
    for (field, spoil) in spoilers {
        let mut request = at_head(1, add(1));
        spoil(&mut request);
        let refused = world.send(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert!(
            refused.message().contains(field),
            "{:?} lacks {field}",
            refused.message()
        );
    }
    assert!(world.counter.calls().is_empty());
    assert_eq!(world.book(cover(1)).await.next_sequence, 0);
    world.add(1, 5).await;
    assert_eq!(world.state(1).await.value, 5);
}

#[tokio::test]
async fn s1_limits_are_refused_by_name() {
    let world = World::start().await;
    let large = Any {
        value: vec![0; 256 * 1024 + 1],
        ..add(1)
    };
    let refused = world.send(at_head(1, large)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("limits.payload_bytes"));

    let mut many = at_head(1, add(1));
    let page = page_mut(&mut many).clone();
    many.command.as_mut().unwrap().pages = vec![page; 101];
    let refused = world.send(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("limits.pages"));

    let huge = Any {
        value: vec![0; 11 * 1024 * 1024],
        ..add(1)
    };
    let refused = world.send(at_head(1, huge)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("limit"), "{}", refused.message());
    world.add(1, 1).await;
}

#[tokio::test]
async fn s1_every_name_of_main_is_the_same_timeline() {
    let world = World::start().await;
    world.add(1, 1).await;
    for name in ["", "angzarr"] {
        let mut request = at_head(1, add(1));
        let edition = Edition {
            name: name.into(),
            divergences: vec![],
        };
        cover_mut(&mut request).edition = Some(edition);
        let book = world.sent(request).await;
        assert_eq!(
            book.cover.unwrap().edition,
            None,
            "covers going out leave main unset"
        );
    }
    assert_eq!(world.book(cover(1)).await.next_sequence, 3);
}

#[tokio::test]
async fn s1_ext_and_correlation_id_are_copied_and_never_invented() {
    let world = World::start().await;
    let ext = Any {
        type_url: "type.googleapis.com/test.Ext".into(),
        value: vec![9],
    };
    let mut request = correlated(at_head(1, add(1)), "corr-1");
    cover_mut(&mut request).ext = Some(ext.clone());
    let sent = world.sent(request).await.cover.unwrap();
    assert_eq!(
        (sent.correlation_id.as_str(), sent.ext),
        ("corr-1", Some(ext.clone()))
    );
    let call = world.counter.calls().pop().unwrap();
    assert_eq!(call.correlation_header.as_deref(), Some("corr-1"));
    assert_eq!(call.request.events.unwrap().cover.unwrap().ext, Some(ext));

    let sent = world.add(2, 1).await.cover.unwrap();
    assert_eq!(sent.correlation_id, "");
    assert_eq!(
        world.counter.calls().pop().unwrap().correlation_header,
        None
    );
}

#[tokio::test]
async fn s1_malformed_queries_are_refused() {
    let world = World::start().await;
    let refused = world
        .queries()
        .get_event_book(Query::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let neither = angzarr_proto::v1::Cover {
        domain: "counter".into(),
        ..Default::default()
    };
    let query = Query {
        cover: Some(neither),
        selection: None,
    };
    let refused = world.queries().get_events(query).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("correlation id"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn s1_a_branch_is_another_key() {
    let world = World::start().await;
    let branch = on_branch(cover(1), "what-if");
    let book = world.sent(command(branch.clone(), add(1), 0)).await;
    assert_eq!(book.cover.unwrap().edition, branch.edition);
    assert_eq!(world.book(cover(1)).await.next_sequence, 0);
}

#[tokio::test]
async fn s13_the_trace_context_goes_on_to_the_handler() {
    let world = World::start().await;
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = tonic::Request::new(at_head(1, add(1)));
    request
        .metadata_mut()
        .insert("traceparent", context.parse().unwrap());
    world.commands().handle_command(request).await.unwrap();
    assert_eq!(
        world.counter.calls().pop().unwrap().traceparent.as_deref(),
        Some(context)
    );
    world.add(1, 1).await;
    assert_eq!(world.counter.calls().pop().unwrap().traceparent, None);
}
