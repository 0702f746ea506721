//! One dead letter, and how it is shown.

use angzarr_adapters::EventStore;
use angzarr_dead_letter::RejectionDetails;
use angzarr_proto::status::{RejectionType, StoredDeadLetter};
use angzarr_proto::store::v1::{ReadRequest, read_request};
use angzarr_proto::v1::{
    AngzarrDeadLetter, EventPage, MergeStrategy, SequenceSet, angzarr_dead_letter, event_page,
};
use futures::StreamExt;
use prost::Message;
use prost_types::Timestamp;

use super::AdminError;
use super::folded::Place;
use super::shelf::damaged;
use crate::json::Json;

const MESSAGE: &str = "angzarr_client.proto.angzarr.v1.AngzarrDeadLetter";

/// A letter as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) place: Place,
    pub(super) letter: AngzarrDeadLetter,
    pub(super) created_at: Option<Timestamp>,
    encoded: Vec<u8>,
}

impl Letter {
    pub(super) fn correlation_id(&self) -> &str {
        let cover = self.letter.cover.as_ref();
        cover.map_or("", |cover| &cover.correlation_id)
    }

    pub(super) fn rejection_type(&self) -> RejectionType {
        match &self.letter.rejection_details {
            Some(RejectionDetails::SequenceMismatch(_)) => RejectionType::SequenceMismatch,
            Some(RejectionDetails::EventProcessingFailed(_)) => {
                RejectionType::EventProcessingFailed
            }
            Some(RejectionDetails::PayloadRetrievalFailed(_)) => {
                RejectionType::PayloadRetrievalFailed
            }
            // The published enumeration has no name for the last one; the details say it.
            Some(RejectionDetails::CompensationDeliveryFailed(_)) | None => {
                RejectionType::Unspecified
            }
        }
    }
}

/// Reads the letter at a place.
pub(super) async fn read(store: &dyn EventStore, place: &Place) -> Result<Letter, AdminError> {
    let request = ReadRequest {
        cover: Some(place.cover()),
        selection: Some(read_request::Selection::Sequences(SequenceSet {
            values: vec![place.sequence],
        })),
        ..ReadRequest::default()
    };
    let mut chunks = store.read(request).await?;
    let mut found = None;
    while let Some(chunk) = chunks.next().await {
        for page in chunk?.pages {
            found = Some(EventPage::decode(page).map_err(damaged)?);
        }
    }
    let page = found.ok_or(AdminError::NotFound(place.id))?;
    let Some(event_page::Payload::Event(any)) = page.payload else {
        return Err(damaged("a dead letter without its event"));
    };
    Ok(Letter {
        place: place.clone(),
        letter: AngzarrDeadLetter::decode(any.value.as_slice()).map_err(damaged)?,
        created_at: page.created_at,
        encoded: any.value,
    })
}

/// Shows letters to people.
#[derive(Debug)]
pub(super) struct View {
    json: Json,
}

impl View {
    pub(super) fn new(json: Json) -> Self {
        Self { json }
    }

    pub(super) fn stored(&self, entry: &Letter) -> StoredDeadLetter {
        let letter = &entry.letter;
        let payload_view = match self.json.write_named(MESSAGE, letter) {
            Ok(view) => view.to_string(),
            Err(error) => serde_json::json!({ "error": error }).to_string(),
        };
        StoredDeadLetter {
            id: entry.place.id,
            domain: entry.place.domain.clone(),
            correlation_id: entry.correlation_id().to_owned(),
            payload: entry.encoded.clone(),
            rejection_reason: letter.rejection_reason.clone(),
            rejection_type: entry.rejection_type().into(),
            details: details(letter),
            source_component: letter.source_component.clone(),
            source_component_type: letter.source_component_type.clone(),
            occurred_at: letter.occurred_at,
            created_at: entry.created_at,
            payload_view,
        }
    }
}

fn details(letter: &AngzarrDeadLetter) -> String {
    match &letter.rejection_details {
        Some(RejectionDetails::SequenceMismatch(mismatch)) => {
            let strategy = MergeStrategy::try_from(mismatch.merge_strategy).unwrap_or_default();
            format!(
                "expected sequence {}, actual {}, {}",
                mismatch.expected_sequence,
                mismatch.actual_sequence,
                strategy.as_str_name()
            )
        }
        Some(RejectionDetails::EventProcessingFailed(failed)) => {
            let kind = if failed.is_transient {
                "transient"
            } else {
                "permanent"
            };
            let retries = failed.retry_count;
            format!("{kind} after {retries} retries: {}", failed.error)
        }
        Some(RejectionDetails::PayloadRetrievalFailed(failed)) => {
            format!(
                "payload of {} bytes at {}: {}",
                failed.original_size, failed.uri, failed.error
            )
        }
        Some(RejectionDetails::CompensationDeliveryFailed(failed)) => {
            format!(
                "compensation not delivered after {} attempts: {}",
                failed.attempts, failed.last_error
            )
        }
        None => String::new(),
    }
}
