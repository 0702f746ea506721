//! Process managers: coordination with events of its own.

use angzarr_adapters::StoreError;
use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Claim, Expected, PendingView, ReadRequest, expected,
};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CascadeErrorMode, CommandBook, Cover, EventBook, EventPage,
    Notification, ProcessManagerHandleResponse, SyncMode, command_page, event_page,
};
use bytes::Bytes;
use prost::Message;
use tracing::Instrument;

use super::append::number;
use super::claim::{event_key, rejection_claim};
use super::delivery::Trigger;
use super::emission::{EMISSIONS_MAX, News, Source};
use super::load::{key_of, read_book};
use super::outbox::{outbox_consumer, outbox_cover, outbox_write};
use super::projector::span;
use super::run::Run;
use super::saga::ReactionFailure;
use super::sync_runs::Ran;
use super::{Coordinator, Error};
use crate::handler::Retries;
use crate::registry::Reaction;
use crate::telemetry::{self, Component};

/// Claims of events that a process has taken.
const TRIGGER: &str = "trigger";

/// A step of a process that is durable.
struct Step {
    response: ProcessManagerHandleResponse,
    /// Its new events.
    book: EventBook,
    obligations: Vec<Obligation>,
    /// Sequence of the first obligation in its stream.
    first_obligation: Option<u32>,
}

impl Coordinator {
    /// Hands an event to the process it belongs to, once: a second delivery changes nothing.
    pub(super) async fn process(
        &self,
        manager: &Reaction,
        trigger: &Trigger,
        run: Run<'_>,
    ) -> Result<ProcessManagerHandleResponse, ReactionFailure> {
        let cover = trigger.cover();
        if cover.correlation_id.is_empty() {
            return Err(Error::invalid(
                "trigger.cover.correlation_id is missing: it tells which process the event \
                 belongs to",
            )
            .into());
        }
        let claim = Claim {
            kind: TRIGGER.to_owned(),
            key: event_key(&manager.name, &cover, trigger.sequence()),
        };
        let source = Source {
            cover,
            sequence: trigger.sequence(),
            component: manager.name.clone(),
            first_index: 0,
            news: None,
        };
        let span = span("pm.orchestrate", manager, &trigger.book);
        let work = Box::pin(self.advance(manager, trigger, &source, claim, run));
        telemetry::component(Component::ProcessManager, &manager.name, work)
            .instrument(span)
            .await
    }

    /// Tells a process that a command was refused, once. What it answers is done as any other
    /// step.
    pub(super) async fn process_rejection(
        &self,
        manager: &Reaction,
        origin: &AngzarrDeferredSequence,
        news: &CommandBook,
        run: Run<'_>,
    ) -> Result<(), ReactionFailure> {
        let page = news.pages.first().and_then(|page| page.payload.clone());
        let Some(command_page::Payload::Command(notification)) = page else {
            return Ok(());
        };
        let told = Notification::decode(notification.value.as_slice()).ok();
        let news = News {
            origin: origin.clone(),
            payload: told.and_then(|told| told.payload),
        };
        let page = EventPage {
            payload: Some(event_page::Payload::Event(notification)),
            ..EventPage::default()
        };
        let cover = origin.source.clone().unwrap_or_default();
        let trigger = Trigger::new(cover.clone(), vec![Bytes::from(page.encode_to_vec())], 0);
        // Numbers no step before has used: what was refused has at most three such steps above
        // it, then they run out.
        let first_index = origin
            .command_index
            .checked_add(1)
            .and_then(|index| index.checked_mul(EMISSIONS_MAX))
            .ok_or_else(|| {
                Error::invalid("the process answers each refusal with a command that is refused")
            })?;
        let mut component = manager.name.clone();
        if origin.source_component != manager.name {
            component = format!("{component}<{}", origin.source_component);
        }
        let source = Source {
            cover,
            sequence: origin.source_seq,
            component,
            first_index,
            news: Some(news),
        };
        let claim = rejection_claim(origin);
        self.advance(manager, &trigger, &source, claim, run)
            .await
            .map(drop)
    }

    async fn advance(
        &self,
        manager: &Reaction,
        trigger: &Trigger,
        source: &Source,
        claim: Claim,
        run: Run<'_>,
    ) -> Result<ProcessManagerHandleResponse, ReactionFailure> {
        let cover = manager.process_cover(&source.cover);
        let outbox = outbox_cover(&manager.name, &cover);
        // Entered before anything is stored: its followers wait for what is done here.
        let (own, owed) = (self.sync_runs.enter(&cover), self.sync_runs.enter(&outbox));
        let storing = self.store_step(manager, trigger, source, claim, &cover, run);
        let Some(mut step) = Box::pin(storing).await? else {
            return Ok(ProcessManagerHandleResponse::default());
        };
        own.stored(&step.book);
        if let Some(first) = step.first_obligation {
            let count = u32::try_from(step.obligations.len()).unwrap_or(u32::MAX);
            owed.stored_range(first, first.saturating_add(count.saturating_sub(1)));
        }
        let mut ran = Vec::new();
        let ended = self.do_now(manager, &mut step, run, &mut ran).await;
        self.record_ran(&outbox, &ran).await?;
        // What waits in the outbox is done from there: the step is not to be taken again.
        ended.map_err(|error| ReactionFailure { error, ran: true })?;
        Ok(step.response)
    }

