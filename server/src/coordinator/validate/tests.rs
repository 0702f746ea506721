#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use angzarr_proto::v1::{
    AngzarrDeferredSequence, DomainDivergence, ExternalDeferredSequence, PayloadReference, Uuid,
};

use super::*;

fn any(bytes: usize) -> Any {
    Any {
        type_url: "type.googleapis.com/shop.Reserve".into(),
        value: vec![0; bytes],
    }
}

fn valid_cover() -> Cover {
    Cover {
        root: Some(Uuid { value: vec![1; 16] }),
        domain: "order".into(),
        ..Cover::default()
    }
}

fn valid() -> CommandRequest {
    let page = CommandPage {
        header: Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(0)),
            sync_mode: None,
        }),
        payload: Some(command_page::Payload::Command(any(3))),
        ..CommandPage::default()
    };
    CommandRequest {
        command: Some(CommandBook {
            cover: Some(valid_cover()),
            pages: vec![page],
        }),
        ..CommandRequest::default()
    }
}

fn valid_facts() -> EventRequest {
    let page = EventPage {
        header: Some(external("pay-1")),
        payload: Some(event_page::Payload::Event(any(3))),
        ..EventPage::default()
    };
    EventRequest {
        events: Some(EventBook {
            cover: Some(valid_cover()),
            pages: vec![page],
            ..EventBook::default()
        }),
        ..EventRequest::default()
    }
}

fn external(id: &str) -> PageHeader {
    let external = ExternalDeferredSequence {
        external_id: id.into(),
        ..Default::default()
    };
    PageHeader {
        sequence_type: Some(page_header::SequenceType::ExternalDeferred(external)),
        sync_mode: None,
    }
}

fn with_cover(change: impl Fn(&mut Cover)) -> CommandRequest {
    let mut request = valid();
    change(request.command.as_mut().unwrap().cover.as_mut().unwrap());
    request
}

fn with_page(change: impl Fn(&mut CommandPage)) -> CommandRequest {
    let mut request = valid();
    change(&mut request.command.as_mut().unwrap().pages[0]);
    request
}

fn with_fact(change: impl Fn(&mut EventPage)) -> EventRequest {
    let mut request = valid_facts();
    change(&mut request.events.as_mut().unwrap().pages[0]);
    request
}

#[track_caller]
fn refused(request: CommandRequest, field: &str) {
    match command(request, Limits::default()) {
        Err(Error::Invalid(text)) => assert!(text.contains(field), "{text:?} lacks {field:?}"),
        other => panic!("{other:?} is no refusal that names {field:?}"),
    }
}

#[track_caller]
fn facts_refused(request: EventRequest, field: &str) {
    match facts(request, Limits::default()) {
        Err(Error::Invalid(text)) => assert!(text.contains(field), "{text:?} lacks {field:?}"),
        other => panic!("{other:?} is no refusal that names {field:?}"),
    }
}

#[test]
fn a_proper_request_is_accepted() {
    let accepted = command(valid(), Limits::default()).unwrap();
    assert_eq!(accepted.cover, valid_cover());
    assert_eq!(accepted.sequencing, Sequencing::Expected(0));
    assert_eq!(
        facts(valid_facts(), Limits::default()).unwrap().external_id,
        "pay-1"
    );
}

#[test]
fn a_request_without_a_part_is_refused_by_its_name() {
    refused(CommandRequest::default(), "command is missing");
    let mut request = valid();
    request.command.as_mut().unwrap().cover = None;
    refused(request, "command.cover is missing");
    let mut request = valid();
    request.command.as_mut().unwrap().pages.clear();
    refused(request, "command.pages is empty");
    refused(
        with_page(|page| page.payload = None),
        "command.pages[0].command",
    );
    refused(
        with_cover(|cover| cover.root = None),
        "command.cover.root is missing",
    );
}

#[test]
fn roots_have_sixteen_bytes() {
    for length in [0, 15, 17, 36] {
        let request = with_cover(|cover| {
            cover.root = Some(Uuid {
                value: vec![1; length],
            })
        });
        refused(request, "command.cover.root.value");
    }
}

#[test]
fn domains_keep_to_their_alphabet() {
    let long = "a".repeat(65);
    for name in [
        "", "Order", "1order", "-order", ".order", "or der", "order/x", "ördér", &long,
    ] {
        refused(
            with_cover(|cover| cover.domain = name.into()),
            "command.cover.domain",
        );
    }
    for name in ["o", "_internal", "order-2.x_y", &"a".repeat(64)] {
        assert!(domain("domain", name).is_ok(), "{name}");
    }
}

#[test]
fn editions_keep_to_their_alphabet() {
    let long = "e".repeat(65);
    for name in ["what if", "a/b", "é", &long] {
        let request = with_cover(|cover| {
            cover.edition = Some(Edition {
                name: name.into(),
                divergences: vec![],
            });
        });
        refused(request, "command.cover.edition.name");
    }
}

#[test]
fn the_names_of_main_are_the_same_key() {
    for edition in [None, Some(Edition::default()), Some(named("angzarr"))] {
        let request = with_cover(|cover| cover.edition.clone_from(&edition));
        let accepted = command(request, Limits::default()).unwrap();
        assert_eq!(accepted.cover.edition, None);
        assert_eq!(accepted.book.cover, Some(accepted.cover));
    }
}

