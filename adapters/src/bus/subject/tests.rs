use bytes::Bytes;

use super::*;

fn message(domain: &str, edition: &str) -> BusMessage {
    BusMessage {
        id: String::new(),
        domain: domain.to_owned(),
        edition: edition.to_owned(),
        root: (0..16).collect(),
        correlation_id: String::new(),
        sequence: 0,
        position: 1,
        book: Bytes::new(),
    }
}

const ROOT: &str = "000102030405060708090a0b0c0d0e0f";

#[test]
fn the_main_timeline_has_three_parts_and_a_branch_four() {
    assert_eq!(
        subject("angzarr", &message("order", "")),
        format!("angzarr.order.{ROOT}")
    );
    assert_eq!(
        subject("a.b", &message("order", "what-if")),
        format!("a.b.order.{ROOT}.what-if")
    );
}

/// Whatever a name holds, it is one part, and no two names are the same part.
#[test]
fn what_would_part_or_match_is_escaped() {
    assert_eq!(
        subject("p", &message("shop.order", "a.b")),
        format!("p.shop%2Eorder.{ROOT}.a%2Eb")
    );
    let odd = subject("p", &message("a *>%\u{e4}\n", ""));
    assert_eq!(odd, format!("p.a%20%2A%3E%25%C3%A4%0A.{ROOT}"));
}
