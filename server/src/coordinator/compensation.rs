use std::time::SystemTime;

use angzarr_proto::internal::v1::{Obligation, Origin, obligation};
use angzarr_proto::store::v1::{Claim, ReadRequest};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, BusinessResponse, CommandRequest, Cover, EventPage, Notification,
    RejectionNotification, RevocationResponse, SagaCompensationFailed, business_response,
    command_page, event_page, page_header,
};
use prost::Message;
use prost_types::{Any, Timestamp};
use tracing::Instrument;

use super::append::{NewEvents, decode};
use super::claim::{rejection_claim, tuple_key};
use super::command_handler::{Outcome, span};
use super::delivery::Failure;
use super::load::{key_of, read_book};
use super::outbox::outbox_cover;
use super::rejection::notification;
use super::validate::{self, Command};
use super::{Coordinator, Error, claim};
use crate::framework;
use crate::registry::Reaction;
use crate::telemetry;

impl Coordinator {
    /// Hands a notification to the component whose command was refused or is to be undone, and
    /// stores the events it answers with, once for each deferred tuple. The notification itself
    /// is not stored. What the component leaves to the framework is done.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Revoked`] when the component says that the matter ends here.
    pub async fn handle_compensation(
        &self,
        request: CommandRequest,
    ) -> Result<BusinessResponse, Error> {
        let command = validate::command(request, self.settings.limits)?;
        let origin = check(&command)?.clone();
        let component = self.registry.reactions().iter();
        let component = component
            .map(AsRef::as_ref)
            .find(|reaction: &&Reaction| reaction.name == origin.source_component);
        let outcome = self.outcome_of_compensation(&command, component).await?;
        let result = match outcome {
            Outcome::Events(book) | Outcome::Known(book) => business_response::Result::Events(book),
            Outcome::Revocation(revocation) if revocation.abort => {
                return Err(super::command_handler::revoked(&command, revocation));
            }
            Outcome::Revocation(revocation) => business_response::Result::Revocation(revocation),
            Outcome::Notification(notification) => {
                business_response::Result::Notification(notification)
            }
        };
        Ok(BusinessResponse {
            result: Some(result),
        })
    }

    /// The same for a notification from the outbox, to which nobody waits for an answer.
    pub(super) async fn compensate(
        &self,
        command: &Command,
        component: &Reaction,
    ) -> Result<(), Error> {
        self.outcome_of_compensation(command, Some(component))
            .await
            .map(drop)
    }

    async fn outcome_of_compensation(
        &self,
        command: &Command,
        component: Option<&Reaction>,
    ) -> Result<Outcome, Error> {
        let origin = origin_in(command)?;
        let outcome = self.carry_out(command).instrument(span(command)).await?;
        telemetry::compensated(&origin.source_component);
        match &outcome {
            Outcome::Events(_) | Outcome::Known(_) => {}
            Outcome::Revocation(revocation) => {
                self.revocation(command, origin, revocation, component)
                    .await?;
            }
            Outcome::Notification(passed_on) => {
                self.pass_on(command, origin, passed_on, component).await?;
            }
        }
        Ok(outcome)
    }

    /// Does what a component leaves to the framework. Each part is stored once, so that a
    /// second delivery of the notification repeats nothing.
    async fn revocation(
        &self,
        command: &Command,
        origin: &AngzarrDeferredSequence,
        revocation: &RevocationResponse,
        component: Option<&Reaction>,
    ) -> Result<(), Error> {
        let rejection = rejection_in(command);
        // Of a notification about something else, that itself is what was not taken.
        let refused = rejection.rejected_command.clone();
        let rejected = refused.unwrap_or_else(|| command.book.clone());
        if revocation.send_to_dead_letter_queue
            && let Some(component) = component
        {
            let failure = Failure {
                transient: false,
                text: if rejection.rejection_reason.is_empty() {
                    revocation.reason.clone()
                } else {
                    rejection.rejection_reason.clone()
                },
                payload: None,
            };
            self.dead_letter_command(component, origin, &rejected, &failure)
                .await?;
        }
        if revocation.emit_system_revocation {
            let event = SagaCompensationFailed {
                triggering_aggregate: Some(key_of(&command.cover)),
                triggering_event_sequence: origin.source_seq,
                rejection_reason: rejection.rejection_reason.clone(),
                compensation_failure_reason: revocation.reason.clone(),
                rejected_command: Some(rejected),
                occurred_at: Some(Timestamp::from(SystemTime::now())),
            };
            self.system_revocation(command, origin, &event).await?;
        }
        if revocation.escalate {
            self.escalate(command, origin, revocation, &rejection).await;
        }
        Ok(())
    }

