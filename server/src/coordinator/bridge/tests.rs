use angzarr_proto::v1::{Cover, EventPage, PageHeader, Uuid, page_header};

use super::*;

fn trigger(sizes: &[usize]) -> Trigger {
    let page = |(number, size): (u32, &usize)| {
        let page = EventPage {
            header: Some(PageHeader {
                sequence_type: Some(page_header::SequenceType::Sequence(number)),
                ..PageHeader::default()
            }),
            payload: Some(angzarr_proto::v1::event_page::Payload::Event(
                prost_types::Any {
                    type_url: "t/x.Y".to_owned(),
                    value: vec![7; *size],
                },
            )),
            ..EventPage::default()
        };
        page.encode_to_vec().into()
    };
    let cover = Cover {
        domain: "order".to_owned(),
        root: Some(Uuid { value: vec![1; 16] }),
        ..Cover::default()
    };
    Trigger::new(cover, (3..).zip(sizes).map(page).collect(), 40)
}

fn messages(sizes: &[usize], generation: u32) -> Vec<BusMessage> {
    let trigger = trigger(sizes);
    let pages = trigger.sequences.iter().copied().zip(&trigger.book.pages);
    let parts = parts(pages).into_iter();
    parts
        .map(|part| message(&trigger, part, generation))
        .collect()
}

fn ids(messages: &[BusMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

const ROOT: &str = "01010101010101010101010101010101";

#[test]
fn the_id_says_what_the_message_holds_and_which_time_it_is() {
    let first = messages(&[10, 10], 0);
    assert_eq!(ids(&first), [format!("order@/{ROOT}/3-4/40")]);
    let again = messages(&[10, 10], 2);
    assert_eq!(ids(&again), [format!("order@/{ROOT}/3-4/40#2")]);
    assert_eq!(first, messages(&[10, 10], 0));
}

#[test]
fn a_large_book_is_cut_at_pages_and_each_part_stands_for_itself() {
    let most = PART_BYTES / 2 + 1;
    let cut = messages(&[most, most, 10, 2 * PART_BYTES, 10], 0);
    let held: Vec<_> = cut
        .iter()
        .map(|message| {
            let book = RawBook::decode(message.book.clone()).unwrap();
            (message.sequence, book.pages.len(), book.next_sequence)
        })
        .collect();
    // A page that is too large for a part is one all the same: the bus says what it takes.
    assert_eq!(held, [(3, 1, 4), (4, 2, 6), (6, 1, 7), (7, 1, 8)]);
}

/// The tenth attempt is the last for business code.
#[test]
fn a_bus_is_tried_without_end_and_never_more_slowly_than_this() {
    let pauses: Vec<_> = RETRIES.delays().take(10_000).collect();
    assert_eq!(pauses.len(), 10_000);
    assert!(pauses.iter().all(|pause| *pause <= 2 * RETRIES.max));
}
