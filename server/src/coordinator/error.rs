use angzarr_adapters::StoreError;
use angzarr_proto::v1::PayloadRetrievalFailedDetails;
use thiserror::Error;

use crate::handler::{self, RawBook};

/// Why a request of a client was not carried out, one variant for each thing it can do about it.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// The request can never succeed as it is. The text names the field.
    #[error("{0}")]
    Invalid(String),
    /// No business code is configured for the domain.
    #[error(
        "no handler is configured for domain `{domain}`; configured: {}",
        listed(.configured)
    )]
    UnknownDomain {
        /// The domain of the request.
        domain: String,
        /// Those that could be commanded, in name order.
        configured: Vec<String>,
    },
    /// The aggregate has moved on. Read it again, decide again, send again.
    #[error(
        "Sequence mismatch: {} {} is at {}, the command expected {}{}",
        .0.domain, .0.root, .0.actual, .0.expected, both_changed(.0)
    )]
    Mismatch(Box<Mismatch>),
    /// As [`Error::Mismatch`] for a command that is to be looked at by a person.
    #[error(
        "{domain} {root} is at {actual}, the command expected {expected}: it was put into the \
         dead letters `{dead_letters}`"
    )]
    DeadLettered {
        /// Domain of the aggregate.
        domain: String,
        /// Its root, in hexadecimal.
        root: String,
        /// What the command named.
        expected: u32,
        /// Next sequence of the aggregate.
        actual: u32,
        /// The domain whose stream holds the command now.
        dead_letters: String,
    },
    /// Pending events of other cascades change the same state.
    #[error(
        "pending events of cascade {} change the same state: wait until it is settled and send \
         the command again",
        .cascade_ids.join(", ")
    )]
    CascadeConflict {
        /// The cascades, in name order.
        cascade_ids: Vec<String>,
        /// State fields that both change; empty when the states could not be compared.
        overlapping_fields: Vec<String>,
    },
    /// The component declined an ordinary command by a revocation.
    #[error("{reason}")]
    Revoked {
        /// In the component's words.
        reason: String,
    },
    /// Components answer each other without an end in sight.
    #[error(
        "the commands caused one another {} deep and were not done: a component reacts to what it \
         causes itself; let it tell those events apart, or send the command in another mode than \
         CASCADE",
        super::run::DEPTH_MAX
    )]
    TooDeep,
    /// Too much work is queued. Try again later.
    #[error("{0}")]
    Busy(String),
    /// An answer that does not fit into one message. Ask for less of it.
    #[error("{0}")]
    TooLong(String),
    /// Business code gave no usable answer.
    #[error(transparent)]
    Handler(#[from] handler::Error),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a client needs to decide again.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// Domain of the aggregate.
    pub domain: String,
    /// Its root, in hexadecimal.
    pub root: String,
    /// What the command named.
    pub expected: u32,
    /// Next sequence of the aggregate.
    pub actual: u32,
    /// State fields that the command and the events it had not seen both change, by name where a
    /// descriptor set gives one; empty unless the states were compared.
    pub overlapping_fields: Vec<String>,
    /// The aggregate as it is.
    pub book: RawBook,
}

impl Error {
    /// The payload that could not be fetched, if that is what went wrong for good.
    pub(super) fn lost_payload(&self) -> Option<PayloadRetrievalFailedDetails> {
        match self {
            Self::Handler(handler::Error::Payload(lost)) if !lost.transient => {
                Some(lost.details.clone())
            }
            _ => None,
        }
    }

    /// Whether the same request may succeed later, unchanged or decided again.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Mismatch(_) | Self::CascadeConflict { .. } | Self::Busy(_) => true,
            Self::Handler(error) => error.is_worth_retrying(),
            Self::Store(error) => matches!(
                error,
                StoreError::Conflict { .. }
                    | StoreError::Busy(_)
                    | StoreError::Unavailable(_)
                    | StoreError::Poisoned(_)
            ),
            Self::Invalid(_)
            | Self::UnknownDomain { .. }
            | Self::DeadLettered { .. }
            | Self::Revoked { .. }
            | Self::TooDeep
            | Self::TooLong(_) => false,
        }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A stored page that does not decode: the store vouches for its bytes, so this is damage.
    pub(super) fn damaged(what: impl std::fmt::Display) -> Self {
        Self::Store(StoreError::Corrupt(format!(
            "a stored page cannot be read: {what}"
        )))
    }
}

fn both_changed(mismatch: &Mismatch) -> String {
    if mismatch.overlapping_fields.is_empty() {
        return String::new();
    }
    let fields = mismatch.overlapping_fields.join(", ");
    format!("; both changed {fields}")
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