    /// Decides and stores: events, obligations and the key of the trigger in one commit, so that
    /// there is no moment at which one is there without the other. `None`: it was done before.
    async fn store_step(
        &self,
        manager: &Reaction,
        trigger: &Trigger,
        source: &Source,
        claim: Claim,
        cover: &Cover,
        run: Run<'_>,
    ) -> Result<Option<Step>, Error> {
        let _turn = self.queues.enter(cover).await?;
        let known = self.claimed(cover, claim.clone(), None).await?;
        if known.is_some() {
            return Ok(None);
        }
        let mut pauses = Retries::default().delays();
        loop {
            let step = self
                .step(manager, trigger, source, claim.clone(), cover, run)
                .await;
            let raced = matches!(step, Err(Error::Store(StoreError::Conflict { .. })));
            match pauses.next() {
                Some(pause) if raced => tokio::time::sleep(pause).await,
                _ => return step,
            }
        }
    }

    async fn step(
        &self,
        manager: &Reaction,
        trigger: &Trigger,
        source: &Source,
        claim: Claim,
        cover: &Cover,
        run: Run<'_>,
    ) -> Result<Option<Step>, Error> {
        let request = ReadRequest {
            cover: Some(key_of(cover)),
            pending: PendingView::Resolved.into(),
            cascade_id: run.cascade_id.map(str::to_owned),
            ..ReadRequest::default()
        };
        let mut state = read_book(self.store.as_ref(), request).await?;
        state.cover = Some(cover.clone());
        let book = self.upcast_for_reaction(&trigger.book).await?;
        let destinations = self.destinations(manager, &source.cover).await?;
        let call = manager.reactor.process(&book, &state, &destinations);
        let call = call.instrument(span("orchestration.execute", manager, &book));
        let mut response = call.await?;
        let commands = response.commands.iter().map(|book| book.cover.as_ref());
        let facts = response.facts.iter().map(|book| book.cover.as_ref());
        self.check_domains(commands.chain(facts))?;
        let mut pages = self.process_pages(manager, &mut response)?;
        number(&mut pages, state.next_sequence)?;
        let obligations = self.obligations(manager, source, &response, run)?;
        let mut writes = vec![AggregateAppend {
            cover: Some(cover.clone()),
            pages: pages.clone(),
            expected: Some(Expected {
                state: Some(expected::State::Next(state.next_sequence)),
            }),
            claim: Some(claim),
            snapshot: None,
        }];
        if !obligations.is_empty() {
            let outbox = outbox_cover(&manager.name, cover);
            writes.push(outbox_write(outbox, &obligations, None));
        }
        let mut request = AppendRequest {
            writes,
            cascade_id: run.cascade_id.map(str::to_owned),
            ..AppendRequest::default()
        };
        if let Some(anchor) = run.anchor {
            self.hold(&mut request, anchor).await?;
        }
        let _checked_in = self.registry.check_in(&mut request).await?;
        let appended = self.store.append(request).await?.results;
        let Some(first) = appended.first().filter(|first| !first.duplicate) else {
            return Ok(None);
        };
        for page in &mut pages {
            page.created_at = first.recorded_at;
            page.no_commit = run.cascade_id.is_some();
            page.cascade_id = run.cascade_id.map(str::to_owned);
        }
        let book = EventBook {
            cover: Some(cover.clone()),
            pages,
            next_sequence: first.next_sequence,
            snapshot: None,
        };
        response.process_events = vec![book.clone()];
        Ok(Some(Step {
            response,
            book,
            obligations,
            first_obligation: appended.get(1).and_then(|outbox| outbox.first_sequence),
        }))
    }

    /// Does what somebody waits for: everything in a cascade, else commands whose decision was
    /// asked for. The rest is done from the outbox.
    async fn do_now(
        &self,
        manager: &Reaction,
        step: &mut Step,
        run: Run<'_>,
        ran: &mut Vec<Ran>,
    ) -> Result<(), Error> {
        let waiting = run.waiting.filter(|waiting| waiting.downstream);
        if waiting.is_some() {
            self.react(&step.book, run.below()).await?;
        }
        let mut ended = Ok(());
        for (index, obligation) in (0_u32..).zip(&step.obligations) {
            let sequence = step
                .first_obligation
                .and_then(|first| first.checked_add(index));
            let Some(sequence) = sequence else { continue };
            let decision = is_decision(obligation);
            if waiting.is_none() && !decision {
                continue;
            }
            let consumer = outbox_consumer(&manager.name);
            let is_undone =
                waiting.is_some_and(|w| w.errors == CascadeErrorMode::CascadeErrorCompensate);
            if ended.is_err() {
                if is_undone {
                    ran.push(Ran { consumer, sequence });
                }
                continue;
            }
            match self.discharge_patiently(manager, obligation, run).await {
                Ok(refusal) => {
                    ran.push(Ran { consumer, sequence });
                    if let Some(refusal) = refusal.filter(|_| decision) {
                        step.response.notification = Some(refusal);
                    }
                }
                Err(failure) => {
                    let lasting = failure.ran || !failure.error.is_worth_retrying();
                    if lasting || is_undone {
                        ran.push(Ran { consumer, sequence });
                    }
                    // Without somebody to tell, the outbox goes on with it.
                    if waiting.is_some() {
                        ended = Err(failure.error);
                    }
                }
            }
        }
        ended
    }
}

fn is_decision(obligation: &Obligation) -> bool {
    let Some(obligation::What::Command(book)) = &obligation.what else {
        return false;
    };
    let header = book.pages.first().and_then(|page| page.header.as_ref());
    header.and_then(|header| header.sync_mode) == Some(SyncMode::Decision.into())
}
