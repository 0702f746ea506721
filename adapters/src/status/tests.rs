use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{from_refusal, to_refusal};
use crate::StoreError;

fn every_error() -> Vec<(StoreError, Code)> {
    let text = || "what happened, what to do".to_owned();
    let conflict = StoreError::Conflict {
        domain: "order".to_owned(),
        root: "00112233445566778899aabbccddeeff".to_owned(),
        expected: 3,
        actual: 5,
    };
    vec![
        (conflict, Code::FailedPrecondition),
        (StoreError::Invalid(text()), Code::InvalidArgument),
        (StoreError::TooLarge(text()), Code::InvalidArgument),
        (StoreError::NotFound(text()), Code::NotFound),
        (StoreError::Refused(text()), Code::FailedPrecondition),
        (StoreError::Busy(text()), Code::ResourceExhausted),
        (StoreError::Poisoned(text()), Code::Unavailable),
        (StoreError::Corrupt(text()), Code::DataLoss),
        (StoreError::Unsupported(text()), Code::Unimplemented),
        (StoreError::Unavailable(text()), Code::Unavailable),
    ]
}

#[test]
fn every_error_survives_the_round_trip() {
    for (error, code) in every_error() {
        let status = Status::from(error.clone());
        assert_eq!(status.code(), code, "{error:?}");
        assert_eq!(status.message(), error.to_string());
        assert_eq!(StoreError::from(status), error);
    }
}

#[test]
fn every_refusal_survives_the_round_trip() {
    for (error, code) in every_error() {
        let refusal = to_refusal(error.clone());
        assert_eq!(refusal.code, i32::from(code));
        assert_eq!(from_refusal(refusal), error);
    }
}

#[test]
fn a_conflict_tells_machines_and_people_what_to_do() {
    let (conflict, _) = every_error().swap_remove(0);
    let status = Status::from(conflict);
    assert!(
        status.message().starts_with("Sequence mismatch:"),
        "{}",
        status.message()
    );
    let info = status
        .get_details_error_info()
        .expect("ErrorInfo was attached");
    assert_eq!(info.reason, "SEQUENCE_MISMATCH");
    assert_eq!(info.domain, "angzarr");
    assert_eq!(info.metadata.get("expected").map(String::as_str), Some("3"));
    assert_eq!(info.metadata.get("actual").map(String::as_str), Some("5"));
}

#[test]
fn foreign_statuses_are_told_by_their_code() {
    let error = |code| StoreError::from(Status::new(code, "m"));
    assert_eq!(
        error(Code::InvalidArgument),
        StoreError::Invalid("m".to_owned())
    );
    assert_eq!(
        error(Code::OutOfRange),
        StoreError::TooLarge("m".to_owned())
    );
    assert_eq!(
        error(Code::ResourceExhausted),
        StoreError::Busy("m".to_owned())
    );
    assert_eq!(
        error(Code::Unimplemented),
        StoreError::Unsupported("m".to_owned())
    );
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Internal,
        Code::Unknown,
    ] {
        assert!(
            matches!(error(code), StoreError::Unavailable(_)),
            "{code:?}"
        );
    }
}

#[test]
fn a_conflict_whose_details_lost_their_numbers_is_still_an_error() {
    let details = ErrorDetails::with_error_info("SEQUENCE_MISMATCH", "angzarr", HashMap::default());
    let status = Status::with_error_details(Code::FailedPrecondition, "m", details);
    assert_eq!(
        StoreError::from(status),
        StoreError::Refused("m".to_owned())
    );
}
