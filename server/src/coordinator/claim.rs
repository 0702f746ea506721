use angzarr_proto::store::v1::Claim;
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandBook, Cover, Notification, PageHeader, command_page,
    page_header,
};
use prost::Message;

use super::validate;
use crate::framework;

/// Claims of facts and of commands that carry an id of an outside system.
const EXTERNAL: &str = "external";
const COMMAND: &str = "command";
const REJECTION: &str = "rejection-notification";
const COMPENSATE: &str = "compensate-notification";

/// How the place of a command in its stream is found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sequencing {
    /// The client decided on this next sequence.
    Expected(u32),
    /// At the head, once for each claim.
    Deferred(Claim),
}

/// Reads the first page of a command that was checked already.
pub(super) fn sequencing(book: &CommandBook) -> Sequencing {
    let header = book.pages.first().and_then(|page| page.header.as_ref());
    match header.and_then(|header| header.sequence_type.as_ref()) {
        None => Sequencing::Expected(0),
        Some(page_header::SequenceType::Sequence(expected)) => Sequencing::Expected(*expected),
        Some(page_header::SequenceType::ExternalDeferred(external)) => {
            Sequencing::Deferred(external_claim(&external.external_id))
        }
        Some(page_header::SequenceType::AngzarrDeferred(deferred)) => {
            Sequencing::Deferred(deferred_claim(kind(book), deferred))
        }
    }
}

/// The claim of an id that an outside system gave.
pub(super) fn external_claim(external_id: &str) -> Claim {
    Claim {
        kind: EXTERNAL.to_owned(),
        key: external_id.as_bytes().to_vec(),
    }
}

/// The id of an outside system in a header.
pub(super) fn external_id(header: Option<&PageHeader>) -> Option<&str> {
    match header?.sequence_type.as_ref()? {
        page_header::SequenceType::ExternalDeferred(external) => Some(&external.external_id),
        _ => None,
    }
}

fn kind(book: &CommandBook) -> &'static str {
    match notified(book) {
        Some("RejectionNotification") => REJECTION,
        Some("Compensate") => COMPENSATE,
        _ => COMMAND,
    }
}

/// What the notification in the first page carries, if there is one.
pub(super) fn notified(book: &CommandBook) -> Option<&'static str> {
    let Some(command_page::Payload::Command(any)) = &book.pages.first()?.payload else {
        return None;
    };
    if framework::name(&any.type_url) != Some("Notification") {
        return None;
    }
    let payload = Notification::decode(any.value.as_slice()).ok()?.payload?;
    match framework::name(&payload.type_url)? {
        "RejectionNotification" => Some("RejectionNotification"),
        "Compensate" => Some("Compensate"),
        _ => None,
    }
}

/// What a component makes of an event, as part of a claim.
pub(super) fn event_key(component: &str, source: &Cover, sequence: u32) -> Vec<u8> {
    tuple_key(&AngzarrDeferredSequence {
        source: Some(source.clone()),
        source_seq: sequence,
        source_component: component.to_owned(),
        command_index: 0,
    })
}

/// The claim of a command that a component emitted.
pub(super) fn command_claim(origin: &AngzarrDeferredSequence) -> Claim {
    deferred_claim(COMMAND, origin)
}

/// The claim of the news that a command was refused.
pub(super) fn rejection_claim(origin: &AngzarrDeferredSequence) -> Claim {
    deferred_claim(REJECTION, origin)
}

fn deferred_claim(kind: &str, deferred: &AngzarrDeferredSequence) -> Claim {
    Claim {
        kind: kind.to_owned(),
        key: tuple_key(deferred),
    }
}

/// The key is stored for ever: the layout (each text behind its length, numbers big-endian)
/// must not change.
pub(super) fn tuple_key(deferred: &AngzarrDeferredSequence) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    let source = deferred.source.clone().unwrap_or_default();
    put_text(&mut key, validate::edition_name(&source));
    put_text(&mut key, &source.domain);
    key.extend_from_slice(
        source
            .root
            .as_ref()
            .map_or(&[], |root| root.value.as_slice()),
    );
    key.extend_from_slice(&deferred.source_seq.to_be_bytes());
    put_text(&mut key, &deferred.source_component);
    key.extend_from_slice(&deferred.command_index.to_be_bytes());
    key
}

fn put_text(key: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;
