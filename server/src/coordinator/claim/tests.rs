#![allow(clippy::panic, reason = "a test stops at the first surprise")]

use angzarr_proto::v1::{
    CommandPage, Compensate, Cover, Edition, ExternalDeferredSequence, RejectionNotification, Uuid,
};
use prost_types::Any;

use super::*;

fn deferred() -> AngzarrDeferredSequence {
    AngzarrDeferredSequence {
        source: Some(Cover {
            root: Some(Uuid { value: vec![7; 16] }),
            domain: "order".into(),
            ..Cover::default()
        }),
        source_seq: 3,
        source_component: "fulfillment".into(),
        command_index: 1,
    }
}

fn book(header: page_header::SequenceType, command: Any) -> CommandBook {
    CommandBook {
        cover: None,
        pages: vec![CommandPage {
            header: Some(PageHeader {
                sequence_type: Some(header),
                sync_mode: None,
            }),
            payload: Some(command_page::Payload::Command(command)),
            ..CommandPage::default()
        }],
    }
}

fn claim(deferred: AngzarrDeferredSequence, command: Any) -> Claim {
    match sequencing(&book(
        page_header::SequenceType::AngzarrDeferred(deferred),
        command,
    )) {
        Sequencing::Deferred(claim) => claim,
        Sequencing::Expected(_) => panic!("not deferred"),
    }
}

fn ordinary() -> Any {
    Any {
        type_url: "type.googleapis.com/shop.Reserve".into(),
        value: vec![],
    }
}

fn notification(payload: Any) -> Any {
    let notification = Notification {
        payload: Some(payload),
        ..Notification::default()
    };
    framework::pack("Notification", &notification)
}

#[test]
fn every_part_of_the_tuple_tells_claims_apart() {
    let mut others = vec![deferred(); 6];
    let source = |deferred: &mut AngzarrDeferredSequence, change: fn(&mut Cover)| {
        deferred.source.as_mut().map(change);
    };
    if let [edition, domain, root, seq, component, index] = others.as_mut_slice() {
        source(edition, |cover| {
            cover.edition = Some(Edition {
                name: "what-if".into(),
                divergences: vec![],
            });
        });
        source(domain, |cover| cover.domain = "orders".into());
        source(root, |cover| cover.root = Some(Uuid { value: vec![8; 16] }));
        seq.source_seq = 4;
        component.source_component = "billing".into();
        index.command_index = 2;
    }
    let first = claim(deferred(), ordinary());
    for other in others {
        assert_ne!(claim(other, ordinary()), first);
    }
}

#[test]
fn the_names_of_main_are_one_claim() {
    let mut named = deferred();
    if let Some(source) = &mut named.source {
        source.edition = Some(Edition {
            name: "angzarr".into(),
            divergences: vec![],
        });
    }
    assert_eq!(claim(named, ordinary()), claim(deferred(), ordinary()));
}

#[test]
fn a_command_and_its_two_notifications_are_three_kinds() {
    let rejection = framework::pack("RejectionNotification", &RejectionNotification::default());
    let compensate = framework::pack("Compensate", &Compensate::default());
    assert_eq!(claim(deferred(), ordinary()).kind, "command");
    assert_eq!(
        claim(deferred(), notification(rejection)).kind,
        "rejection-notification"
    );
    assert_eq!(
        claim(deferred(), notification(compensate)).kind,
        "compensate-notification"
    );
}

#[test]
fn the_key_of_a_claim_never_changes() {
    let key = claim(deferred(), ordinary()).key;
    let mut expected = vec![0, 0, 0, 0, 0, 0, 0, 5];
    expected.extend_from_slice(b"order");
    expected.extend_from_slice(&[7; 16]);
    expected.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 11]);
    expected.extend_from_slice(b"fulfillment");
    expected.extend_from_slice(&[0, 0, 0, 1]);
    assert_eq!(key, expected);
}

#[test]
fn an_outside_id_is_a_claim_and_no_header_expects_the_start() {
    let external = ExternalDeferredSequence {
        external_id: "pay-1".into(),
        ..Default::default()
    };
    let book = book(
        page_header::SequenceType::ExternalDeferred(external),
        ordinary(),
    );
    assert_eq!(
        sequencing(&book),
        Sequencing::Deferred(external_claim("pay-1"))
    );
    assert_eq!(sequencing(&CommandBook::default()), Sequencing::Expected(0));
}
