//! [`StoreError`] as a gRPC status and back, without loss.

use std::collections::HashMap;

use angzarr_proto::store::v1::Refusal;
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, ErrorInfo, StatusExt};

use crate::StoreError;

/// `ErrorInfo.domain` of every error of this project.
pub const ERROR_DOMAIN: &str = "angzarr";

/// `ErrorInfo.reason` of a conflict.
pub const SEQUENCE_MISMATCH: &str = "SEQUENCE_MISMATCH";

const INVALID: &str = "INVALID";
const TOO_LARGE: &str = "TOO_LARGE";
const NOT_FOUND: &str = "NOT_FOUND";
const REFUSED: &str = "REFUSED";
const BUSY: &str = "BUSY";
const POISONED: &str = "POISONED";
const CORRUPT: &str = "CORRUPT";
const UNSUPPORTED: &str = "UNSUPPORTED";
const UNAVAILABLE: &str = "UNAVAILABLE";

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let (code, reason) = code_and_reason(&error);
        let message = error.to_string();
        let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata(error));
        Self::with_error_details(code, message, details)
    }
}

impl From<Status> for StoreError {
    /// A status that no store made is told by its code; one of a broken connection or of an
    /// unexpected failure becomes [`StoreError::Unavailable`].
    fn from(status: Status) -> Self {
        let info = status
            .get_details_error_info()
            .filter(|info| info.domain == ERROR_DOMAIN);
        let message = status.message().to_owned();
        info.and_then(|info| from_info(&info, &message))
            .unwrap_or_else(|| from_code(status.code(), message))
    }
}

/// An error as the answer to one request of a stream that goes on.
#[must_use]
pub fn to_refusal(error: StoreError) -> Refusal {
    let status = Status::from(error);
    let details = tonic_types::pb::Status::decode(status.details())
        .unwrap_or_default()
        .details;
    Refusal {
        code: i32::from(status.code()),
        message: status.message().to_owned(),
        details,
    }
}

/// The error that a refusal stands for.
#[must_use]
pub fn from_refusal(refusal: Refusal) -> StoreError {
    let code = Code::from_i32(refusal.code);
    let rich = tonic_types::pb::Status {
        code: refusal.code,
        message: refusal.message.clone(),
        details: refusal.details,
    };
    Status::with_details(code, refusal.message, Bytes::from(rich.encode_to_vec())).into()
}

fn code_and_reason(error: &StoreError) -> (Code, &'static str) {
    match error {
        StoreError::Conflict { .. } => (Code::FailedPrecondition, SEQUENCE_MISMATCH),
        StoreError::Invalid(_) => (Code::InvalidArgument, INVALID),
        StoreError::TooLarge(_) => (Code::InvalidArgument, TOO_LARGE),
        StoreError::NotFound(_) => (Code::NotFound, NOT_FOUND),
        StoreError::Refused(_) => (Code::FailedPrecondition, REFUSED),
        StoreError::Busy(_) => (Code::ResourceExhausted, BUSY),
        StoreError::Poisoned(_) => (Code::Unavailable, POISONED),
        StoreError::Corrupt(_) => (Code::DataLoss, CORRUPT),
        StoreError::Unsupported(_) => (Code::Unimplemented, UNSUPPORTED),
        StoreError::Unavailable(_) => (Code::Unavailable, UNAVAILABLE),
    }
}

/// What the message alone does not carry back.
fn metadata(error: StoreError) -> HashMap<String, String> {
    match error {
        StoreError::Conflict {
            domain,
            root,
            expected,
            actual,
        } => HashMap::from([
            ("domain".to_owned(), domain),
            ("root".to_owned(), root),
            ("expected".to_owned(), expected.to_string()),
            ("actual".to_owned(), actual.to_string()),
        ]),
        StoreError::Poisoned(cause) => HashMap::from([("cause".to_owned(), cause)]),
        _ => HashMap::new(),
    }
}

fn from_info(info: &ErrorInfo, message: &str) -> Option<StoreError> {
    let field = |name: &str| info.metadata.get(name).cloned();
    let message = message.to_owned();
    Some(match info.reason.as_str() {
        SEQUENCE_MISMATCH => StoreError::Conflict {
            domain: field("domain").unwrap_or_default(),
            root: field("root").unwrap_or_default(),
            expected: field("expected")?.parse().ok()?,
            actual: field("actual")?.parse().ok()?,
        },
        INVALID => StoreError::Invalid(message),
        TOO_LARGE => StoreError::TooLarge(message),
        NOT_FOUND => StoreError::NotFound(message),
        REFUSED => StoreError::Refused(message),
        BUSY => StoreError::Busy(message),
        POISONED => StoreError::Poisoned(field("cause").unwrap_or(message)),
        CORRUPT => StoreError::Corrupt(message),
        UNSUPPORTED => StoreError::Unsupported(message),
        UNAVAILABLE => StoreError::Unavailable(message),
        _ => return None,
    })
}

fn from_code(code: Code, message: String) -> StoreError {
    match code {
        Code::InvalidArgument => StoreError::Invalid(message),
        // What tonic answers to a message above its limit.
        Code::OutOfRange => StoreError::TooLarge(message),
        Code::NotFound => StoreError::NotFound(message),
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated => {
            StoreError::Refused(message)
        }
        Code::ResourceExhausted => StoreError::Busy(message),
        Code::DataLoss => StoreError::Corrupt(message),
        Code::Unimplemented => StoreError::Unsupported(message),
        _ => StoreError::Unavailable(format!("{code:?}: {message}")),
    }
}

#[cfg(test)]
mod tests;
