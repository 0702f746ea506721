#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use angzarr_proto::v1::{CommandPage, ContextualCommand, EventPage, PageHeader, page_header};

use super::*;

#[test]
fn a_contextual_command_is_what_the_protocol_says() {
    let page = |sequence| EventPage {
        header: Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
            sync_mode: None,
        }),
        ..EventPage::default()
    };
    let cover = Cover {
        domain: "order".to_owned(),
        correlation_id: "c-1".to_owned(),
        ..Cover::default()
    };
    let command = CommandBook {
        cover: Some(cover.clone()),
        pages: vec![CommandPage::default()],
    };
    let snapshot = Snapshot {
        sequence: 7,
        ..Snapshot::default()
    };
    for events in [
        EventBook::default(),
        EventBook {
            cover: Some(cover),
            snapshot: Some(snapshot),
            // Lengths of one byte and of two.
            pages: (8..200).map(page).collect(),
            next_sequence: 200,
        },
    ] {
        let pages: Vec<Bytes> = events
            .pages
            .iter()
            .map(|page| page.encode_to_vec().into())
            .collect();
        let raw = RawBook {
            cover: events.cover.clone(),
            snapshot: events.snapshot.clone(),
            pages: Vec::new(),
            next_sequence: events.next_sequence,
        };
        let whole = ContextualCommand {
            events: Some(events),
            command: Some(command.clone()),
        };
        let encoded = contextual_command(&raw, &pages, &command);
        assert_eq!(encoded.len(), whole.encoded_len());
        assert_eq!(ContextualCommand::decode(encoded).unwrap(), whole);
    }
}
