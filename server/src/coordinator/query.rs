use std::pin::Pin;
use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::{
    ListAggregatesRequest, ListCorrelatedRequest, ListDomainsRequest, PendingView, ReadRequest,
    read_request,
};
use angzarr_proto::v1::{AggregateRoot, Cover, EventBook, Query, query};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost_types::Timestamp;

use super::load::key_of;
use super::parts::Parts;
use super::{Error, Limits, speculation, validate};
use crate::framework;
use crate::registry::Registry;

/// Results of a query, made as they are asked for.
pub type Results<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// Names fetched from the store at a time.
const NAMES: u32 = 500;

/// Bytes of pages in one book of a stream: with room for the rest of the message it passes the
/// 4 MiB that client libraries accept by default.
const PART_BYTES: usize = 7 * 512 * 1024;

/// Answers questions about stored events. Sees what is final, not what is pending.
#[derive(Clone)]
pub struct Queries {
    store: Arc<dyn EventStore>,
    limits: Limits,
    upcasters: Arc<Registry>,
}

/// A query whose fields were checked.
struct Question {
    cover: Cover,
    selection: Option<read_request::Selection>,
}

impl Queries {
    /// Queries over `store`; one book holds at most `limits.message_bytes`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, limits: Limits) -> Self {
        Self {
            store,
            limits,
            upcasters: Arc::default(),
        }
    }

    /// Answers with the newest form of events, where `registry` has a component for it.
    #[must_use]
    pub fn with_upcasters(mut self, registry: Arc<Registry>) -> Self {
        self.upcasters = registry;
        self
    }

    /// One book: that of the aggregate named, or of the first one with the correlation id. An
    /// aggregate without events is an empty book.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field, [`Error::TooLong`] says how to ask for less.
    pub async fn book(&self, query: Query) -> Result<EventBook, Error> {
        let question = check(query)?;
        let cover = question.cover.clone();
        let mut books = self.clone().answer(question, self.limits.message_bytes);
        let Some(book) = books.try_next().await? else {
            return Ok(EventBook {
                cover: Some(cover),
                ..EventBook::default()
            });
        };
        let rest = if cover.root.is_some() {
            books.try_next().await?
        } else {
            None
        };
        if rest.is_some() {
            return Err(Error::TooLong(format!(
                "the book is longer than {} bytes (limits.message_bytes): ask for a range, or \
                 use GetEvents, which sends it in parts",
                self.limits.message_bytes
            )));
        }
        Ok(book)
    }

    /// Every book that matches, in the order of their first event. A long one comes in several
    /// parts, one behind the other.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn books(&self, query: Query) -> Result<Results<EventBook>, Error> {
        let question = check(query)?;
        Ok(self
            .clone()
            .answer(question, PART_BYTES.min(self.limits.message_bytes)))
    }

    /// Every aggregate with events on the main timeline, but for those of the server itself.
    #[must_use]
    pub fn roots(&self) -> Results<AggregateRoot> {
        let queries = self.clone();
        self.clone()
            .domains()
            .try_filter(|domain| std::future::ready(!framework::is_internal(domain)))
            .map_ok(move |domain| queries.clone().roots_of(domain))
            .try_flatten()
            .boxed()
    }

    fn answer(self, question: Question, part_bytes: usize) -> Results<EventBook> {
        if question.cover.root.is_some() {
            return self.parts(question.cover, question.selection, part_bytes);
        }
        let Question { cover, selection } = question;
        self.clone()
            .correlated(cover.clone())
            .map_ok(move |found| self.clone().parts(found, selection.clone(), part_bytes))
            .try_flatten()
            .boxed()
    }

    /// The pages of one aggregate, cut where a message would become too long.
    fn parts(
        self,
        cover: Cover,
        selection: Option<read_request::Selection>,
        part_bytes: usize,
    ) -> Results<EventBook> {
        let key = Cover {
            correlation_id: cover.correlation_id.clone(),
            ..key_of(&cover)
        };
        let request = ReadRequest {
            cover: Some(key),
            selection,
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        let opened = async move {
            let chunks = self.store.read(request).await?;
            let parts = Parts::new(cover, chunks, part_bytes, self.upcasters);
            Ok::<_, Error>(stream::try_unfold(parts, |mut parts| async move {
                Ok(parts.next().await?.map(|book| (book, parts)))
            }))
        };
        stream::once(opened).try_flatten().boxed()
    }

    /// The aggregates of a correlation id, narrowed to the domain and edition of `wanted`.
    fn correlated(self, wanted: Cover) -> impl Stream<Item = Result<Cover, Error>> + Send {
        paged(move |page_token| {
            let (store, wanted) = (Arc::clone(&self.store), wanted.clone());
            async move {
                let request = ListCorrelatedRequest {
                    correlation_id: wanted.correlation_id.clone(),
                    page_size: NAMES,
                    page_token,
                };
                let found = store.list_correlated(request).await?;
                let matching = found
                    .covers
                    .into_iter()
                    .filter(|cover| {
                        cover.domain == wanted.domain || !framework::is_internal(&cover.domain)
                    })
                    .filter_map(|cover| narrow(cover, &wanted));
                Ok((matching.collect(), found.next_page_token))
            }
        })
    }

    fn domains(self) -> impl Stream<Item = Result<String, Error>> + Send {
        paged(move |page_token| {
            let store = Arc::clone(&self.store);
            async move {
                let request = ListDomainsRequest {
                    page_size: NAMES,
                    page_token,
                };
                let found = store.list_domains(request).await?;
                Ok((found.domains, found.next_page_token))
            }
        })
    }

    fn roots_of(self, domain: String) -> impl Stream<Item = Result<AggregateRoot, Error>> + Send {
        paged(move |page_token| {
            let (store, domain) = (Arc::clone(&self.store), domain.clone());
            async move {
                let request = ListAggregatesRequest {
                    domain: domain.clone(),
                    page_size: NAMES,
                    page_token,
                    ..ListAggregatesRequest::default()
                };
                let found = store.list_aggregates(request).await?;
                let roots = found.aggregates.into_iter().map(|aggregate| AggregateRoot {
                    domain: domain.clone(),
                    root: aggregate.root,
                });
                Ok((roots.collect(), found.next_page_token))
            }
        })
    }
}

