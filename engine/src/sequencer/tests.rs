#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;

use super::*;
use crate::event::{Page, Span};
use crate::types::Root;

fn append(root: u16, expected: Expected) -> Commit {
    let [high, low] = root.to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[high, low]);
    let key = AggregateKey {
        domain: Domain::new("order").unwrap(),
        edition: Edition::MAIN,
        root: Root::new(bytes),
    };
    let mut write = Write::to(key);
    write.expected = expected;
    write.pages = vec![Page {
        created_at: None,
        type_name: Span::default(),
        body: Bytes::from_static(b"event"),
    }];
    Commit {
        writes: vec![write],
        ..Commit::default()
    }
}

/// What somebody reads from an index that holds nothing.
fn of_nothing() -> Hints {
    Hints {
        as_of: Address::default(),
        aggregates: Some(vec![AggregateHint::default()]),
    }
}

#[test]
fn a_commit_of_which_nothing_was_read_is_accepted_as_long_as_its_aggregate_is_remembered() {
    let unread = Hints::default();
    let mut sequencer = Sequencer::default();
    let (first, second) = (
        append(0, Expected::NoEvents),
        append(0, Expected::Next(Sequence::new(1))),
    );
    assert!(!sequencer.accepts(&first, &unread));
    sequencer
        .admit(&first, &of_nothing(), Address::default())
        .unwrap();
    assert!(sequencer.accepts(&second, &unread));
    let again = sequencer.admit(&append(0, Expected::NoEvents), &unread, Address::default());
    assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
    sequencer
        .admit(&second, &unread, Address::default())
        .unwrap();

    // Two generations later it has forgotten, and wants to be told.
    let mut readable = 0;
    for root in 1..=2 * u16::try_from(limits::HEADS_CACHED).unwrap() {
        let hints = Hints {
            as_of: Address::new(readable),
            ..of_nothing()
        };
        sequencer
            .admit(
                &append(root, Expected::NoEvents),
                &hints,
                Address::default(),
            )
            .unwrap();
        readable += 8;
        sequencer.forget(Address::new(readable));
    }
    assert!(!sequencer.accepts(&second, &unread));
}

#[test]
fn what_a_claim_or_a_branch_needs_is_always_read() {
    let unread = Hints::default();
    let mut sequencer = Sequencer::default();
    let mut commit = append(0, Expected::Any);
    sequencer
        .admit(&commit, &of_nothing(), Address::default())
        .unwrap();
    assert!(sequencer.accepts(&commit, &unread));

    let claim = Claim {
        kind: Bytes::from_static(b"kind"),
        key: Bytes::from_static(b"key"),
    };
    commit.writes[0].claim = Some(claim);
    assert!(!sequencer.accepts(&commit, &unread));
    commit.writes[0].claim = None;
    commit.writes[0].key.edition = Edition::new("branch").unwrap();
    assert!(!sequencer.accepts(&commit, &unread));
}
