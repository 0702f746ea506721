#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use angzarr_proto::v1::{NoOp, RejectionNotification};

use super::*;

fn page(any: Any, no_commit: bool) -> Bytes {
    let page = EventPage {
        payload: Some(event_page::Payload::Event(any)),
        no_commit,
        ..EventPage::default()
    };
    Bytes::from(page.encode_to_vec())
}

fn business() -> Any {
    Any {
        type_url: "type.googleapis.com/angzarr.shop.Sold".into(),
        value: vec![8, 1],
    }
}

fn event(page: &Bytes) -> (String, bool) {
    let page = EventPage::decode(page.clone()).unwrap();
    let Some(event_page::Payload::Event(any)) = page.payload else {
        panic!("no event")
    };
    (any.type_url, page.no_commit)
}

#[test]
fn the_canonical_dialect_gets_the_stored_bytes() {
    let pages = vec![
        page(business(), false),
        page(framework::pack("NoOp", &NoOp::default()), true),
    ];
    assert_eq!(pages_for_peer(&pages, Dialect::V1).unwrap(), pages);
}

#[test]
fn client_03_reads_field_6_as_committed() {
    let pages = vec![page(business(), false), page(business(), true)];
    let sent = pages_for_peer(&pages, Dialect::Client03).unwrap();
    assert_eq!(
        event(&sent[0]),
        ("type.googleapis.com/angzarr.shop.Sold".into(), true)
    );
    assert_eq!(
        event(&sent[1]),
        ("type.googleapis.com/angzarr.shop.Sold".into(), false)
    );
}

#[test]
fn protocol_messages_are_renamed_and_business_ones_are_not() {
    let pages = vec![
        page(framework::pack("NoOp", &NoOp::default()), true),
        page(business(), false),
    ];
    let sent = pages_for_peer(&pages, Dialect::Client05).unwrap();
    assert_eq!(
        event(&sent[0]).0,
        "type.googleapis.com/angzarr_client.proto.angzarr.NoOp"
    );
    assert_eq!(event(&sent[1]).0, "type.googleapis.com/angzarr.shop.Sold");
    let sent = pages_for_peer(&pages, Dialect::Client03).unwrap();
    assert_eq!(
        event(&sent[0]),
        ("type.googleapis.com/angzarr.NoOp".into(), false)
    );
}

#[test]
fn a_notification_is_renamed_inside_and_out() {
    let notification = Notification {
        payload: Some(framework::pack(
            "RejectionNotification",
            &RejectionNotification::default(),
        )),
        ..Notification::default()
    };
    let command = CommandBook {
        cover: None,
        pages: vec![CommandPage {
            payload: Some(command_page::Payload::Command(framework::pack(
                "Notification",
                &notification,
            ))),
            ..CommandPage::default()
        }],
    };
    let translated = |command, dialect| command_for_peer(command, dialect).into_owned();
    let sent = translated(&command, Dialect::Client03);
    let Some(command_page::Payload::Command(any)) = &sent.pages[0].payload else {
        panic!()
    };
    assert_eq!(any.type_url, "type.googleapis.com/angzarr.Notification");
    let inner = Notification::decode(any.value.as_slice())
        .unwrap()
        .payload
        .unwrap();
    assert_eq!(
        inner.type_url,
        "type.googleapis.com/angzarr.RejectionNotification"
    );

    // And back: a caller of any dialect is understood by a handler of any other.
    assert_eq!(translated(&sent, Dialect::V1), command);
}

#[test]
fn a_page_that_is_no_message_is_an_error() {
    let pages = vec![Bytes::from_static(&[0x1a, 0xff])];
    assert_eq!(pages_for_peer(&pages, Dialect::Client03), Err(Malformed));
}
