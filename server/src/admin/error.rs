//! Why dead letters could not be administered.

use angzarr_adapters::StoreError;
use thiserror::Error;

use crate::coordinator;

/// One variant for each thing a caller can do about it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The request can never succeed as it is. The text names the field.
    #[error("{0}")]
    Invalid(String),
    /// There is no such letter, or no longer.
    #[error("there is no dead letter {0}: list them to see which there are")]
    NotFound(i64),
    /// Understood, but what was done before forbids it.
    #[error("{0}")]
    Refused(String),
    /// What was sent again was refused again.
    #[error("the replay was refused: {0}")]
    Replay(Box<coordinator::Error>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
