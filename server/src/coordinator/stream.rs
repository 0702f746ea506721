use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::{
    Filter, PendingView, ReadAllRequest, ReadRequest, RecordedBook, StatsRequest,
    read_all_response, read_request,
};
use angzarr_proto::v1::{
    Confirmation, Cover, EventBook, EventPage, EventStreamFilter, SequenceSet, event_page,
    page_header,
};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;

use super::append::decode;
use super::load::{key_of, read_book};
use super::query::Results;
use super::{Error, validate};
use crate::framework;
use crate::registry::Registry;

/// Live events, as they become final.
#[derive(Clone)]
pub struct Streams {
    store: Arc<dyn EventStore>,
    upcasters: Arc<Registry>,
}

impl Streams {
    /// Streams over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            upcasters: Arc::default(),
        }
    }

    /// Delivers the newest form of events, where `registry` has a component for it.
    #[must_use]
    pub fn with_upcasters(mut self, registry: Arc<Registry>) -> Self {
        self.upcasters = registry;
        self
    }

    /// The events of a correlation id from now on, each when it is final: pending ones when
    /// they are confirmed, revoked ones never. Nothing is held for a subscriber: a slow one is
    /// served from the log.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub async fn subscribe(&self, filter: EventStreamFilter) -> Result<Results<EventBook>, Error> {
        let correlation_id = filter.correlation_id;
        if correlation_id.is_empty() {
            return Err(Error::invalid(
                "correlation_id is missing: name the one whose events are wanted",
            ));
        }
        validate::id_text("correlation_id", &correlation_id)?;
        let after_position = self.store.stats(StatsRequest {}).await?.position;
        let published = self
            .recorded(after_position, of_correlation(&correlation_id))
            .await?;
        let published = published
            .try_filter_map(|book| std::future::ready(visible(book)))
            .boxed();
        let confirmed = self.confirmed(after_position, correlation_id).await?;
        let upcasters = Arc::clone(&self.upcasters);
        Ok(stream::select(published, confirmed)
            .and_then(move |book| newest(Arc::clone(&upcasters), book))
            .boxed())
    }

    /// Events that were pending, when they are confirmed.
    async fn confirmed(
        &self,
        after_position: u64,
        correlation_id: String,
    ) -> Result<Results<EventBook>, Error> {
        let streams = self.clone();
        let confirmations = self.recorded(after_position, of_confirmations()).await?;
        Ok(confirmations
            .map_ok(|book| stream::iter(confirmations_in(&book)))
            .try_flatten()
            .and_then(move |confirmation| {
                streams
                    .clone()
                    .final_events(confirmation, correlation_id.clone())
            })
            .try_filter_map(|book| std::future::ready(Ok(Some(book).filter(has_pages))))
            .boxed())
    }

    /// What a confirmation made final of the events with the correlation id.
    async fn final_events(
        self,
        confirmation: Confirmed,
        correlation_id: String,
    ) -> Result<EventBook, Error> {
        let key = key_of(&confirmation.target);
        let request = ReadRequest {
            cover: Some(Cover {
                correlation_id: correlation_id.clone(),
                ..key.clone()
            }),
            selection: Some(read_request::Selection::Sequences(SequenceSet {
                values: confirmation.sequences,
            })),
            pending: PendingView::Resolved.into(),
            skip_isolated: true,
            ..ReadRequest::default()
        };
        let stored = read_book(self.store.as_ref(), request).await?;
        let mut pages = decode(&stored.pages)?;
        pages.retain(|page| !steers(page));
        Ok(book(
            Cover {
                correlation_id,
                ..key
            },
            pages,
        ))
    }

    async fn recorded(
        &self,
        after_position: u64,
        filter: Filter,
    ) -> Result<Results<RecordedBook>, Error> {
        let request = ReadAllRequest {
            after_position,
            filter: Some(filter),
        };
        let records = self.store.subscribe(request).await?;
        Ok(records
            .map_err(Error::from)
            .try_filter_map(|record| {
                std::future::ready(Ok(match record.item {
                    Some(read_all_response::Item::Book(book)) => Some(book),
                    Some(read_all_response::Item::Progress(_)) | None => None,
                }))
            })
            .boxed())
    }
}

/// Events of one aggregate that a confirmation names.
#[derive(Debug, Clone, PartialEq)]
struct Confirmed {
    target: Cover,
    sequences: Vec<u32>,
}

fn of_correlation(correlation_id: &str) -> Filter {
    Filter {
        correlation_id: correlation_id.to_owned(),
        skip_isolated: true,
        ..Filter::default()
    }
}

fn of_confirmations() -> Filter {
    Filter {
        types: vec!["Confirmation".to_owned()],
        skip_isolated: true,
        ..Filter::default()
    }
}

/// A book with its events in their newest form.
async fn newest(upcasters: Arc<Registry>, book: EventBook) -> Result<EventBook, Error> {
    let cover = book.cover.clone().unwrap_or_default();
    let pages = book.pages.iter().map(|page| page.encode_to_vec().into());
    let pages = upcasters.upcast(&cover, pages.collect()).await?;
    Ok(EventBook {
        pages: decode(&pages)?,
        ..book
    })
}

/// The pages of a commit that are final, if any.
fn visible(recorded: RecordedBook) -> Result<Option<EventBook>, Error> {
    let cover = recorded.cover.unwrap_or_default();
    if framework::is_internal(&cover.domain) {
        return Ok(None);
    }
    let mut pages = decode(&recorded.pages)?;
    pages.retain(|page| !page.no_commit && !steers(page));
    Ok(Some(book(cover, pages)).filter(has_pages))
}

fn confirmations_in(recorded: &RecordedBook) -> Vec<Result<Confirmed, Error>> {
    let confirmation = |page: EventPage| {
        let Some(event_page::Payload::Event(any)) = page.payload else {
            return None;
        };
        if framework::name(&any.type_url) != Some("Confirmation") {
            return None;
        }
        let confirmation = Confirmation::decode(any.value.as_slice()).ok()?;
        // A confirmation stands in the stream whose events it confirms.
        let target = recorded.cover.as_ref().map(key_of)?;
        Some(Ok(Confirmed {
            target,
            sequences: confirmation.sequences,
        }))
    };
    match decode(&recorded.pages) {
        Ok(pages) => pages.into_iter().filter_map(confirmation).collect(),
        Err(error) => vec![Err(error)],
    }
}

fn steers(page: &EventPage) -> bool {
    match &page.payload {
        Some(event_page::Payload::Event(any)) => framework::steers(&any.type_url),
        _ => false,
    }
}

fn has_pages(book: &EventBook) -> bool {
    !book.pages.is_empty()
}

fn book(cover: Cover, pages: Vec<EventPage>) -> EventBook {
    let last = pages
        .last()
        .and_then(|page| page.header.as_ref())
        .and_then(|header| match header.sequence_type {
            Some(page_header::SequenceType::Sequence(sequence)) => Some(sequence),
            _ => None,
        });
    let next_sequence = last.map_or(0, |last| last.saturating_add(1));
    EventBook {
        cover: Some(cover),
        pages,
        next_sequence,
        snapshot: None,
    }
}
