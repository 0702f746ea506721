use angzarr_adapters::StoreError;
use angzarr_proto::v1::{
    CascadeErrorMode, EventBook, EventPage, EventRequest, FactInjectionResponse,
};
use tracing::Instrument;

use super::append::{NewEvents, number, stamp};
use super::claim::external_claim;
use super::command_handler::{execute_span, handle_span};
use super::run::{Run, Waiting};
use super::validate::{self, Facts};
use super::{Coordinator, Error, cascade, sync_mode};
use crate::handler::Retries;
use crate::registry::{Domain, Snapshots};

impl Coordinator {
    /// Stores facts once for each external id. They are durable when it returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn handle_event(
        &self,
        request: EventRequest,
    ) -> Result<FactInjectionResponse, Error> {
        let facts = validate::facts(request, self.settings.limits)?;
        let span = handle_span(&facts.cover);
        let waiting = Waiting::of(facts.mode, CascadeErrorMode::CascadeErrorFailFast, None);
        let run = Run::waited_for(waiting.as_ref());
        let (book, already_processed) = self.fact(&facts, run).instrument(span).await?;
        let collected = waiting.map(Waiting::into_collected).unwrap_or_default();
        Ok(FactInjectionResponse {
            events: Some(book),
            already_processed,
            projections: collected.projections,
        })
    }

    /// Stores facts once, and lets components react that somebody waits for.
    pub(super) async fn fact(
        &self,
        facts: &Facts,
        run: Run<'_>,
    ) -> Result<(EventBook, bool), Error> {
        let guard = run.waiting.map(|_| self.sync_runs.enter(&facts.cover));
        let (book, already_processed) = self.inject(facts).await?;
        if let Some(guard) = guard.filter(|_| !already_processed) {
            guard.stored(&book);
            self.react(&book, run).await?;
        }
        Ok((book, already_processed))
    }

    async fn inject(&self, facts: &Facts) -> Result<(EventBook, bool), Error> {
        let domain = self.domain(&facts.cover.domain)?;
        let _turn = self.queues.enter(&facts.cover).await?;
        if !facts.route_to_handler {
            return self.append_once(as_they_are(facts)).await;
        }
        let claim = external_claim(&facts.external_id);
        if let Some(first) = self.claimed(&facts.cover, claim, None).await? {
            return Ok((first, true));
        }
        let mut pauses = Retries::default().delays();
        loop {
            let new = self.route(domain, facts).await?;
            let outcome = self.append_once(new).await;
            let raced = matches!(outcome, Err(Error::Store(StoreError::Conflict { .. })));
            match pauses.next() {
                Some(pause) if raced => tokio::time::sleep(pause).await,
                _ => return outcome,
            }
        }
    }

    /// Lets the component replace the facts. One without the method takes them as they are.
    async fn route(&self, domain: &Domain, facts: &Facts) -> Result<NewEvents, Error> {
        let cascade_id = facts.cascade_id.clone();
        let stored = self.load_at(domain, &facts.cover, cascade_id, None).await?;
        let prior = self.upcast(stored).await?;
        let call = domain
            .handler
            .handle_fact(&prior, &facts.book, &facts.cover.correlation_id);
        let call = call.instrument(execute_span(&facts.cover));
        let Some((mut pages, snapshot)) = call.await? else {
            return Ok(as_they_are(facts));
        };
        number(&mut pages, prior.next_sequence)?;
        let snapshot = snapshot.filter(|_| domain.snapshots != Snapshots::Never);
        let settled = facts.cascade_id.is_none() && !cascade::holds_pending(&prior.pages)?;
        Ok(NewEvents {
            snapshot: snapshot
                .filter(|_| settled)
                .and_then(|snapshot| stamp(snapshot, &pages)),
            next_sequence: Some(prior.next_sequence),
            ..new_events(facts, pages)
        })
    }
}

fn as_they_are(facts: &Facts) -> NewEvents {
    let payload = |page: &EventPage| EventPage {
        payload: page.payload.clone(),
        ..EventPage::default()
    };
    new_events(facts, facts.book.pages.iter().map(payload).collect())
}

fn new_events(facts: &Facts, pages: Vec<EventPage>) -> NewEvents {
    NewEvents {
        cover: facts.cover.clone(),
        pages,
        next_sequence: None,
        claim: Some(external_claim(&facts.external_id)),
        snapshot: None,
        cascade_id: facts.cascade_id.clone(),
        anchor: facts.anchor.clone(),
        isolated: sync_mode::delivery(facts.mode).isolated,
        origin: None,
    }
}
