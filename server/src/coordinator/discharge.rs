//! Does what a component is owed, and puts aside what cannot be done.

use std::time::SystemTime;

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::v1::{
    AngzarrDeadLetter, AngzarrDeferredSequence, CommandBook, CommandRequest,
    CompensationDeliveryFailedDetails, EventProcessingFailedDetails, Notification,
    RejectionNotification, angzarr_dead_letter,
};
use prost_types::Timestamp;

use super::claim::tuple_key;
use super::delivery::Failure;
use super::outbox::command_in;
use super::run::{Executed, Refusal, Run};
use super::saga::ReactionFailure;
use super::sync_runs::sequences;
use super::{Coordinator, Error, validate};
use crate::framework;
use crate::registry::Reaction;

impl Coordinator {
    /// Does what an obligation says. A second time changes nothing at the target.
    pub(super) async fn discharge(
        &self,
        obligation: &Obligation,
        run: Run<'_>,
    ) -> Result<Option<Notification>, ReactionFailure> {
        let component = self.component(&obligation.component)?;
        let origin = obligation.origin.clone().unwrap_or_default();
        match &obligation.what {
            Some(obligation::What::Command(book)) => {
                Box::pin(self.component_command(component, &origin, book, run)).await
            }
            Some(obligation::What::Fact(book)) => {
                let deeper = run.deeper()?;
                let fact = self.emitted_fact(book.clone(), run)?;
                Box::pin(self.fact(&fact, deeper)).await?;
                Ok(None)
            }
            Some(obligation::What::Rejection(news)) => {
                let Some(run) = self.news_run(&origin, run).await? else {
                    return Ok(None);
                };
                // Boxed: its step may have obligations, too.
                Box::pin(self.process_rejection(component, &origin, news, run)).await?;
                Ok(None)
            }
            Some(obligation::What::Compensation(news)) => {
                let Some(run) = self.news_run(&origin, run).await? else {
                    return Ok(None);
                };
                let request = CommandRequest {
                    command: Some(news.clone()),
                    cascade_id: run.cascade_id.map(str::to_owned),
                    ..CommandRequest::default()
                };
                let mut command = validate::command(request, self.settings.limits)?;
                command.anchor = run.anchor.cloned();
                Box::pin(self.compensate(&command, component)).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// The same, again after failures that may pass, for somebody who waits.
    pub(super) async fn discharge_patiently(
        &self,
        component: &Reaction,
        obligation: &Obligation,
        run: Run<'_>,
    ) -> Result<Option<Notification>, ReactionFailure> {
        let mut pauses = component.retries.delays();
        loop {
            let failure = match self.discharge(obligation, run).await {
                Ok(refusal) => return Ok(refusal),
                Err(failure) => failure,
            };
            let again = !failure.ran && failure.error.is_worth_retrying();
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    /// Carries out a command that a component emitted. A refusal is recorded before this
    /// returns; then it is the news that the source gets.
    pub(super) async fn component_command(
        &self,
        component: &Reaction,
        origin: &AngzarrDeferredSequence,
        book: &CommandBook,
        run: Run<'_>,
    ) -> Result<Option<Notification>, ReactionFailure> {
        let deeper = run
            .deeper()
            .map_err(|error| ReactionFailure { error, ran: true })?;
        let ended = match self.emitted_command(book.clone(), origin, run) {
            Ok(command) => self.command(command, deeper).await,
            Err(error) => Err(Refusal::Command(error)),
        };
        match ended {
            Ok(response) => {
                let events = response.events.unwrap_or_default();
                if let Some(waiting) = run.waiting.filter(|_| !events.pages.is_empty()) {
                    waiting.note_executed(Executed {
                        component: component.name.clone(),
                        origin: origin.clone(),
                        target: events.cover.clone().unwrap_or_default(),
                        sequences: sequences(&events),
                    });
                }
                Ok(None)
            }
            Err(Refusal::Reaction(error)) => Err(ReactionFailure { error, ran: true }),
            Err(Refusal::Command(error)) if error.is_worth_retrying() => Err(error.into()),
            Err(Refusal::Command(error)) => {
                // Durable before the command counts as handled: the source learns of it even if
                // the server dies now.
                let cascade_id = run.cascade_id;
                Box::pin(self.record_rejection(component, origin, book, &error, cascade_id))
                    .await?;
                let news = news_of(origin, book, &error);
                Box::pin(self.command_refused(component, origin, book, error, run))
                    .await
                    .map_err(|error| ReactionFailure { error, ran: true })?;
                Ok(Some(news))
            }
        }
    }

    fn component(&self, name: &str) -> Result<&Reaction, Error> {
        let mut reactions = self.registry.reactions().iter();
        reactions
            .find(|reaction| reaction.name == name)
            .map(AsRef::as_ref)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the component `{name}` is not configured: list it again"
                ))
            })
    }

    /// Puts an obligation aside that could not be done; once for each.
    pub(super) async fn dead_letter_obligation(
        &self,
        obligation: &Obligation,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        let origin = obligation.origin.clone().unwrap_or_default();
        let (cover, payload) = match (&obligation.what, command_in(obligation)) {
            (_, Some(book)) => (
                book.cover.clone(),
                Some(angzarr_dead_letter::Payload::RejectedCommand(book.clone())),
            ),
            (Some(obligation::What::Fact(book)), _) => (
                book.cover.clone(),
                Some(angzarr_dead_letter::Payload::RejectedEvents(book.clone())),
            ),
            _ => (None, None),
        };
        let details = match &obligation.what {
            Some(obligation::What::Command(_) | obligation::What::Fact(_)) | None => {
                processing_failed(failure, attempts)
            }
            Some(obligation::What::Compensation(_) | obligation::What::Rejection(_)) => {
                angzarr_dead_letter::RejectionDetails::CompensationDeliveryFailed(
                    CompensationDeliveryFailedDetails {
                        attempts: attempts.max(1),
                        last_error: failure.text.clone(),
                    },
                )
            }
        };
        let domain = cover
            .as_ref()
            .map_or_else(String::new, |cover| cover.domain.clone());
        tracing::warn!(
            component = obligation.component,
            domain,
            error = failure.text,
            attempts,
            "an obligation goes to the dead letters"
        );
        let letter = AngzarrDeadLetter {
            cover,
            payload,
            rejection_reason: failure.text.clone(),
            occurred_at: Some(Timestamp::from(SystemTime::now())),
            source_component: obligation.component.clone(),
            source_component_type: obligation.component_type.clone(),
            rejection_details: Some(details),
            ..AngzarrDeadLetter::default()
        };
        let mut key = tuple_key(&origin);
        key.push(what_number(obligation));
        self.store_dead_letter(&domain, letter, Some(key)).await
    }

    /// Puts a refused command aside under its own domain; once for each.
    pub(super) async fn dead_letter_command(
        &self,
        component: &Reaction,
        origin: &AngzarrDeferredSequence,
        book: &CommandBook,
        failure: &Failure,
    ) -> Result<(), Error> {
        let cover = book.cover.clone().unwrap_or_default();
        let letter = AngzarrDeadLetter {
            cover: Some(cover.clone()),
            payload: Some(angzarr_dead_letter::Payload::RejectedCommand(book.clone())),
            rejection_reason: failure.text.clone(),
            occurred_at: Some(Timestamp::from(SystemTime::now())),
            source_component: component.name.clone(),
            source_component_type: component.kind.name().to_owned(),
            rejection_details: Some(processing_failed(failure, 0)),
            ..AngzarrDeadLetter::default()
        };
        let mut key = tuple_key(origin);
        key.push(0);
        self.store_dead_letter(&cover.domain, letter, Some(key))
            .await
    }
}

fn processing_failed(failure: &Failure, attempts: u32) -> angzarr_dead_letter::RejectionDetails {
    angzarr_dead_letter::RejectionDetails::EventProcessingFailed(EventProcessingFailedDetails {
        error: failure.text.clone(),
        retry_count: attempts,
        is_transient: failure.transient,
        stack_trace: Vec::new(),
    })
}

fn news_of(origin: &AngzarrDeferredSequence, command: &CommandBook, error: &Error) -> Notification {
    let rejection = RejectionNotification {
        rejected_command: Some(command.clone()),
        rejection_reason: error.to_string(),
    };
    Notification {
        cover: origin.source.clone(),
        payload: Some(framework::pack("RejectionNotification", &rejection)),
        sent_at: Some(Timestamp::from(SystemTime::now())),
    }
}

/// Part of a stored key: the numbers must not change.
fn what_number(obligation: &Obligation) -> u8 {
    match obligation.what {
        None => 1,
        Some(obligation::What::Command(_)) => 2,
        Some(obligation::What::Fact(_)) => 3,
        Some(obligation::What::Compensation(_)) => 4,
        Some(obligation::What::Rejection(_)) => 5,
    }
}
