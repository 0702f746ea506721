//! Projectors: events become read models.

use angzarr_proto::v1::{EventBook, Projection};
use tracing::Instrument;

use super::append::decode;
use super::delivery::Trigger;
use super::sync_runs::Ran;
use super::{Coordinator, Error, validate};
use crate::handler::RawBook;
use crate::registry::Reaction;
use crate::telemetry::{self, Component};

impl Coordinator {
    /// Hands a book of new events to a projector.
    pub(super) async fn project(
        &self,
        projector: &Reaction,
        book: &RawBook,
    ) -> Result<Projection, Error> {
        let span = span("projector.handle", projector, book);
        let work = async {
            let book = self.upcast_for_reaction(book).await?;
            Ok(projector.reactor.project(&book).await?)
        };
        telemetry::component(Component::Projector, &projector.name, work)
            .instrument(span)
            .await
    }

    /// What of a trigger a component has not run for while a request waited.
    pub(super) async fn not_run_yet(
        &self,
        reaction: &Reaction,
        trigger: &Trigger,
    ) -> Result<Option<Trigger>, Error> {
        let cover = trigger.cover();
        self.sync_runs.settled(&cover, &trigger.sequences).await;
        let mut done = Vec::new();
        for sequence in &trigger.sequences {
            let ran = Ran {
                consumer: reaction.checkpoint(),
                sequence: *sequence,
            };
            if self.has_run(&cover, &ran).await? {
                done.push(*sequence);
            }
        }
        if done.is_empty() {
            return Ok(Some(trigger.clone()));
        }
        Ok(trigger.without(&done))
    }

    /// Events in their newest form, where the domain has a component for it.
    pub(super) async fn upcast_for_reaction(&self, book: &RawBook) -> Result<RawBook, Error> {
        self.upcast(book.clone()).await
    }
}

pub(super) fn span(name: &'static str, reaction: &Reaction, book: &RawBook) -> tracing::Span {
    let cover = book.cover.clone().unwrap_or_default();
    tracing::info_span!(
        "reaction",
        otel.name = name,
        component = %reaction.name,
        correlation_id = %cover.correlation_id,
        domain = %cover.domain,
        edition = %validate::edition_name(&cover),
        root = %validate::root_hex(&cover),
    )
}

/// A book as messages.
pub(super) fn decoded(book: &RawBook) -> Result<EventBook, Error> {
    Ok(EventBook {
        cover: book.cover.clone(),
        snapshot: book.snapshot.clone(),
        pages: decode(&book.pages)?,
        next_sequence: book.next_sequence,
    })
}
