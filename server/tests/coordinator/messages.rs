//! Requests, and what is in answers.

use std::time::Duration;

use angzarr_proto::v1::{
    CascadeCommit, CascadeRollback, CommandBook, CommandPage, CommandRequest, Cover, Edition,
    EventBook, EventPage, MergeStrategy, PageHeader, SyncMode, Uuid, command_page, event_page,
    page_header,
};
use angzarr_server::framework;
use angzarr_server::handler::Retries;
use angzarr_server::registry::{HandlerSettings, Snapshots};
use prost::Message;
use prost_types::Any;

use crate::counter::{Amount, Text, any};

pub(crate) fn handler(domain: &str, address: &str) -> HandlerSettings {
    HandlerSettings {
        domain: domain.into(),
        address: address.into(),
        dialect: None,
        timeout: Duration::from_secs(30),
        retries: Retries {
            attempts: 3,
            min: Duration::from_millis(1),
            max: Duration::from_millis(5),
        },
        concurrency: 1024,
        snapshots: Snapshots::Auto,
    }
}

pub(crate) fn root(number: u8) -> Uuid {
    Uuid {
        value: vec![number; 16],
    }
}

pub(crate) fn cover(number: u8) -> Cover {
    Cover {
        domain: "counter".into(),
        root: Some(root(number)),
        ..Cover::default()
    }
}

pub(crate) fn cover_in(domain: &str, root: u8) -> Cover {
    Cover {
        domain: domain.into(),
        ..cover(root)
    }
}

pub(crate) fn dead_letter_cover(domain: &str) -> Cover {
    Cover {
        domain: format!("angzarr.dlq.{domain}"),
        root: Some(root(0)),
        ..Cover::default()
    }
}

pub(crate) fn on_branch(mut cover: Cover, name: &str) -> Cover {
    cover.edition = Some(Edition {
        name: name.into(),
        divergences: vec![],
    });
    cover
}

pub(crate) fn command(cover: Cover, command: Any, sequence: u32) -> CommandRequest {
    let header = PageHeader {
        sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
        sync_mode: None,
    };
    let page = CommandPage {
        header: Some(header),
        payload: Some(command_page::Payload::Command(command)),
        merge_strategy: MergeStrategy::MergeStrict.into(),
    };
    CommandRequest {
        command: Some(CommandBook {
            cover: Some(cover),
            pages: vec![page],
        }),
        ..CommandRequest::default()
    }
}

/// A command that no other one can make stale.
pub(crate) fn at_head(root: u8, payload: Any) -> CommandRequest {
    merged(
        command(cover(root), payload, 0),
        MergeStrategy::MergeAggregateHandles,
    )
}

pub(crate) fn merged(mut request: CommandRequest, strategy: MergeStrategy) -> CommandRequest {
    page_mut(&mut request).merge_strategy = strategy.into();
    request
}

pub(crate) fn in_cascade(mut request: CommandRequest, cascade_id: &str) -> CommandRequest {
    request.cascade_id = Some(cascade_id.into());
    request
}

pub(crate) fn in_mode(mut request: CommandRequest, mode: SyncMode) -> CommandRequest {
    request.sync_mode = mode.into();
    request
}

pub(crate) fn correlated(mut request: CommandRequest, id: &str) -> CommandRequest {
    cover_mut(&mut request).correlation_id = id.into();
    request
}

pub(crate) fn page_mut(request: &mut CommandRequest) -> &mut CommandPage {
    &mut request.command.as_mut().unwrap().pages[0]
}

pub(crate) fn cover_mut(request: &mut CommandRequest) -> &mut Cover {
    request.command.as_mut().unwrap().cover.as_mut().unwrap()
}

pub(crate) fn add(amount: u32) -> Any {
    any("Add", &Amount { amount })
}

pub(crate) fn label(text: &str) -> Any {
    any("Label", &Text { text: text.into() })
}

pub(crate) fn plain(name: &str) -> Any {
    any(name, &Amount { amount: 1 })
}

/// The numbers of the pages.
pub(crate) fn sequences(book: &EventBook) -> Vec<u32> {
    let sequence = |page: &EventPage| match page.header.as_ref().unwrap().sequence_type {
        Some(page_header::SequenceType::Sequence(sequence)) => sequence,
        ref other => panic!("{other:?} is no sequence"),
    };
    book.pages.iter().map(sequence).collect()
}

pub(crate) fn event(page: &EventPage) -> &Any {
    match &page.payload {
        Some(event_page::Payload::Event(any)) => any,
        other => panic!("{other:?} is no event"),
    }
}

/// Last parts of the type names of the pages.
pub(crate) fn types(book: &EventBook) -> Vec<&str> {
    book.pages
        .iter()
        .map(|page| event(page).type_url.rsplit('.').next().unwrap())
        .collect()
}

pub(crate) fn unpack<M: Message + Default>(page: &EventPage) -> M {
    M::decode(event(page).value.as_slice()).unwrap()
}

fn administrative(name: &str, message: &impl Message) -> CommandRequest {
    let mut request = at_head(9, framework::pack(name, message));
    cover_mut(&mut request).root = None;
    request
}

pub(crate) fn committing(cascade_id: &str) -> CommandRequest {
    let cascade_id = cascade_id.into();
    administrative("CascadeCommit", &CascadeCommit { cascade_id })
}

pub(crate) fn rolling_back(cascade_id: &str) -> CommandRequest {
    let command = CascadeRollback {
        cascade_id: cascade_id.into(),
        reason: "too late".into(),
    };
    administrative("CascadeRollback", &command)
}
