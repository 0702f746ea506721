use proptest::prelude::*;
use prost::Message;

use super::*;

fn told(type_url: &str, value: &[u8]) -> String {
    let any = Any {
        type_url: type_url.to_owned(),
        value: value.to_vec(),
    };
    describe(Some(&Payload::Event(any))).1
}

#[test]
fn text_is_told_as_text() {
    let any = text_any("tea\u{7}\n\u{1b}[2J");
    assert_eq!(
        describe(Some(&Payload::Event(any.clone()))),
        (
            "StringValue".to_owned(),
            "tea\\u{7}\\n\\u{1b}[2J".to_owned()
        ),
        "control characters must not reach the terminal"
    );
    assert_eq!(
        to_json(Some(&Payload::Event(any)))["text"],
        "tea\u{7}\n\u{1b}[2J"
    );
}

#[test]
fn fields_are_told_by_number() {
    assert_eq!(told("a/shop.X", &[]), "");
    assert_eq!(told("a/shop.X", &[8, 150, 1]), "1:150");
    assert_eq!(
        told("a/shop.X", &[18, 3, b'A', b'd', b'a', 13, 1, 0, 0, 0]),
        "2:\"Ada\" 1:1"
    );
    assert_eq!(told("a/shop.X", &[9, 2, 0, 0, 0, 0, 0, 0, 0]), "1:2");
    assert_eq!(told("a/shop.X", &[26, 4, 8, 1, 16, 2]), "3:{1:1 2:2}");
    assert_eq!(told("a/shop.X", &[26, 2, 255, 255]), "3:0xffff");
}

#[test]
fn what_is_no_message_is_told_as_it_is() {
    assert_eq!(told("a/shop.X", &[18, 200, 1]), "0x12c801");
    assert_eq!(told("a/shop.X", b"{\"a\":1}"), "{\"a\":1}");
    assert_eq!(describe(None), ("(empty)".to_owned(), String::new()));
}

#[test]
fn names_are_short() {
    assert_eq!(
        type_name("type.googleapis.com/shop.v1.OrderPlaced"),
        "OrderPlaced"
    );
    assert_eq!(type_name("OrderPlaced"), "OrderPlaced");
    assert_eq!(type_name(""), "");
}

proptest! {
    #[test]
    fn no_bytes_disturb_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let said = told("a/shop.X", &bytes);
        prop_assert!(said.chars().all(|c| !c.is_control()), "{said:?}");
        let said = told("a/google.protobuf.StringValue", &bytes);
        prop_assert!(said.chars().all(|c| !c.is_control()), "{said:?}");
    }

    #[test]
    fn every_text_comes_back(text in any::<String>()) {
        let any = text_any(&text);
        prop_assert_eq!(String::decode(any.value.as_slice()).unwrap_or_default(), text.clone());
        prop_assert_eq!(&to_json(Some(&Payload::Event(any)))["text"], &Value::String(text));
    }
}
