//! What a process manager answered, checked and made fit to be stored.

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::v1::{EventPage, ProcessManagerHandleResponse, event_page};

use super::emission::Source;
use super::run::Run;
use super::{Coordinator, Error};
use crate::framework;
use crate::registry::Reaction;

impl Coordinator {
    /// What the commands and facts of an answer oblige to. Facts that could never be injected
    /// are refused before anything is stored.
    pub(super) fn obligations(
        &self,
        manager: &Reaction,
        source: &Source,
        response: &ProcessManagerHandleResponse,
        run: Run<'_>,
    ) -> Result<Vec<Obligation>, Error> {
        let obligation = |index, what| Obligation {
            component: manager.name.clone(),
            component_type: manager.kind.name().to_owned(),
            what: Some(what),
            origin: Some(source.origin(index)),
            cascade_id: run.cascade_id.map(str::to_owned),
        };
        let mut obligations = Vec::new();
        for (index, book) in response.commands.iter().enumerate() {
            let book = source.command(index, book.clone());
            obligations.push(obligation(index, obligation::What::Command(book)));
        }
        for (index, book) in response.facts.iter().enumerate() {
            let index = response.commands.len().saturating_add(index);
            let book = source.fact(index, book.clone());
            self.emitted_fact(book.clone(), run)?;
            obligations.push(obligation(index, obligation::What::Fact(book)));
        }
        if obligations.len() > self.settings.limits.pages {
            return Err(Error::invalid(format!(
                "the process manager `{}` answered with {} commands and facts, the limit is {} \
                 (limits.pages_per_book)",
                manager.name,
                obligations.len(),
                self.settings.limits.pages
            )));
        }
        Ok(obligations)
    }

    /// The new events a process manager answered with, payloads only.
    pub(super) fn process_pages(
        &self,
        manager: &Reaction,
        response: &mut ProcessManagerHandleResponse,
    ) -> Result<Vec<EventPage>, Error> {
        let books = std::mem::take(&mut response.process_events);
        let pages: Vec<EventPage> = books
            .into_iter()
            .flat_map(|book| book.pages)
            .map(|page| EventPage {
                payload: page.payload,
                ..EventPage::default()
            })
            .collect();
        let limits = self.settings.limits;
        let problem = |page: &EventPage| match &page.payload {
            Some(event_page::Payload::Event(any)) if any.type_url.is_empty() => {
                Some("has an event without a type_url".to_owned())
            }
            Some(event_page::Payload::Event(any)) if framework::steers(&any.type_url) => {
                Some("holds a message of the framework".to_owned())
            }
            Some(event_page::Payload::Event(any)) if any.value.len() > limits.payload_bytes => {
                Some(format!(
                    "has an event of {} bytes, the limit is {} (limits.payload_bytes)",
                    any.value.len(),
                    limits.payload_bytes
                ))
            }
            Some(event_page::Payload::Event(_)) => None,
            _ => Some("has no event".to_owned()),
        };
        if pages.len() > limits.pages {
            return Err(Error::Handler(manager.reactor.nonsense(format!(
                "it has {} process events, the limit is {} (limits.pages_per_book)",
                pages.len(),
                limits.pages
            ))));
        }
        for (place, page) in pages.iter().enumerate() {
            if let Some(problem) = problem(page) {
                return Err(Error::Handler(
                    manager
                        .reactor
                        .nonsense(format!("process event {place} {problem}")),
                ));
            }
        }
        Ok(pages)
    }
}