fn named(name: &str) -> Edition {
    Edition {
        name: name.into(),
        divergences: vec![],
    }
}

#[test]
fn divergences_need_a_branch_and_one_entry_for_each_domain() {
    let divergence = DomainDivergence {
        domain: "order".into(),
        sequence: 1,
    };
    let on_main = Edition {
        name: String::new(),
        divergences: vec![divergence.clone()],
    };
    refused(
        with_cover(|cover| cover.edition = Some(on_main.clone())),
        "command.cover.edition.divergences",
    );
    let twice = Edition {
        name: "what-if".into(),
        divergences: vec![divergence.clone(), divergence],
    };
    refused(
        with_cover(|cover| cover.edition = Some(twice.clone())),
        "twice",
    );
}

#[test]
fn ids_are_short_printable_ascii() {
    let long = "c".repeat(129);
    for id in ["tab\there", "ünïcode", "nul\0", &long] {
        refused(
            with_cover(|cover| cover.correlation_id = id.into()),
            "correlation_id",
        );
        let mut request = valid();
        request.cascade_id = Some(id.into());
        refused(request, "cascade_id");
    }
    let mut request = valid();
    request.cascade_id = Some(String::new());
    refused(request, "cascade_id is empty");
}

#[test]
fn limits_are_named() {
    let page = valid().command.unwrap().pages[0].clone();
    let mut request = valid();
    request.command.as_mut().unwrap().pages = vec![page; 101];
    refused(request, "limits.pages");
    let large = any(256 * 1024 + 1);
    refused(
        with_page(|page| page.payload = Some(command_page::Payload::Command(large.clone()))),
        "limits.payload_bytes",
    );
}

#[test]
fn numbers_outside_of_an_enumeration_are_refused() {
    let mut request = valid();
    request.sync_mode = 9;
    refused(request, "sync_mode");
    let mut request = valid();
    request.cascade_error_mode = -1;
    refused(request, "cascade_error_mode");
    refused(with_page(|page| page.merge_strategy = 4), "merge_strategy");
    refused(
        with_page(|page| page.header.as_mut().unwrap().sync_mode = Some(77)),
        "command.pages[0].header.sync_mode",
    );
}

#[test]
fn a_command_without_a_type_or_elsewhere_is_refused() {
    let untyped = Any {
        type_url: String::new(),
        value: vec![1],
    };
    refused(
        with_page(|page| page.payload = Some(command_page::Payload::Command(untyped.clone()))),
        "command.pages[0].command.type_url",
    );
    let elsewhere = PayloadReference::default();
    refused(
        with_page(|page| page.payload = Some(command_page::Payload::External(elsewhere.clone()))),
        "command.pages[0].external",
    );
}

#[test]
fn deferred_headers_are_checked_to_the_last_field() {
    refused(
        with_page(|page| page.header = Some(external(""))),
        "external_id is missing",
    );
    let deferred = AngzarrDeferredSequence {
        source: None,
        ..Default::default()
    };
    refused(
        with_page(|page| {
            page.header.as_mut().unwrap().sequence_type =
                Some(page_header::SequenceType::AngzarrDeferred(deferred.clone()));
        }),
        "angzarr_deferred.source is missing",
    );
}

#[test]
fn the_mode_of_the_page_counts() {
    let mut request = with_page(|page| {
        page.header.as_mut().unwrap().sync_mode = Some(SyncMode::Isolated.into());
    });
    request.sync_mode = SyncMode::Simple.into();
    let accepted = command(request, Limits::default()).unwrap();
    assert_eq!(accepted.mode, SyncMode::Isolated);
}

#[test]
fn facts_need_an_external_id() {
    facts_refused(EventRequest::default(), "events is missing");
    facts_refused(
        with_fact(|page| page.header = None),
        "external_deferred.external_id",
    );
    facts_refused(
        with_fact(|page| page.header = Some(external(""))),
        "external_id",
    );
    let mut request = valid_facts();
    let pages = &mut request.events.as_mut().unwrap().pages;
    pages.push(pages[0].clone());
    pages[1].header = Some(external("pay-2"));
    facts_refused(request, "events.pages[1].header");
}

#[test]
fn facts_hold_events_and_no_placeholders() {
    facts_refused(
        with_fact(|page| page.payload = None),
        "events.pages[0].event",
    );
    let placeholder = framework::pack("NoOp", &angzarr_proto::v1::NoOp::default());
    facts_refused(
        with_fact(|page| page.payload = Some(event_page::Payload::Event(placeholder.clone()))),
        "NoOp",
    );
    let mut request = valid_facts();
    request.events.as_mut().unwrap().pages.clear();
    facts_refused(request, "events.pages is empty");
}

#[test]
fn the_deletion_of_an_edition_concerns_no_root() {
    let mut request = with_page(|page| {
        page.payload = Some(command_page::Payload::Command(framework::pack(
            "DeleteEditionEvents",
            &angzarr_proto::v1::DeleteEditionEvents::default(),
        )));
    });
    request
        .command
        .as_mut()
        .unwrap()
        .cover
        .as_mut()
        .unwrap()
        .root = None;
    assert!(command(request, Limits::default()).is_ok());
}
