//! Components run at the request of a client, in place of the delivery loop.

use angzarr_proto::v1::{
    CascadeErrorMode, Cover, EventBook, ProcessManagerCoordinatorRequest,
    ProcessManagerHandleResponse, Projection, SagaHandleRequest, SagaResponse, SpeculatePmRequest,
    SpeculateSagaRequest, SyncMode, event_page,
};
use bytes::Bytes;
use prost::Message;

use super::delivery::Trigger;
use super::run::{Run, Waiting};
use super::validate;
use super::{Coordinator, Error};
use crate::handler::RawBook;
use crate::registry::{Reaction, ReactionKind};

impl Coordinator {
    /// Runs every saga that wants the newest event of the source; their answers together.
    ///
    /// # Errors
    /// See [`Error`]. What ran before the failure keeps its effects; a second request changes
    /// nothing where the first one did.
    pub async fn execute_sagas(&self, request: SagaHandleRequest) -> Result<SagaResponse, Error> {
        let (sync, errors) = modes(request.sync_mode, request.cascade_error_mode)?;
        let trigger = trigger("source", request.source)?;
        let waiting = Waiting::of(sync, errors, None);
        let run = Run::waited_for(waiting.as_ref());
        let mut all = SagaResponse::default();
        for saga in self.interested(ReactionKind::Saga, &trigger)? {
            let answer = self.saga(saga, &trigger, run).await;
            let answer = answer.map_err(|failure| failure.error)?;
            all.commands.extend(answer.commands);
            all.events.extend(answer.events);
        }
        Ok(all)
    }

    /// What those sagas would answer. Nothing of it is carried out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn speculate_sagas(
        &self,
        request: SpeculateSagaRequest,
    ) -> Result<SagaResponse, Error> {
        let request = request
            .request
            .ok_or_else(|| Error::invalid("request is missing"))?;
        let trigger = trigger("request.source", request.source)?;
        let mut all = SagaResponse::default();
        for saga in self.interested(ReactionKind::Saga, &trigger)? {
            let answer = self.translate(saga, &trigger, Run::default()).await?;
            all.commands.extend(answer.commands);
            all.events.extend(answer.events);
        }
        Ok(all)
    }

    /// Hands an event to every process manager that wants it; their answers together. A trigger
    /// that a process has taken before adds nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute_process_managers(
        &self,
        request: ProcessManagerCoordinatorRequest,
    ) -> Result<ProcessManagerHandleResponse, Error> {
        let (sync, errors) = modes(request.sync_mode, request.cascade_error_mode)?;
        let trigger = trigger("trigger", request.trigger)?;
        if trigger.cover().correlation_id.is_empty() {
            return Err(Error::invalid(
                "trigger.cover.correlation_id is missing: it tells which process the event \
                 belongs to",
            ));
        }
        let waiting = Waiting::of(sync, errors, None);
        let run = Run::waited_for(waiting.as_ref());
        let mut all = ProcessManagerHandleResponse::default();
        for manager in self.interested(ReactionKind::ProcessManager, &trigger)? {
            let answer = self.process(manager, &trigger, run).await;
            join(&mut all, answer.map_err(|failure| failure.error)?);
        }
        Ok(all)
    }

    /// What those process managers would answer in a given state. Nothing is stored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn speculate_process_managers(
        &self,
        request: SpeculatePmRequest,
    ) -> Result<ProcessManagerHandleResponse, Error> {
        let request = request
            .request
            .ok_or_else(|| Error::invalid("request is missing"))?;
        let trigger = trigger("request.trigger", request.trigger)?;
        let state = request.process_state.unwrap_or_default();
        let state = RawBook {
            cover: state.cover,
            snapshot: state.snapshot,
            pages: encoded(&state.pages),
            next_sequence: state.next_sequence,
        };
        let mut all = ProcessManagerHandleResponse::default();
        for manager in self.interested(ReactionKind::ProcessManager, &trigger)? {
            let answer = manager
                .reactor
                .process(&trigger.book, &state, &request.destination_sequences)
                .await?;
            join(&mut all, answer);
        }
        Ok(all)
    }

    /// Hands events to every projector that wants them; the first projection.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute_projectors(&self, events: Option<EventBook>) -> Result<Projection, Error> {
        let trigger = whole("events", events)?;
        let mut first = None;
        for projector in self.interested(ReactionKind::Projector, &trigger)? {
            let projection = self.project(projector, &trigger.book).await?;
            first.get_or_insert(named(projection, projector));
        }
        Ok(first.unwrap_or_default())
    }

    /// What the first of those projectors would make of events, without effects.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn speculate_projectors(
        &self,
        events: Option<EventBook>,
    ) -> Result<Projection, Error> {
        let trigger = whole("events", events)?;
        let projectors = self.interested(ReactionKind::Projector, &trigger)?;
        let Some(projector) = projectors.first() else {
            return Ok(Projection::default());
        };
        let book = self.upcast_for_reaction(&trigger.book).await?;
        let projection = projector.reactor.project_speculatively(&book).await?;
        Ok(named(projection, projector))
    }

    /// The components of a kind that want the events, of which there must be some at all.
    fn interested(&self, kind: ReactionKind, trigger: &Trigger) -> Result<Vec<&Reaction>, Error> {
        let cover = trigger.cover();
        let wants = |reaction: &&Reaction| {
            let pages = trigger.book.pages.iter();
            let mut types = pages.filter_map(type_of);
            types.any(|type_url| {
                let edition = validate::edition_name(&cover);
                reaction.wants(&cover.domain, edition, &type_url)
            })
        };
        let reactions = self.registry.reactions().iter().map(AsRef::as_ref);
        let of_kind: Vec<&Reaction> = reactions.filter(|r: &&Reaction| r.kind == kind).collect();
        if of_kind.is_empty() {
            return Err(Error::UnknownDomain {
                domain: cover.domain,
                configured: self.registry.names(),
            });
        }
        Ok(of_kind.into_iter().filter(wants).collect())
    }
}

