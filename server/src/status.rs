//! Errors of the coordinator as gRPC statuses.

use std::collections::HashMap;

use angzarr_adapters::status::{ERROR_DOMAIN, SEQUENCE_MISMATCH};
use angzarr_proto::Dialect;
use angzarr_proto::v1::{CascadeConflictDetail, Cover, EventBook, EventPage};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::coordinator::{Error, Mismatch};
use crate::framework;
use crate::handler::{self, RawBook, book_for_caller};

/// Encoded bytes of a book that still travel in the trailers of a refusal: with the rest and in
/// base64 they stay below the 8 KiB that client libraries accept there.
const BOOK_BYTES_MAX: usize = 4 * 1024;

/// The status a caller gets, its details in the words of the caller's dialect.
#[must_use]
pub fn of(error: Error, dialect: Dialect) -> Status {
    let message = error.to_string();
    match error {
        Error::Invalid(_) => Status::invalid_argument(message),
        Error::UnknownDomain { .. } => Status::not_found(message),
        Error::Mismatch(mismatch) => with_details(
            Code::FailedPrecondition,
            message,
            vec![
                mismatch_info(&mismatch),
                current_book(mismatch.book, dialect),
            ],
        ),
        Error::DeadLettered { .. } => Status::aborted(message),
        Error::CascadeConflict {
            cascade_ids,
            overlapping_fields,
        } => {
            let detail = CascadeConflictDetail {
                cascade_ids,
                overlapping_fields,
            };
            let detail = named("CascadeConflictDetail", &detail, dialect);
            with_details(Code::Aborted, message, vec![detail])
        }
        Error::Revoked { .. } | Error::TooDeep => Status::failed_precondition(message),
        Error::Busy(_) | Error::TooLong(_) => Status::resource_exhausted(message),
        Error::Handler(error) => of_handler(error, message),
        Error::Store(error) => Status::from(error),
    }
}

/// The code a caller would get.
#[must_use]
pub fn code(error: &Error) -> i32 {
    of(error.clone(), Dialect::V1).code().into()
}

fn of_handler(error: handler::Error, message: String) -> Status {
    match error {
        handler::Error::Refused(status) => *status,
        handler::Error::Unreachable { .. } => Status::unavailable(message),
        handler::Error::Deadline { .. } => Status::deadline_exceeded(message),
        handler::Error::Overfull { .. } => Status::resource_exhausted(message),
        handler::Error::Nonsense { .. } => Status::internal(message),
        handler::Error::Payload(lost) if lost.transient => Status::unavailable(message),
        handler::Error::Payload(_) => Status::data_loss(message),
    }
}

fn mismatch_info(mismatch: &Mismatch) -> Any {
    let mut metadata = HashMap::from([
        ("expected".to_owned(), mismatch.expected.to_string()),
        ("actual".to_owned(), mismatch.actual.to_string()),
        ("domain".to_owned(), mismatch.domain.clone()),
        ("root".to_owned(), mismatch.root.clone()),
    ]);
    if !mismatch.overlapping_fields.is_empty() {
        let fields = mismatch.overlapping_fields.join(",");
        metadata.insert("overlapping_fields".to_owned(), fields);
    }
    let info = pb::ErrorInfo {
        reason: SEQUENCE_MISMATCH.to_owned(),
        domain: ERROR_DOMAIN.to_owned(),
        metadata,
    };
    Any {
        type_url: format!("{}google.rpc.ErrorInfo", framework::TYPE_URL_PREFIX),
        value: info.encode_to_vec(),
    }
}

/// The aggregate as it is, so that the client can decide again; without its pages when they
/// would not fit.
fn current_book(book: RawBook, dialect: Dialect) -> Any {
    let mut current = EventBook {
        cover: book.cover.map(|cover| Cover { ext: None, ..cover }),
        next_sequence: book.next_sequence,
        ..EventBook::default()
    };
    let bytes: usize = book.pages.iter().map(Bytes::len).sum();
    let snapshot_bytes = book.snapshot.as_ref().map_or(0, Message::encoded_len);
    if bytes.saturating_add(snapshot_bytes) <= BOOK_BYTES_MAX {
        current.snapshot = book.snapshot;
        current.pages = book
            .pages
            .into_iter()
            .filter_map(|page| EventPage::decode(page).ok())
            .collect();
        book_for_caller(&mut current, dialect);
    }
    named("EventBook", &current, dialect)
}

fn named(name: &str, message: &impl Message, dialect: Dialect) -> Any {
    Any {
        type_url: framework::type_url(name, dialect),
        value: message.encode_to_vec(),
    }
}

fn with_details(code: Code, message: String, details: Vec<Any>) -> Status {
    let rich = pb::Status {
        code: code.into(),
        message: message.clone(),
        details,
    };
    Status::with_details(code, message, Bytes::from(rich.encode_to_vec()))
}
