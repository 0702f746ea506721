use std::time::SystemTime;

use angzarr_proto::v1::{AngzarrDeadLetter, angzarr_dead_letter};
use prost_types::Timestamp;

use super::validate::Command;
use super::{Coordinator, Error};

impl Coordinator {
    /// Puts a command aside that cannot be decided on, because a payload of an earlier event is
    /// gone. Gives the refusal.
    pub(super) async fn put_aside_if_lost(&self, command: &Command, error: Error) -> Error {
        let Some(details) = error.lost_payload() else {
            return error;
        };
        let letter = AngzarrDeadLetter {
            cover: Some(command.cover.clone()),
            payload: Some(angzarr_dead_letter::Payload::RejectedCommand(
                command.book.clone(),
            )),
            rejection_reason: error.to_string(),
            occurred_at: Some(Timestamp::from(SystemTime::now())),
            source_component: command.cover.domain.clone(),
            source_component_type: "aggregate".to_owned(),
            rejection_details: Some(
                angzarr_dead_letter::RejectionDetails::PayloadRetrievalFailed(details),
            ),
            ..AngzarrDeadLetter::default()
        };
        let stored = self.store_dead_letter(&command.cover.domain, letter, None);
        match stored.await {
            Ok(()) => error,
            Err(failed) => failed,
        }
    }
}
