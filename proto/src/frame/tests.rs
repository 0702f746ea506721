#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::store::v1::{Pages, ReadResponse};
use crate::v1::Cover;

fn answer(pages: Pages) -> ReadResponse {
    let cover = Cover {
        domain: "order".to_owned(),
        ..Cover::default()
    };
    ReadResponse {
        cover: Some(cover),
        snapshot: None,
        pages,
        next_sequence: 300,
    }
}

fn unframed(frame: &Bytes) -> Bytes {
    let (head, message) = frame.split_first_chunk::<FRAME_HEAD>().unwrap();
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let [compressed, rest @ ..] = *head;
    assert_eq!((compressed, rest), (0, len));
    frame.slice_ref(message)
}

fn built(sizes: &[usize]) -> Pages {
    let mut pages = Pages::with_capacity(10);
    for size in sizes {
        pages.push(&[&vec![8; size / 2], &vec![9; size - size / 2]]);
    }
    pages
}

#[test]
fn an_answer_in_a_frame_is_the_answer() {
    for sizes in [&[][..], &[0], &[1, 200, 70_000]] {
        let message = answer(built(sizes));
        let frame = message.clone().into_frame();
        let came = ReadResponse::decode(unframed(&frame)).unwrap();
        assert_eq!(came, message);
        // What came is sent on as well as what was put together here.
        let again = ReadResponse::decode(unframed(&came.into_frame())).unwrap();
        assert_eq!(again, message);
        assert_eq!(again.pages.into_iter().count(), sizes.len());
    }
}

#[test]
fn pages_that_were_put_together_are_what_was_pushed() {
    let pages = built(&[3, 0, 5]);
    assert_eq!(pages.len(), 3);
    let lens: Vec<_> = pages.iter().map(<[u8]>::len).collect();
    assert_eq!(lens, [3, 0, 5]);
    let bytes: Vec<_> = pages.into_iter().collect();
    assert_eq!(bytes, [&[8, 9, 9][..], &[], &[8, 8, 9, 9, 9]]);
    assert_eq!(Pages::default().into_iter().count(), 0);
}

#[test]
fn any_message_has_its_frame() {
    let message = answer(Pages::default());
    let framed = frame(&message);
    assert_eq!(unframed(&framed), message.encode_to_vec());
}
