#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use angzarr_proto::v1::{CommandBook, CommandPage, Cover, Notification, Uuid, command_page};
use serde_json::json;

use super::*;

const BOOK: &str = "angzarr_client.proto.angzarr.v1.CommandBook";

fn book(payload: Any) -> CommandBook {
    CommandBook {
        cover: Some(Cover {
            domain: "order".into(),
            root: Some(Uuid { value: vec![1; 16] }),
            ..Cover::default()
        }),
        pages: vec![CommandPage {
            payload: Some(command_page::Payload::Command(payload)),
            ..CommandPage::default()
        }],
    }
}

fn any(name: &str, value: Vec<u8>) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value,
    }
}

#[track_caller]
fn there_and_back(book: &CommandBook) -> Value {
    let json = Json::new([]).unwrap();
    let value = json.write_named(BOOK, book).unwrap();
    let descriptor = json.pool().get_message_by_name(BOOK).unwrap();
    let bytes = json.read(&descriptor, value.clone()).unwrap();
    assert_eq!(&CommandBook::decode(bytes.as_slice()).unwrap(), book);
    value
}

#[test]
fn an_unknown_type_is_its_name_and_its_bytes() {
    let value = there_and_back(&book(any("shop.Order", vec![8, 1])));
    assert_eq!(
        value.pointer("/pages/0/command").unwrap(),
        &json!({"@type": "type.googleapis.com/shop.Order", "value": "CAE="})
    );
    assert_eq!(
        value.pointer("/cover/root/value").unwrap(),
        "AQEBAQEBAQEBAQEBAQEBAQ=="
    );
}

#[test]
fn a_known_type_around_an_unknown_one_is_read_and_written() {
    let inner = Notification {
        payload: Some(any("shop.Order", vec![8, 2])),
        ..Notification::default()
    };
    let name = "angzarr_client.proto.angzarr.v1.Notification";
    let value = there_and_back(&book(any(name, inner.encode_to_vec())));
    assert_eq!(
        value.pointer("/pages/0/command/payload").unwrap(),
        &json!({"@type": "type.googleapis.com/shop.Order", "value": "CAI="})
    );
}

#[test]
fn what_is_not_what_it_says_stays_whole() {
    let value = there_and_back(&book(any(
        "angzarr_client.proto.angzarr.v1.Notification",
        vec![0xff],
    )));
    assert_eq!(value.pointer("/pages/0/command/value").unwrap(), "/w==");
}

#[test]
fn an_any_without_end_ends() {
    let name = "angzarr_client.proto.angzarr.v1.Notification";
    let mut payload = any("shop.Order", Vec::new());
    for _ in 0..2_000 {
        let around = Notification {
            payload: Some(payload),
            ..Notification::default()
        };
        payload = any(name, around.encode_to_vec());
    }
    there_and_back(&book(payload));
}

#[test]
fn a_configured_type_is_written_by_its_fields() {
    let file = FileDescriptorProto {
        name: Some("shop.proto".into()),
        package: Some("shop".into()),
        syntax: Some("proto3".into()),
        message_type: opaque_file()
            .message_type
            .into_iter()
            .map(|message| DescriptorProto {
                name: Some("Order".into()),
                ..message
            })
            .collect(),
        ..FileDescriptorProto::default()
    };
    let set = prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let json = Json::new([set.as_slice()]).unwrap();
    let payload = any("shop.Order", vec![10, 1, b'x']);
    let value = json.write_named(BOOK, &book(payload)).unwrap();
    assert_eq!(
        value.pointer("/pages/0/command").unwrap(),
        &json!({"@type": "type.googleapis.com/shop.Order", "typeUrl": "x"})
    );
}

#[test]
fn nonsense_is_refused_by_name() {
    let json = Json::new([]).unwrap();
    let descriptor = json.pool().get_message_by_name(BOOK).unwrap();
    for (value, named) in [
        (
            json!({"pages": [{"command": {"@type": "x/shop.Order", "total": 3}}]}),
            "shop.Order",
        ),
        (json!({"covr": {}}), "covr"),
        (json!({"cover": {"root": {"value": "%%"}}}), "base64"),
    ] {
        let error = json.read(&descriptor, value).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    let error = Json::new([[1_u8, 2, 3].as_slice()]).unwrap_err();
    assert!(error.contains("descriptor set"), "{error}");
}
