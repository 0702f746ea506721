use angzarr_adapters::StoreError;
use angzarr_proto::v1::{
    CommandRequest, CommandResponse, Cover, EventBook, Notification, RevocationResponse,
};
use tracing::Instrument;

use super::append::NewEvents;
use super::divergence::check_divergence;
use super::load::Loaded;
use super::run::{Refusal, Run};
use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::handler::{Answer, RawBook, Retries};
use crate::registry::{Domain, Snapshots};

/// What became of a command that was not refused.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The new pages, durable; none when the command changed nothing.
    Events(EventBook),
    /// The same of an earlier delivery: everything has been done for them.
    Known(EventBook),
    /// The component left the matter to the framework. Nothing was stored.
    Revocation(RevocationResponse),
    /// The component passed the matter on. Nothing was stored.
    Notification(Notification),
}

impl Coordinator {
    /// Carries out a command. New events are durable when it returns.
    ///
    /// # Errors
    /// See [`Error`]. Nothing is stored in any case but [`StoreError::Poisoned`] and
    /// [`StoreError::Unavailable`], whose outcome is unknown, and [`Error::DeadLettered`].
    pub async fn handle_command(&self, request: CommandRequest) -> Result<CommandResponse, Error> {
        let command = validate::command(request, self.settings.limits)?;
        self.command(command, Run::default())
            .await
            .map_err(Refusal::into_error)
    }

    /// Waits for the aggregate, then decides and stores; again when another writer of the same
    /// store came in between.
    pub(super) async fn carry_out(&self, command: &Command) -> Result<Outcome, Error> {
        let domain = self.domain(&command.cover.domain)?;
        let _turn = self.queues.enter(&command.cover).await?;
        if let Some(first) = self.first_delivery(command).await? {
            return Ok(Outcome::Known(first));
        }
        let mut pauses = Retries::default().delays();
        let outcome = loop {
            let outcome = self.decide(domain, command).await;
            let raced = matches!(outcome, Err(Error::Store(StoreError::Conflict { .. })));
            match pauses.next() {
                Some(pause) if raced => tokio::time::sleep(pause).await,
                _ => break outcome,
            }
        };
        match outcome {
            Err(error) => Err(Box::pin(self.put_aside_if_lost(command, error)).await),
            decided => decided,
        }
    }

    /// One pass over the steps from loading to storing.
    async fn decide(&self, domain: &Domain, command: &Command) -> Result<Outcome, Error> {
        let Loaded {
            book,
            settled,
            kept,
        } = self.load(domain, command).await?;
        let prior = self.upcast(book).await?;
        check_divergence(command, &prior)?;
        let stale_at = self.check_sequence(command, &prior).await?;
        let (pages, snapshot) = match self.execute(domain, command, &prior).await? {
            Answer::Events { pages, snapshot } => (pages, snapshot),
            Answer::Revocation(revocation) => return Ok(Outcome::Revocation(revocation)),
            Answer::Notification(notification) => return Ok(Outcome::Notification(notification)),
        };
        let snapshot = snapshot.filter(|_| domain.snapshots != Snapshots::Never);
        let new = NewEvents::of_command(command, &prior, pages, snapshot.filter(|_| settled))?;
        self.check_fields(domain, command, stale_at, &prior, &new)
            .await?;
        if !settled {
            Box::pin(self.check_cascades(domain, command, &prior, &new)).await?;
        }
        let leaves_snapshot = new.snapshot.is_some();
        let (book, known) = self.append_once(new).await?;
        if known {
            return Ok(Outcome::Known(book));
        }
        if leaves_snapshot {
            self.forget(command);
        } else if let Some(kept) = kept {
            self.keep_new(kept, &book);
        }
        Ok(Outcome::Events(book))
    }

    async fn execute(
        &self,
        domain: &Domain,
        command: &Command,
        prior: &RawBook,
    ) -> Result<Answer, Error> {
        let call = domain
            .handler
            .handle(prior, &command.book, &command.cover.correlation_id);
        Ok(call.instrument(execute_span(&command.cover)).await?)
    }
}

pub(super) fn span(command: &Command) -> tracing::Span {
    handle_span(&command.cover)
}

pub(super) fn handle_span(cover: &Cover) -> tracing::Span {
    tracing::info_span!(
        "aggregate.handle",
        correlation_id = %cover.correlation_id,
        domain = %cover.domain,
        edition = %validate::edition_name(cover),
        root = %validate::root_hex(cover),
    )
}

pub(super) fn execute_span(cover: &Cover) -> tracing::Span {
    tracing::info_span!(
        "aggregate.execute",
        correlation_id = %cover.correlation_id,
        domain = %cover.domain,
        edition = %validate::edition_name(cover),
        root = %validate::root_hex(cover),
    )
}

pub(super) fn respond(book: EventBook) -> CommandResponse {
    CommandResponse {
        events: Some(book),
        ..CommandResponse::default()
    }
}

pub(super) fn revoked(command: &Command, revocation: RevocationResponse) -> Error {
    let reason = if revocation.reason.is_empty() {
        format!(
            "the handler of domain `{}` revoked the command",
            command.cover.domain
        )
    } else {
        revocation.reason
    };
    Error::Revoked { reason }
}
