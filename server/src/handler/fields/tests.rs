#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use angzarr_proto::v1::{EventPage, event_page};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;

use super::{Fields, Malformed, PageOutline, with_field_6};

fn page(no_commit: bool) -> EventPage {
    EventPage {
        payload: Some(event_page::Payload::Event(Any {
            type_url: "type.googleapis.com/shop.Sold".into(),
            value: vec![1, 2, 3],
        })),
        no_commit,
        ..EventPage::default()
    }
}

#[test]
fn an_outline_tells_what_the_page_holds() {
    let encoded = page(true).encode_to_vec();
    let outline = PageOutline::of(&encoded).unwrap();
    assert_eq!(outline.type_url, "type.googleapis.com/shop.Sold");
    assert_eq!(outline.event, [1, 2, 3]);
    assert!(outline.no_commit);
}

#[test]
fn overwriting_field_6_changes_nothing_else() {
    let encoded = Bytes::from(page(true).encode_to_vec());
    let changed = EventPage::decode(with_field_6(&encoded, false)).unwrap();
    assert_eq!(changed, page(false));
}

#[test]
fn every_cut_of_a_message_is_malformed_or_shorter_and_never_a_panic() {
    let encoded = page(true).encode_to_vec();
    let whole = Fields::of(&encoded).count();
    for length in 0..encoded.len() {
        let fields: Vec<_> = Fields::of(encoded.get(..length).unwrap()).collect();
        assert!(fields.len() < whole || fields.last() == Some(&Err(Malformed)));
    }
}

#[test]
fn groups_and_field_number_zero_are_malformed() {
    for bytes in [
        &[0x0b_u8][..],
        &[0x0c],
        &[0x00, 0x01],
        &[0x0a, 0xff],
        &[0xff; 11],
    ] {
        assert_eq!(Fields::of(bytes).next(), Some(Err(Malformed)));
    }
}