    async fn system_revocation(
        &self,
        command: &Command,
        origin: &AngzarrDeferredSequence,
        event: &SagaCompensationFailed,
    ) -> Result<(), Error> {
        let event = framework::pack("SagaCompensationFailed", event);
        self.append(NewEvents {
            cover: Cover {
                domain: self.settings.fallback_domain.clone(),
                root: command.cover.root.clone(),
                correlation_id: command.cover.correlation_id.clone(),
                ..Cover::default()
            },
            pages: vec![EventPage {
                payload: Some(event_page::Payload::Event(event)),
                ..EventPage::default()
            }],
            next_sequence: None,
            claim: Some(Claim {
                kind: "compensation-failed".to_owned(),
                key: tuple_key(origin),
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

    /// Passes a notification on to what caused the events of an aggregate, if a component did.
    async fn pass_on(
        &self,
        command: &Command,
        origin: &AngzarrDeferredSequence,
        passed_on: &Notification,
        component: Option<&Reaction>,
    ) -> Result<(), Error> {
        let Some(above) = self.origin_of(&command.cover, origin.source_seq).await? else {
            return Ok(());
        };
        let Some(component) = component else {
            return Ok(());
        };
        let own = passed_on.payload.clone().filter(|payload| {
            matches!(
                framework::name(&payload.type_url),
                Some("RejectionNotification" | "Compensate")
            )
        });
        let payload = own.or_else(|| payload_of(command)).unwrap_or_default();
        let source = above.source.clone().unwrap_or_default();
        let news = notification(&source, payload, &above);
        let what = match self.process_manager_of(&source.domain) {
            Some(_) => obligation::What::Rejection(news),
            None => obligation::What::Compensation(news),
        };
        let owner = self.process_manager_of(&source.domain).unwrap_or(component);
        let obligation = Obligation {
            component: owner.name.clone(),
            component_type: owner.kind.name().to_owned(),
            what: Some(what),
            origin: Some(above.clone()),
            cascade_id: command.cascade_id.clone(),
        };
        let cover = outbox_cover(&owner.name, &source);
        self.oblige(cover, &[obligation], Some(rejection_claim(&above)))
            .await
    }

    /// The tuple of the command that caused an event, if a component emitted it.
    async fn origin_of(
        &self,
        cover: &Cover,
        sequence: u32,
    ) -> Result<Option<AngzarrDeferredSequence>, Error> {
        let request = ReadRequest {
            cover: Some(origins_cover(cover)),
            ..ReadRequest::default()
        };
        let book = read_book(self.store.as_ref(), request).await?;
        for page in decode(&book.pages)? {
            if let Some(event_page::Payload::Event(any)) = page.payload {
                let found = Origin::decode(any.value.as_slice()).map_err(Error::damaged)?;
                if (found.first_sequence..=found.last_sequence).contains(&sequence) {
                    return Ok(found.origin);
                }
            }
        }
        Ok(None)
    }
}

/// Where it is recorded which components caused the events of an aggregate.
pub(super) fn origins_cover(cover: &Cover) -> Cover {
    Cover {
        domain: format!("angzarr.origins.{}", cover.domain),
        ..key_of(cover)
    }
}

fn payload_of(command: &Command) -> Option<Any> {
    let page = command.book.pages.first()?;
    let Some(command_page::Payload::Command(any)) = &page.payload else {
        return None;
    };
    Notification::decode(any.value.as_slice()).ok()?.payload
}

/// What a notification says about a refused command; empty when it is about something else.
fn rejection_in(command: &Command) -> RejectionNotification {
    payload_of(command)
        .filter(|payload| framework::name(&payload.type_url) == Some("RejectionNotification"))
        .and_then(|payload| RejectionNotification::decode(payload.value.as_slice()).ok())
        .unwrap_or_default()
}

fn check(command: &Command) -> Result<&AngzarrDeferredSequence, Error> {
    if claim::notified(&command.book).is_none() {
        return Err(Error::invalid(
            "command.pages[0].command is no Notification of a RejectionNotification or a \
             Compensate: send other commands to HandleCommand",
        ));
    }
    origin_in(command)
}

fn origin_in(command: &Command) -> Result<&AngzarrDeferredSequence, Error> {
    let header = command
        .book
        .pages
        .first()
        .and_then(|page| page.header.as_ref());
    match header.and_then(|header| header.sequence_type.as_ref()) {
        Some(page_header::SequenceType::AngzarrDeferred(origin)) => Ok(origin),
        _ => Err(Error::invalid(
            "command.pages[0].header.angzarr_deferred is missing: copy that of the command \
             concerned",
        )),
    }
}
