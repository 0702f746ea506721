//! Dead letters of events that a component does not take.

use std::time::SystemTime;

use angzarr_dead_letter::{Payload, RejectionDetails};
use angzarr_proto::v1::{AngzarrDeadLetter, EventProcessingFailedDetails, angzarr_dead_letter};
use prost::Message;
use prost_types::Timestamp;

use super::claim::event_key;
use super::delivery::{Failure, Trigger};
use super::projector::decoded;
use super::{Coordinator, Error};
use crate::registry::Reaction;

impl Coordinator {
    /// Puts events aside that a component does not take, once for each component and event.
    pub(super) async fn dead_letter_events(
        &self,
        reaction: &Reaction,
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        let whose = (reaction.name.as_str(), reaction.kind.name());
        self.put_aside(whose, trigger, failure, attempts).await
    }

    /// The same for whoever has a name and a kind.
    pub(super) async fn put_aside(
        &self,
        (component, kind): (&str, &str),
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        let cover = trigger.cover();
        tracing::warn!(
            component,
            domain = cover.domain,
            sequence = trigger.sequence(),
            error = failure.text,
            attempts,
            "the event goes to the dead letters"
        );
        let details = match failure.payload.clone() {
            Some(lost) => RejectionDetails::PayloadRetrievalFailed(lost),
            None => RejectionDetails::EventProcessingFailed(EventProcessingFailedDetails {
                error: failure.text.clone(),
                retry_count: attempts,
                is_transient: failure.transient,
                stack_trace: Vec::new(),
            }),
        };
        let letter = AngzarrDeadLetter {
            cover: Some(cover.clone()),
            payload: Some(Payload::RejectedEvents(decoded(&trigger.book)?)),
            rejection_reason: failure.text.clone(),
            occurred_at: Some(Timestamp::from(SystemTime::now())),
            source_component: component.to_owned(),
            source_component_type: kind.to_owned(),
            rejection_details: Some(details),
            ..AngzarrDeadLetter::default()
        };
        let key = event_key(component, &cover, trigger.sequence());
        self.store_dead_letter(&cover.domain, letter, Some(key))
            .await
    }

    /// Hands events that were put aside to their component again. What it sent for them before
    /// is known by its claim and not sent twice.
    pub(crate) async fn redeliver(&self, letter: &AngzarrDeadLetter) -> Result<(), Error> {
        let (name, kind) = (&letter.source_component, &letter.source_component_type);
        let Some(Payload::RejectedEvents(book)) = &letter.payload else {
            return Err(Error::invalid("the letter holds no events"));
        };
        let pages = book.pages.iter().map(|page| page.encode_to_vec().into());
        let cover = book.cover.clone().or_else(|| letter.cover.clone());
        let trigger = Trigger::new(cover.unwrap_or_default(), pages.collect(), 0);
        if let Some(bridge) = self.bridge.as_ref().filter(|bridge| bridge.is(name, kind)) {
            return bridge.publish(&trigger).await.map_err(Error::from);
        }
        let mut reactions = self.registry.reactions().iter();
        let reaction = reactions
            .find(|reaction| reaction.name == *name && reaction.kind.name() == kind)
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "this server runs no {kind} called {name:?}: configure it, or delete the letter"
                ))
            })?;
        self.hand_over(reaction, &trigger).await
    }
}
