//! Messages of the protocol itself, as opposed to those of business code.

use angzarr_proto::Dialect;
use prost::Message;
use prost_types::Any;

/// Prefix of every type URL the server writes.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

const INTERNAL_PACKAGE: &str = "angzarr.internal.v1";

/// Bare names of the protocol messages that may travel in an `Any`.
const NAMES: [&str; 14] = [
    "AngzarrDeadLetter",
    "CascadeCommit",
    "CascadeConflictDetail",
    "CascadeRollback",
    "Compensate",
    "Confirmation",
    "DeleteEditionEvents",
    "EditionEventsDeleted",
    "EventBook",
    "NoOp",
    "Notification",
    "RejectionNotification",
    "Revocation",
    "SagaCompensationFailed",
];

/// Bare name of a protocol message, whichever package a peer knows it under.
#[must_use]
pub fn name(type_url: &str) -> Option<&str> {
    let (_, bare) = Dialect::of_type_url(type_url)?;
    NAMES.contains(&bare).then_some(bare)
}

/// Whether a page of this type steers pending state and is never shown to a reader.
#[must_use]
pub fn steers(type_url: &str) -> bool {
    matches!(
        name(type_url),
        Some(
            "CascadeCommit"
                | "CascadeRollback"
                | "Compensate"
                | "Confirmation"
                | "NoOp"
                | "Revocation"
        )
    )
}

/// Type URL of a protocol message in the package of `dialect`.
#[must_use]
pub fn type_url(name: &str, dialect: Dialect) -> String {
    format!("{TYPE_URL_PREFIX}{}", dialect.qualify(name))
}

/// Packs a protocol message under its canonical name.
#[must_use]
pub fn pack(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: type_url(name, Dialect::V1),
        value: message.encode_to_vec(),
    }
}

/// Packs a message of the server's own, as it is stored in internal domains.
#[must_use]
pub fn pack_internal(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("{TYPE_URL_PREFIX}{INTERNAL_PACKAGE}.{name}"),
        value: message.encode_to_vec(),
    }
}

/// Whether a domain belongs to the server: consumers get it only when they name it.
#[must_use]
pub fn is_internal(domain: &str) -> bool {
    domain.starts_with('_') || domain.starts_with("angzarr.")
}
