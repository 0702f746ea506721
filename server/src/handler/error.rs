use std::time::Duration;

use thiserror::Error;

use crate::claim_check::PayloadLost;

/// Why a call to business code gave no usable answer.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// The peer answered with a status of its own, which goes to the caller unchanged.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    /// No connection, or it broke, as often as the retries allow.
    #[error("{peer} at {address} could not be reached in {attempts} attempts: {cause}")]
    Unreachable {
        /// What was called, as in "the handler of domain `order`".
        peer: String,
        /// Where it should listen.
        address: String,
        /// Calls that were tried.
        attempts: u32,
        /// The last failure.
        cause: String,
    },
    /// No answer within the configured time.
    #[error("{peer} at {address} did not answer within {after:?}")]
    Deadline {
        /// What was called.
        peer: String,
        /// Where it listens.
        address: String,
        /// The configured timeout.
        after: Duration,
    },
    /// The request is more than the peer takes in one message.
    #[error(
        "{peer} at {address} does not take so long a request ({limit}): raise its limit, or let it \
         return snapshots, so that it gets fewer events"
    )]
    Overfull {
        /// What was called.
        peer: String,
        /// Where it listens.
        address: String,
        /// In the peer's words.
        limit: String,
    },
    /// An answer that cannot be used. Nothing of it is stored.
    #[error("{peer} at {address} gave an answer that cannot be used: {what}")]
    Nonsense {
        /// What was called.
        peer: String,
        /// Where it listens.
        address: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// What business code is to be given cannot be fetched.
    #[error(transparent)]
    Payload(Box<PayloadLost>),
}

impl Error {
    /// Whether the peer says that it has no such method.
    #[must_use]
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code() == tonic::Code::Unimplemented)
    }

    /// Whether the same call may succeed later: the peer is away, overloaded, or in the way of
    /// itself.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Refused(status) => {
                matches!(
                    status.code(),
                    tonic::Code::Unavailable
                        | tonic::Code::DeadlineExceeded
                        | tonic::Code::ResourceExhausted
                        | tonic::Code::Aborted
                        | tonic::Code::Internal
                ) || (status.code() == tonic::Code::FailedPrecondition
                    && status.message().starts_with("Sequence mismatch:"))
            }
            Self::Unreachable { .. } | Self::Deadline { .. } | Self::Nonsense { .. } => true,
            Self::Overfull { .. } => false,
            Self::Payload(lost) => lost.transient,
        }
    }

    /// Whether the peer is away for now, as opposed to unable or unwilling.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Refused(status) => {
                matches!(
                    status.code(),
                    tonic::Code::Unavailable | tonic::Code::DeadlineExceeded
                )
            }
            Self::Overfull { .. } | Self::Nonsense { .. } => false,
            Self::Payload(lost) => lost.transient,
        }
    }
}
