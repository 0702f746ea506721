use thiserror::Error;

/// Why a store refused or failed, one variant for each thing a caller can do about it.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The expectation did not hold. Read again from `actual`, decide again, append again.
    #[error("Sequence mismatch: {domain} {root} is at {actual}, the request expected {expected}")]
    Conflict {
        /// Domain of the aggregate that did not match.
        domain: String,
        /// Its root, in hexadecimal.
        root: String,
        /// Next sequence the request named.
        expected: u32,
        /// Next sequence of the aggregate.
        actual: u32,
    },
    /// The request can never succeed as it is. The text names the field.
    #[error("{0}")]
    Invalid(String),
    /// A limit was exceeded. The text names the limit and its value.
    #[error("{0}")]
    TooLarge(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Understood, but the state of the store forbids it.
    #[error("{0}")]
    Refused(String),
    /// Too much work is queued. Try again later.
    #[error("{0}")]
    Busy(String),
    /// An earlier write failed; appends are refused until the server is restarted. The
    /// outcome of an append that gets this answer is unknown: retry it with its expectation
    /// or its claim.
    #[error("the store no longer accepts appends: {0}")]
    Poisoned(String),
    /// Stored bytes are damaged. The text names the place.
    #[error("{0}")]
    Corrupt(String),
    /// This store has no such function.
    #[error("{0}")]
    Unsupported(String),
    /// The store could not be reached or did not answer in time.
    #[error("{0}")]
    Unavailable(String),
}