fn modes(sync_mode: i32, error_mode: i32) -> Result<(SyncMode, CascadeErrorMode), Error> {
    let sync = SyncMode::try_from(sync_mode)
        .map_err(|_| Error::invalid(format!("sync_mode is {sync_mode}, which is none")))?;
    let errors = CascadeErrorMode::try_from(error_mode).map_err(|_| {
        Error::invalid(format!("cascade_error_mode is {error_mode}, which is none"))
    })?;
    Ok((sync, errors))
}

/// The newest page alone, as the delivery loop hands it over.
fn trigger(field: &str, book: Option<EventBook>) -> Result<Trigger, Error> {
    let (cover, mut pages) = checked(field, book)?;
    let last = pages.split_off(pages.len().saturating_sub(1));
    Ok(Trigger::new(cover, last, 0))
}

fn whole(field: &str, book: Option<EventBook>) -> Result<Trigger, Error> {
    let (cover, pages) = checked(field, book)?;
    Ok(Trigger::new(cover, pages, 0))
}

fn checked(field: &str, book: Option<EventBook>) -> Result<(Cover, Vec<Bytes>), Error> {
    let book = book.ok_or_else(|| Error::invalid(format!("{field} is missing")))?;
    let cover = validate::cover(&format!("{field}.cover"), book.cover, true)?;
    if book.pages.is_empty() {
        return Err(Error::invalid(format!(
            "{field}.pages is empty: send at least one page with an event"
        )));
    }
    for (place, page) in book.pages.iter().enumerate() {
        if !matches!(&page.payload, Some(event_page::Payload::Event(_))) {
            return Err(Error::invalid(format!(
                "{field}.pages[{place}].event is missing"
            )));
        }
    }
    Ok((cover, encoded(&book.pages)))
}

fn encoded(pages: &[angzarr_proto::v1::EventPage]) -> Vec<Bytes> {
    let pages = pages.iter();
    pages
        .map(|page| Bytes::from(page.encode_to_vec()))
        .collect()
}

fn type_of(page: &Bytes) -> Option<String> {
    let outline = crate::handler::fields::PageOutline::of(page).ok()?;
    Some(outline.type_url.to_owned())
}

fn named(mut projection: Projection, projector: &Reaction) -> Projection {
    if projection.projector.is_empty() {
        projection.projector.clone_from(&projector.name);
    }
    projection
}

fn join(all: &mut ProcessManagerHandleResponse, answer: ProcessManagerHandleResponse) {
    all.process_events.extend(answer.process_events);
    all.commands.extend(answer.commands);
    all.facts.extend(answer.facts);
    all.notification = all.notification.take().or(answer.notification);
}
