//! What a process manager answered, checked and made fit to be stored.

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandBook, EventPage, Notification, ProcessManagerHandleResponse,
    event_page,
};

use super::emission::Source;
use super::rejection::notification;
use super::run::Run;
use super::{Coordinator, Error, validate};
use crate::framework;
use crate::registry::Reaction;

impl Coordinator {
    /// What the commands, the facts and the notification of an answer oblige to. What could never
    /// be delivered is refused before anything is stored.
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
        if let Some(said) = &response.notification {
            let (origin, news) = self.notice(manager, source, obligations.len(), said)?;
            obligations.push(self.notice_owed(manager, origin, news, run));
        }
        if obligations.len() > self.settings.limits.pages {
            return Err(Error::invalid(format!(
                "the process manager `{}` answered with {} commands, facts and notifications, the \
                 limit is {} (limits.pages_per_book)",
                manager.name,
                obligations.len(),
                self.settings.limits.pages
            )));
        }
        Ok(obligations)
    }

    /// The notification in an answer, for the aggregate it names, else for the source of the
    /// event, with the tuple by which that knows a second delivery.
    ///
    /// A refusal that is passed on to the source has the tuple of the refused command: the source
    /// is told of it anyway, and the same news is told once.
    fn notice(
        &self,
        manager: &Reaction,
        source: &Source,
        index: usize,
        said: &Notification,
    ) -> Result<(AngzarrDeferredSequence, CommandBook), Error> {
        let news = source.news.as_ref();
        let passed_on = || news.and_then(|news| news.payload.clone());
        let payload = said.payload.clone().or_else(passed_on).ok_or_else(|| {
            let text = "its notification has no payload: say what has happened";
            Error::Handler(manager.reactor.nonsense(text))
        })?;
        let mut cover = said.cover.clone().unwrap_or_else(|| source.cover.clone());
        source.complete(&mut cover);
        if self.process_manager_of(&cover.domain).is_none() {
            self.domain(&cover.domain)?;
        }
        let to_source = (&cover.domain, &cover.root) == (&source.cover.domain, &source.cover.root);
        let refusal = framework::name(&payload.type_url) == Some("RejectionNotification");
        let origin = match news.filter(|_| refusal && to_source) {
            Some(news) => news.origin.clone(),
            None => source.origin(index),
        };
        let book = notification(&cover, payload, &origin);
        validate::cover("notification.cover", book.cover.clone(), true)?;
        Ok((origin, book))
    }

    /// A process is told as of a refusal, everybody else by way of their compensation.
    fn notice_owed(
        &self,
        manager: &Reaction,
        origin: AngzarrDeferredSequence,
        book: CommandBook,
        run: Run<'_>,
    ) -> Obligation {
        let domain = book.cover.as_ref().map_or("", |cover| &cover.domain);
        let (owner, what) = match self.process_manager_of(domain) {
            Some(owner) => (owner, obligation::What::Rejection(book)),
            None => (manager, obligation::What::Compensation(book)),
        };
        Obligation {
            component: owner.name.clone(),
            component_type: owner.kind.name().to_owned(),
            what: Some(what),
            origin: Some(origin),
            cascade_id: run.cascade_id.map(str::to_owned),
        }
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