/// Checks that a time can be meant.
pub(super) fn check_time(field: &str, time: &Timestamp) -> Result<(), Error> {
    if (0..1_000_000_000).contains(&time.nanos) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{field}.nanos is {}: it counts from 0 to 999999999",
        time.nanos
    )))
}

/// The items of a list that the store hands out in pages.
fn paged<T, F, R>(fetch: F) -> impl Stream<Item = Result<T, Error>> + Send
where
    T: Send + 'static,
    F: Fn(String) -> R + Send + 'static,
    R: Future<Output = Result<(Vec<T>, String), Error>> + Send + 'static,
{
    stream::try_unfold((fetch, Some(String::new())), |(fetch, token)| async move {
        let Some(token) = token else { return Ok(None) };
        let (items, next) = fetch(token).await?;
        let next = Some(next).filter(|next| !next.is_empty());
        Ok::<_, Error>(Some((
            stream::iter(items.into_iter().map(Ok)),
            (fetch, next),
        )))
    })
    .try_flatten()
}

fn narrow(found: Cover, wanted: &Cover) -> Option<Cover> {
    let domain = wanted.domain.is_empty() || wanted.domain == found.domain;
    let edition = validate::edition_name(wanted) == validate::edition_name(&found);
    // The query's edition may carry divergences.
    (domain && edition).then(|| Cover {
        correlation_id: wanted.correlation_id.clone(),
        edition: wanted.edition.clone(),
        ..key_of(&found)
    })
}

fn check(query: Query) -> Result<Question, Error> {
    let mut cover = query
        .cover
        .ok_or_else(|| Error::invalid("cover is missing"))?;
    validate::id_text("cover.correlation_id", &cover.correlation_id)?;
    if cover.root.is_some() || cover.correlation_id.is_empty() {
        cover = validate::cover("cover", Some(cover), true).map_err(|error| match error {
            Error::Invalid(text) if text.starts_with("cover.root is missing") => Error::invalid(
                "cover names neither a root nor a correlation id: set one of them, or both",
            ),
            error => error,
        })?;
    } else {
        if !cover.domain.is_empty() {
            validate::domain("cover.domain", &cover.domain)?;
        }
        cover.edition = validate::edition("cover.edition", cover.edition)?;
    }
    cover.ext = None;
    let selection = query.selection.map(selection).transpose()?;
    Ok(Question { cover, selection })
}

fn selection(selection: query::Selection) -> Result<read_request::Selection, Error> {
    match selection {
        query::Selection::Range(range) if range.upper.is_some_and(|upper| upper < range.lower) => {
            Err(Error::invalid(format!(
                "range.upper is {} and below range.lower, which is {}",
                range.upper.unwrap_or_default(),
                range.lower
            )))
        }
        query::Selection::Range(range) => Ok(read_request::Selection::Range(range)),
        query::Selection::Sequences(set) => Ok(read_request::Selection::Sequences(set)),
        query::Selection::Temporal(point) => speculation::selection("temporal", &point),
    }
}
