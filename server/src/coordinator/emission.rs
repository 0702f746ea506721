//! Commands and facts that a component emitted, made fit for delivery.

use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandBook, CommandRequest, Cover, EventBook, EventRequest,
    ExternalDeferredSequence, PageHeader, page_header,
};
use prost_types::Any;

use super::claim;
use super::run::Run;
use super::validate::{self, Command, Facts};
use super::{Coordinator, Error};

/// Commands and facts a component may emit at a time; the numbers of those that answer a refusal
/// are made of the number of what was refused.
pub(super) const EMISSIONS_MAX: u32 = 1000;

/// What a component reacts to, as far as its commands and facts carry it on.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// With correlation id.
    pub(super) cover: Cover,
    /// Of the event.
    pub(super) sequence: u32,
    /// Name of the saga or process manager.
    pub(super) component: String,
    /// Number of its first command.
    pub(super) first_index: u32,
    /// What it is told in place of the event.
    pub(super) news: Option<News>,
}

/// A refused command of a component, as it is told of it.
#[derive(Debug, Clone)]
pub(super) struct News {
    /// Of the refused command.
    pub(super) origin: AngzarrDeferredSequence,
    /// What the notification holds.
    pub(super) payload: Option<Any>,
}

impl Source {
    /// The tuple by which targets know command number `index`.
    pub(super) fn origin(&self, index: usize) -> AngzarrDeferredSequence {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        AngzarrDeferredSequence {
            source: Some(Cover {
                ext: None,
                ..self.cover.clone()
            }),
            source_seq: self.sequence,
            source_component: self.component.clone(),
            command_index: self.first_index.saturating_add(index),
        }
    }

    /// Completes a command: always the edition of the source, its correlation id where there is
    /// none, and the tuple where the component named no sequence.
    pub(super) fn command(&self, index: usize, mut book: CommandBook) -> CommandBook {
        let cover = book.cover.get_or_insert_default();
        self.complete(cover);
        for page in &mut book.pages {
            let header = page.header.get_or_insert_default();
            if !matches!(
                header.sequence_type,
                Some(page_header::SequenceType::Sequence(_))
            ) {
                header.sequence_type = Some(page_header::SequenceType::AngzarrDeferred(
                    self.origin(index),
                ));
            }
        }
        book
    }

    /// Completes facts. Those without an id of their own get one that a second delivery has too.
    pub(super) fn fact(&self, index: usize, mut book: EventBook) -> EventBook {
        let cover = book.cover.get_or_insert_default();
        self.complete(cover);
        let named = book
            .pages
            .first()
            .and_then(|page| claim::external_id(page.header.as_ref()))
            .is_some_and(|id| !id.is_empty());
        let own = format!(
            "{}:{}",
            uuid::Uuid::new_v5(
                &uuid::Uuid::NAMESPACE_OID,
                &claim::tuple_key(&self.origin(index))
            ),
            index
        );
        if !named && let Some(page) = book.pages.first_mut() {
            page.header = Some(PageHeader {
                sequence_type: Some(page_header::SequenceType::ExternalDeferred(
                    ExternalDeferredSequence {
                        external_id: own,
                        description: format!("emitted by {}", self.component),
                    },
                )),
                sync_mode: None,
            });
        }
        book
    }

    pub(super) fn complete(&self, cover: &mut Cover) {
        cover.edition.clone_from(&self.cover.edition);
        if cover.correlation_id.is_empty() {
            cover.correlation_id.clone_from(&self.cover.correlation_id);
        }
    }
}

impl Coordinator {
    /// Refuses emissions that could never be delivered, before any of them is.
    pub(super) fn check_domains<'a>(
        &self,
        covers: impl Iterator<Item = Option<&'a Cover>>,
    ) -> Result<(), Error> {
        let mut count = 0;
        for cover in covers {
            count += 1;
            let name = cover.map_or("", |cover| cover.domain.as_str());
            self.domain(name)?;
        }
        if count > EMISSIONS_MAX {
            return Err(Error::invalid(format!(
                "the component answered with {count} commands and facts: at most {EMISSIONS_MAX} \
                 are delivered at a time"
            )));
        }
        Ok(())
    }

    /// Checks an emitted command as one of a client would be. A sequence that the component
    /// named is checked, and the command delivered once all the same.
    pub(super) fn emitted_command(
        &self,
        book: CommandBook,
        origin: &AngzarrDeferredSequence,
        run: Run<'_>,
    ) -> Result<Command, Error> {
        let mode = run.mode();
        let request = CommandRequest {
            command: Some(book),
            sync_mode: mode.sync.into(),
            cascade_error_mode: mode.errors.into(),
            cascade_id: run.cascade_id.map(str::to_owned),
        };
        let mut command = validate::command(request, self.settings.limits)?;
        command.origin = Some(origin.clone());
        command.anchor = run.anchor.cloned();
        Ok(command)
    }

    /// Checks emitted facts as those of a client would be.
    pub(super) fn emitted_fact(&self, book: EventBook, run: Run<'_>) -> Result<Facts, Error> {
        let request = EventRequest {
            events: Some(book),
            sync_mode: run.mode().sync.into(),
            route_to_handler: true,
        };
        let mut facts = validate::facts(request, self.settings.limits)?;
        facts.cascade_id = run.cascade_id.map(str::to_owned);
        facts.anchor = run.anchor.cloned();
        Ok(facts)
    }
}
