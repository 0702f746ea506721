use std::time::SystemTime;

use angzarr_proto::store::v1::Claim;
use angzarr_proto::v1::{
    AngzarrDeadLetter, Cover, EventPage, MergeStrategy, SequenceMismatchDetails, Uuid,
    angzarr_dead_letter, event_page,
};
use prost_types::Timestamp;

use super::append::NewEvents;
use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::framework;
use crate::handler::RawBook;

/// Dead letters of a domain are the events of one aggregate, in the order in which they came.
const DOMAIN_PREFIX: &str = "angzarr.dlq.";
const ROOT: [u8; 16] = [0; 16];
/// Claims of failures that may be reported again after a crash.
const CLAIM_KIND: &str = "dead-letter";

impl Coordinator {
    /// Stores a stale command for a person to look at, then gives the refusal that says so.
    pub(super) async fn dead_letter(
        &self,
        command: &Command,
        expected: u32,
        prior: &RawBook,
    ) -> Result<Error, Error> {
        let domain = command.cover.domain.clone();
        let refusal = Error::DeadLettered {
            domain: domain.clone(),
            root: validate::root_hex(&command.cover),
            expected,
            actual: prior.next_sequence,
            dead_letters: format!("{DOMAIN_PREFIX}{domain}"),
        };
        let letter = letter(
            command,
            expected,
            prior.next_sequence,
            refusal_reason(expected, prior),
        );
        self.store_dead_letter(&domain, letter, None).await?;
        Ok(refusal)
    }

    /// Adds to the dead letters of a domain; durable when it returns. A letter with a key is
    /// stored once, however often that is asked for.
    pub(super) async fn store_dead_letter(
        &self,
        domain: &str,
        letter: AngzarrDeadLetter,
        key: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let correlation_id = letter
            .cover
            .as_ref()
            .map(|cover| cover.correlation_id.clone())
            .unwrap_or_default();
        let event = framework::pack("AngzarrDeadLetter", &letter);
        self.append(NewEvents {
            cover: Cover {
                domain: format!("{DOMAIN_PREFIX}{domain}"),
                root: Some(Uuid {
                    value: ROOT.to_vec(),
                }),
                correlation_id,
                ..Cover::default()
            },
            pages: vec![EventPage {
                payload: Some(event_page::Payload::Event(event)),
                ..EventPage::default()
            }],
            next_sequence: None,
            claim: key.map(|key| Claim {
                kind: CLAIM_KIND.to_owned(),
                key,
            }),
            snapshot: None,
            cascade_id: None,
            anchor: None,
            isolated: false,
            origin: None,
        })
        .await?;
        Ok(())
    }
}

fn letter(command: &Command, expected: u32, actual: u32, reason: String) -> AngzarrDeadLetter {
    let details = SequenceMismatchDetails {
        expected_sequence: expected,
        actual_sequence: actual,
        merge_strategy: MergeStrategy::MergeManual.into(),
    };
    AngzarrDeadLetter {
        cover: Some(command.cover.clone()),
        payload: Some(angzarr_dead_letter::Payload::RejectedCommand(
            command.book.clone(),
        )),
        rejection_reason: reason,
        occurred_at: Some(Timestamp::from(SystemTime::now())),
        source_component: command.cover.domain.clone(),
        source_component_type: "aggregate".to_owned(),
        rejection_details: Some(angzarr_dead_letter::RejectionDetails::SequenceMismatch(
            details,
        )),
        ..AngzarrDeadLetter::default()
    }
}

fn refusal_reason(expected: u32, prior: &RawBook) -> String {
    format!(
        "the command expected sequence {expected}, the aggregate is at {}",
        prior.next_sequence
    )
}
