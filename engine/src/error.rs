//! One error, with a variant for each thing a caller can do about it.

use std::io;
use std::sync::Arc;

use crate::types::{Address, AggregateKey, Sequence};

/// Result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the engine refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An expectation did not hold: read again, decide again, append again.
    #[error("{key} is at sequence {actual}, the request expected {expected}")]
    Conflict {
        /// The aggregate that did not match.
        key: AggregateKey,
        /// The next sequence the request named.
        expected: Sequence,
        /// The next sequence there is.
        actual: Sequence,
    },
    /// The request can never succeed as it is. The text names the field.
    #[error("{0}")]
    Invalid(String),
    /// Understood, but what is stored forbids it.
    #[error("{0}")]
    Refused(String),
    /// A bound was exceeded.
    #[error("{what} is {actual}, more than the limit of {limit}")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// Its size.
        actual: u64,
        /// The bound.
        limit: u64,
    },
    /// An earlier write or sync failed. Appends are refused until the engine is opened again;
    /// reads go on. Whether the append that gets this answer was stored is not known: repeat it
    /// with its expectation or its claim.
    #[error("appends are refused since {stage} failed: {cause}; restart to go on")]
    Poisoned {
        /// What the engine was doing.
        stage: &'static str,
        /// The first failure.
        cause: String,
    },
    /// Stored bytes are damaged.
    #[error("damaged data in {file} at offset {offset} (log address {address}): {problem}")]
    Corrupt {
        /// File name within the data folder.
        file: String,
        /// Byte offset within the file.
        offset: u64,
        /// Log address of the same place.
        address: Address,
        /// What is wrong there.
        problem: String,
    },
    /// Another process has the data folder open.
    #[error("{0} is in use by another process; stop that one, or use another folder")]
    Locked(String),
    /// Written by a version that this one cannot read.
    #[error(
        "{file} has format version {found} and needs a reader of version {oldest_reader} or later; \
         this program reads up to version {supported}"
    )]
    Unsupported {
        /// File name within the data folder.
        file: String,
        /// Version of the file.
        found: u32,
        /// Oldest version that can read it.
        oldest_reader: u32,
        /// Version of this program.
        supported: u32,
    },
    /// The operating system refused.
    #[error("{action}: {source}")]
    Io {
        /// What the engine was doing, with the file's name.
        action: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: Arc::new(source),
        }
    }
}
