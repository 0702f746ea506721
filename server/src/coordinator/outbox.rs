//! What has to be done for a component, recorded before it counts as begun.
//!
//! An obligation is an event in the internal domain of its component. It is stored in the commit
//! of what causes it, or before that counts as handled, and done by the delivery loop as often as
//! needed: targets know a second delivery by its claim.

use std::sync::Arc;

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::store::v1::{AggregateAppend, AppendRequest, Claim};
use angzarr_proto::v1::{CommandBook, Cover, EventPage, event_page};
use prost::Message;

use super::delivery::{Consumer, Failure, Interest, Trigger};
use super::run::Run;
use super::sync_runs::Ran;
use super::{Coordinator, Error};
use crate::framework;
use crate::handler::Retries;
use crate::handler::fields::PageOutline;
use crate::registry::{Input, outbox_of};

/// Follows the obligations of one component.
pub(super) struct OutboxConsumer {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) component: String,
}

impl OutboxConsumer {
    /// Pending obligations count as soon as they are stored: the commands of a cascade are part
    /// of it.
    pub(super) fn interest(component: &str, retries: Retries, concurrency: usize) -> Interest {
        Interest {
            component: component.to_owned(),
            inputs: vec![Input {
                domain: outbox_of(component),
                types: vec!["Obligation".to_owned()],
            }],
            all_editions: true,
            from_now: false,
            single_pages: true,
            pending: true,
            retries,
            concurrency,
        }
    }

    async fn done_already(&self, trigger: &Trigger) -> Result<bool, Error> {
        let cover = trigger.cover();
        self.coordinator
            .sync_runs
            .settled(&cover, &trigger.sequences)
            .await;
        let ran = Ran {
            consumer: outbox_consumer(&self.component),
            sequence: trigger.sequence(),
        };
        self.coordinator.has_run(&cover, &ran).await
    }
}

#[tonic::async_trait]
impl Consumer for OutboxConsumer {
    async fn ready(&self, trigger: &Trigger) -> Result<Option<Trigger>, Error> {
        let done = self.done_already(trigger).await?;
        Ok((!done).then(|| trigger.clone()))
    }

    async fn deliver(&self, trigger: &Trigger) -> Result<(), Failure> {
        let obligation = obligation_in(trigger)?;
        let ended = match &obligation.cascade_id {
            Some(cascade_id) => {
                let cascade = self
                    .coordinator
                    .discharge_in(cascade_id, &obligation, trigger);
                cascade.await
            }
            None => {
                let ended = self
                    .coordinator
                    .discharge(&obligation, Run::default())
                    .await;
                ended.map(drop).map_err(|failure| failure.error)
            }
        };
        ended.map_err(Failure::from)
    }

    async fn give_up(
        &self,
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        let obligation = obligation_in(trigger)?;
        self.coordinator
            .dead_letter_obligation(&obligation, failure, attempts)
            .await
    }

    fn begins(&self, _generation: u32) {}
}

/// Name under which the obligations of a component are followed.
pub(super) fn outbox_consumer(component: &str) -> String {
    format!("outbox.{component}")
}

/// The stream that keeps the order of obligations with the same root.
pub(super) fn outbox_cover(component: &str, like: &Cover) -> Cover {
    Cover {
        domain: outbox_of(component),
        root: like.root.clone(),
        correlation_id: like.correlation_id.clone(),
        ..Cover::default()
    }
}

/// The write that records obligations.
pub(super) fn outbox_write(
    cover: Cover,
    obligations: &[Obligation],
    claim: Option<Claim>,
) -> AggregateAppend {
    let page = |obligation: &Obligation| EventPage {
        payload: Some(event_page::Payload::Event(framework::pack_internal(
            "Obligation",
            obligation,
        ))),
        ..EventPage::default()
    };
    AggregateAppend {
        cover: Some(cover),
        pages: obligations.iter().map(page).collect(),
        claim,
        ..AggregateAppend::default()
    }
}

impl Coordinator {
    /// Records obligations, once for each claim; durable when it returns.
    pub(super) async fn oblige(
        &self,
        cover: Cover,
        obligations: &[Obligation],
        claim: Option<Claim>,
    ) -> Result<(), Error> {
        let request = AppendRequest {
            writes: vec![outbox_write(cover, obligations, claim)],
            ..AppendRequest::default()
        };
        self.store.append(request).await?;
        Ok(())
    }
}

fn obligation_in(trigger: &Trigger) -> Result<Obligation, Error> {
    let page = trigger.book.pages.first().map(AsRef::as_ref);
    let outline = PageOutline::of(page.unwrap_or_default()).map_err(Error::damaged)?;
    Obligation::decode(outline.event).map_err(Error::damaged)
}

/// The command or notification an obligation is about, if it is about one.
pub(super) fn command_in(obligation: &Obligation) -> Option<&CommandBook> {
    match obligation.what.as_ref()? {
        obligation::What::Command(book)
        | obligation::What::Compensation(book)
        | obligation::What::Rejection(book) => Some(book),
        obligation::What::Fact(_) => None,
    }
}
