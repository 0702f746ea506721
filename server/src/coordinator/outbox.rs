//! What has to be done for a component, recorded before it counts as begun.
//!
//! An obligation is an event in the internal domain of its component. It is stored in the commit
//! of what causes it, or before that counts as handled, and done by the delivery loop as often as
//! needed: targets know a second delivery by its claim.

use std::sync::Arc;

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Claim, PendingView, ReadRequest, read_request,
};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandBook, Cover, EventPage, SequenceSet, event_page,
};
use prost::Message;

use super::delivery::{Consumer, Failure, Interest, Trigger};
use super::load::{key_of, read_book};
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
            inputs: vec![Input {
                domain: outbox_of(component),
                types: vec!["Obligation".to_owned()],
            }],
            all_editions: true,
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
        if obligation.cascade_id.is_some()
            && self
                .coordinator
                .is_revoked(trigger)
                .await
                .map_err(Failure::from)?
        {
            return Ok(());
        }
        let run = Run {
            cascade_id: obligation.cascade_id.as_deref(),
            ..Run::default()
        };
        let ended = self.coordinator.discharge(&obligation, run).await;
        ended.map(drop).map_err(|failure| failure.error.into())
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

    /// Whether an obligation belongs to a cascade that was rolled back.
    async fn is_revoked(&self, trigger: &Trigger) -> Result<bool, Error> {
        let request = ReadRequest {
            cover: Some(key_of(&trigger.cover())),
            selection: Some(read_request::Selection::Sequences(SequenceSet {
                values: trigger.sequences.clone(),
            })),
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        let book = read_book(self.store.as_ref(), request).await?;
        super::cascade::holds_revoked(&book.pages)
    }

    /// The cascade in which a source event is pending still, if it is.
    pub(super) async fn pending_in(
        &self,
        origin: &AngzarrDeferredSequence,
        cascade_id: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let Some(cascade_id) = cascade_id else {
            return Ok(None);
        };
        let request = ReadRequest {
            cover: origin.source.as_ref().map(key_of),
            selection: Some(read_request::Selection::Sequences(SequenceSet {
                values: vec![origin.source_seq],
            })),
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        let book = read_book(self.store.as_ref(), request).await?;
        let pending = super::cascade::holds_pending(&book.pages)?;
        Ok(pending.then(|| cascade_id.to_owned()))
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
