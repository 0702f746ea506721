//! Commands whose sender waits for what they cause.

use angzarr_proto::v1::{
    AngzarrDeferredSequence, CascadeErrorMode, CascadeReactionError, CommandBook, CommandResponse,
    Cover, EventBook, command_page,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use tracing::Instrument;

use super::command_handler::{Outcome, respond, revoked, span};
use super::delivery::{Failure, Trigger};
use super::run::{DEPTH_MAX, Refusal, Run, Waiting};
use super::saga::ReactionFailure;
use super::sync_runs::Ran;
use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::registry::{Reaction, ReactionKind};
use crate::status;
use crate::telemetry;

impl Coordinator {
    /// Carries out a command and, as far as its mode says, what it causes.
    ///
    /// Boxed, as what it causes are commands again.
    pub(super) fn command<'a>(
        &'a self,
        command: Command,
        run: Run<'a>,
    ) -> BoxFuture<'a, Result<CommandResponse, Refusal>> {
        let span = span(&command);
        let domain = command.cover.domain.clone();
        // Boxed before it is handed on: each hand it passes through keeps a place for it on the
        // stack.
        let work = Box::pin(self.command_within(command, run));
        Box::pin(async move { telemetry::command(&domain, work).await }.instrument(span))
    }

    async fn command_within(
        &self,
        command: Command,
        run: Run<'_>,
    ) -> Result<CommandResponse, Refusal> {
        if let Some(done) = self.administer(&command).await? {
            return Ok(respond(done));
        }
        let own = Waiting::of(command.mode, command.error_mode, command.cascade_id.clone());
        let shared = run
            .waiting
            .filter(|waiting| waiting.downstream && own.as_ref().is_some_and(|own| own.downstream));
        let within = Run {
            waiting: shared.or(own.as_ref()),
            depth: run.depth,
            cascade_id: command.cascade_id.as_deref(),
            anchor: command.anchor.as_ref(),
        };
        let ended = Box::pin(self.carry_out_and_react(&command, within)).await;
        let Some(own) = own.filter(|_| shared.is_none()) else {
            return ended.map(respond);
        };
        let undo = own.errors == CascadeErrorMode::CascadeErrorCompensate;
        if let Err(Refusal::Reaction(error)) = &ended
            && undo
        {
            // Durable before the request fails: who is told of the failure may rely on it.
            let undone = Box::pin(self.undo(&own, error)).await;
            undone.map_err(Refusal::Reaction)?;
        }
        let collected = own.into_collected();
        ended.map(|book| CommandResponse {
            projections: collected.projections,
            reaction_errors: collected.errors,
            ..respond(book)
        })
    }

    /// Does what a command asks for that concerns no aggregate.
    async fn administer(&self, command: &Command) -> Result<Option<EventBook>, Error> {
        let first = command.book.pages.first();
        if !first.is_some_and(validate::is_administrative) {
            return Ok(None);
        }
        if let Some(deletion) = Box::pin(self.delete_edition(command)).await? {
            return Ok(Some(deletion));
        }
        Box::pin(self.settle_cascade(command)).await
    }

    async fn carry_out_and_react(
        &self,
        command: &Command,
        run: Run<'_>,
    ) -> Result<EventBook, Refusal> {
        // Entered before the events are stored, left when the components that ran are recorded.
        let guard = run.waiting.map(|_| self.sync_runs.enter(&command.cover));
        // Boxed here and below, as commands cause commands: what is not under way any more must
        // not lie on the stack of those that are.
        let book = match Box::pin(self.carry_out(command)).await? {
            Outcome::Events(book) => book,
            Outcome::Known(book) => return Ok(book),
            Outcome::Revocation(revocation) => return Err(revoked(command, revocation).into()),
            Outcome::Notification(_) => {
                return Ok(EventBook {
                    cover: Some(command.cover.clone()),
                    ..EventBook::default()
                });
            }
        };
        if let Some(guard) = &guard {
            guard.stored(&book);
        }
        if run.waiting.is_some() {
            self.react(&book, run).await.map_err(Refusal::Reaction)?;
        }
        Ok(book)
    }

    /// Lets components react to new events as far as somebody waits for that.
    ///
    /// Boxed, as reactions may have reactions.
    pub(super) fn react<'a>(
        &'a self,
        book: &'a EventBook,
        run: Run<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.react_within(book, run))
    }

    async fn react_within(&self, book: &EventBook, run: Run<'_>) -> Result<(), Error> {
        let Some(waiting) = run.waiting.filter(|_| !book.pages.is_empty()) else {
            return Ok(());
        };
        let cover = book.cover.clone().unwrap_or_default();
        let news = News::of(book)?;
        let mut ran = Vec::new();
        let mut ended = Ok(());
        let too_deep = run.depth > DEPTH_MAX;
        for reaction in self.registry.reactions() {
            if too_deep && !news.triggers(reaction, waiting.downstream).is_empty() {
                ended = Err(Error::TooDeep);
                break;
            }
            ended = self
                .run_component(reaction, &news, run, waiting, &mut ran)
                .await;
            if ended.is_err() {
                break;
            }
        }
        let undone = waiting.errors == CascadeErrorMode::CascadeErrorCompensate;
        if ended.is_err() && (undone || too_deep) {
            // Nothing of what is undone may happen later, and what has no end ends here.
            for reaction in self.registry.reactions() {
                let all = news.triggers(reaction, waiting.downstream);
                ran.extend(all.iter().flat_map(|trigger| ran_for(reaction, trigger)));
            }
            ran.sort_by(|a, b| (&a.consumer, a.sequence).cmp(&(&b.consumer, b.sequence)));
            ran.dedup();
        }
        // Before the answer: who has run does not run again, whatever happens to this process.
        // What has not run, or did not get through, is delivered as if nobody had waited.
        Box::pin(self.record_ran(&cover, &ran)).await?;
        ended
    }

    async fn run_component(
        &self,
        reaction: &Reaction,
        news: &News,
        run: Run<'_>,
        waiting: &Waiting,
        ran: &mut Vec<Ran>,
    ) -> Result<(), Error> {
        for trigger in news.triggers(reaction, waiting.downstream) {
            let running = Box::pin(self.run_patiently(reaction, &trigger, run, waiting));
            let Err(failure) = running.await else {
                ran.extend(ran_for(reaction, &trigger));
                continue;
            };
            let lasting = failure.ran || !failure.error.is_worth_retrying();
            let reported = waiting.downstream
                && matches!(
                    waiting.errors,
                    CascadeErrorMode::CascadeErrorContinue
                        | CascadeErrorMode::CascadeErrorDeadLetter
                );
            if lasting || reported {
                ran.extend(ran_for(reaction, &trigger));
            }
            Box::pin(self.component_failed(reaction, &trigger, failure, waiting)).await?;
        }
        Ok(())
    }

    async fn run_patiently(
        &self,
        reaction: &Reaction,
        trigger: &Trigger,
        run: Run<'_>,
        waiting: &Waiting,
    ) -> Result<(), ReactionFailure> {
        let mut pauses = reaction.retries.delays();
        loop {
            let failure = match self.run_once(reaction, trigger, run, waiting).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let again = !failure.ran && failure.error.is_worth_retrying();
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    async fn run_once(
        &self,
        reaction: &Reaction,
        trigger: &Trigger,
        run: Run<'_>,
        waiting: &Waiting,
    ) -> Result<(), ReactionFailure> {
        match reaction.kind {
            ReactionKind::Projector => {
                let mut projection = Box::pin(self.project(reaction, &trigger.book)).await?;
                if projection.projector.is_empty() {
                    projection.projector.clone_from(&reaction.name);
                }
                waiting.collected().projections.push(projection);
            }
            ReactionKind::Saga => {
                Box::pin(self.saga(reaction, trigger, run)).await?;
            }
            ReactionKind::ProcessManager => {
                Box::pin(self.process(reaction, trigger, run)).await?;
            }
        }
        Ok(())
    }

    /// What a failure of a component means to the request that waits.
    async fn component_failed(
        &self,
        reaction: &Reaction,
        trigger: &Trigger,
        failure: ReactionFailure,
        waiting: &Waiting,
    ) -> Result<(), Error> {
        let listed = || reaction_error(&reaction.name, &trigger.cover(), "", &failure.error);
        if !waiting.downstream {
            // A read model that is late: the event is delivered until it is taken.
            waiting.collected().errors.push(listed());
            return Ok(());
        }
        match waiting.errors {
            CascadeErrorMode::CascadeErrorContinue => {
                waiting.collected().errors.push(listed());
                Ok(())
            }
            CascadeErrorMode::CascadeErrorDeadLetter => {
                let failure = Failure::from(failure.error);
                let attempts = if failure.transient {
                    reaction.retries.attempts
                } else {
                    0
                };
                self.dead_letter_events(reaction, trigger, &failure, attempts)
                    .await
            }
            CascadeErrorMode::CascadeErrorFailFast | CascadeErrorMode::CascadeErrorCompensate => {
                Err(failure.error)
            }
        }
    }

    /// What a refused command of a component means to the request that waits, if one does. The
    /// source is told in any case.
    pub(super) async fn command_refused(
        &self,
        reaction: &Reaction,
        origin: &AngzarrDeferredSequence,
        book: &CommandBook,
        error: Error,
        run: Run<'_>,
    ) -> Result<(), Error> {
        let Some(waiting) = run.waiting.filter(|waiting| waiting.downstream) else {
            return Ok(());
        };
        match waiting.errors {
            CascadeErrorMode::CascadeErrorContinue => {
                let cover = book.cover.clone().unwrap_or_default();
                let listed = reaction_error(&reaction.name, &cover, type_of(book), &error);
                waiting.collected().errors.push(listed);
                Ok(())
            }
            CascadeErrorMode::CascadeErrorDeadLetter => {
                self.dead_letter_command(reaction, origin, book, &Failure::from(error))
                    .await
            }
            CascadeErrorMode::CascadeErrorFailFast | CascadeErrorMode::CascadeErrorCompensate => {
                Err(error)
            }
        }
    }
}

/// New events that a request waits for components to react to.
struct News {
    cover: Cover,
    /// Type and encoded page.
    pages: Vec<(String, Bytes)>,
    pending: bool,
}

impl News {
    fn of(book: &EventBook) -> Result<Self, Error> {
        let type_of = |page: &angzarr_proto::v1::EventPage| match &page.payload {
            Some(angzarr_proto::v1::event_page::Payload::Event(any)) => any.type_url.clone(),
            _ => String::new(),
        };
        let pages = book.pages.iter();
        Ok(Self {
            cover: book.cover.clone().unwrap_or_default(),
            pages: pages
                .map(|page| (type_of(page), Bytes::from(page.encode_to_vec())))
                .collect(),
            pending: book.pages.iter().any(|page| page.no_commit),
        })
    }

    /// What a component gets of them now: a read model only what is final, together.
    fn triggers(&self, reaction: &Reaction, downstream: bool) -> Vec<Trigger> {
        let edition = validate::edition_name(&self.cover);
        let wanted = self
            .pages
            .iter()
            .filter(|(type_url, _)| reaction.wants(&self.cover.domain, edition, type_url))
            .filter(|(type_url, _)| !crate::framework::steers(type_url))
            .map(|(_, page)| page.clone());
        let trigger = |pages| Trigger::new(self.cover.clone(), pages, 0);
        match reaction.kind {
            ReactionKind::Projector if self.pending => Vec::new(),
            ReactionKind::Projector => {
                let pages: Vec<Bytes> = wanted.collect();
                if pages.is_empty() {
                    Vec::new()
                } else {
                    vec![trigger(pages)]
                }
            }
            ReactionKind::ProcessManager if self.cover.correlation_id.is_empty() => Vec::new(),
            ReactionKind::Saga | ReactionKind::ProcessManager if downstream => {
                wanted.map(|page| trigger(vec![page])).collect()
            }
            ReactionKind::Saga | ReactionKind::ProcessManager => Vec::new(),
        }
    }
}

fn ran_for(reaction: &Reaction, trigger: &Trigger) -> Vec<Ran> {
    let sequences = trigger.sequences.iter();
    sequences
        .map(|sequence| Ran {
            consumer: reaction.checkpoint(),
            sequence: *sequence,
        })
        .collect()
}

fn reaction_error(
    component: &str,
    target: &Cover,
    command_type: &str,
    error: &Error,
) -> CascadeReactionError {
    CascadeReactionError {
        component: component.to_owned(),
        target: Some(target.clone()),
        command_type: command_type.to_owned(),
        code: status::code(error),
        message: error.to_string(),
    }
}

/// Type of the first command of a book.
pub(super) fn type_of(book: &CommandBook) -> &str {
    match book.pages.first().and_then(|page| page.payload.as_ref()) {
        Some(command_page::Payload::Command(any)) => &any.type_url,
        _ => "",
    }
}
