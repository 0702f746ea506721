//! From what is committed to what a consumer gets: final events, in the order of the store.

use std::sync::Arc;

use angzarr_adapters::{EventStore, RecordStream, StoreError};
use angzarr_proto::store::v1::{
    Filter, ReadAllRequest, ReadAllResponse, RecordedBook, read_all_response,
};
use angzarr_proto::v1::{Confirmation, Cover};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::confirmed::confirmed;
use super::{Interest, Trigger};
use crate::coordinator::{Error, validate};
use crate::framework;
use crate::handler::RawBook;
use crate::handler::fields::PageOutline;
use crate::registry::{Input, wanted};

/// Batches read before they are asked for.
const BATCHES_AHEAD: usize = 8;

/// What a consumer has to do up to a position.
#[derive(Debug)]
pub(super) struct Batch {
    /// In order.
    pub(super) triggers: Vec<Trigger>,
    /// Everything up to here is in this batch or an earlier one, or is of no interest.
    pub(super) position: u64,
    /// There was no more when this was read.
    pub(super) caught_up: bool,
}

/// The events a consumer is interested in, from a position on and without end.
///
/// Read by a task of its own, a little ahead, so that waiting for the next batch can be broken
/// off without losing one.
pub(super) struct Feed {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    /// Ends the reading when the feed is dropped.
    _reading: JoinSet<()>,
}

impl Feed {
    /// Opens the feed behind a position.
    pub(super) async fn open(
        store: &Arc<dyn EventStore>,
        interest: &Arc<Interest>,
        after_position: u64,
    ) -> Result<Self, Error> {
        let request = ReadAllRequest {
            after_position,
            filter: Some(filter(interest)),
        };
        let records = store.subscribe(request).await?;
        let selection = Selection {
            store: Arc::clone(store),
            interest: Arc::clone(interest),
        };
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn(selection.read(records, sender));
        Ok(Self {
            batches,
            _reading: reading,
        })
    }

    /// Waits for the next batch. After an error, a new feed has to be opened.
    pub(super) async fn next(&mut self) -> Result<Batch, Error> {
        self.batches.recv().await.unwrap_or_else(|| {
            let text = "the store ended the subscription".to_owned();
            Err(StoreError::Unavailable(text).into())
        })
    }
}

/// What a consumer gets of a store.
struct Selection {
    store: Arc<dyn EventStore>,
    interest: Arc<Interest>,
}

impl Selection {
    async fn read(self, mut records: RecordStream, batches: mpsc::Sender<Result<Batch, Error>>) {
        while let Some(record) = records.next().await {
            let batch = match record {
                Ok(record) => self.batch(record).await,
                Err(error) => Err(error.into()),
            };
            let failed = batch.is_err();
            if batches.send(batch).await.is_err() || failed {
                return;
            }
        }
    }

    async fn batch(&self, record: ReadAllResponse) -> Result<Batch, Error> {
        match record.item {
            Some(read_all_response::Item::Book(book)) => self.of_book(book).await,
            Some(read_all_response::Item::Progress(progress)) => Ok(Batch {
                triggers: Vec::new(),
                position: progress.position,
                caught_up: progress.caught_up,
            }),
            None => Err(StoreError::Corrupt("a record of the store is empty".to_owned()).into()),
        }
    }

    async fn of_book(&self, recorded: RecordedBook) -> Result<Batch, Error> {
        let cover = recorded.cover.unwrap_or_default();
        let mut triggers = Vec::new();
        let mut fresh = Vec::new();
        let positions = recorded.positions.iter().copied();
        for (page, position) in recorded.pages.iter().zip(positions) {
            let outline = PageOutline::of(page).map_err(Error::damaged)?;
            if framework::name(outline.type_url) == Some("Confirmation") {
                // What became final stands before it in the stream; it is delivered now.
                triggers.extend(self.of_confirmation(&cover, &outline, position).await?);
            } else if self.wants(&cover, &outline) {
                fresh.push((page.clone(), position));
            }
        }
        let position = recorded.positions.last().copied().unwrap_or_default();
        if self.interest.single_pages {
            for (page, position) in fresh {
                triggers.extend(self.triggers(&cover, vec![page], position));
            }
        } else if let Some(first) = fresh.first().map(|(_, position)| *position) {
            let pages = fresh.into_iter().map(|(page, _)| page).collect();
            triggers.extend(self.triggers(&cover, pages, first));
        }
        Ok(Batch {
            triggers,
            position,
            caught_up: false,
        })
    }

    /// The events that a confirmation made final.
    async fn of_confirmation(
        &self,
        cover: &Cover,
        outline: &PageOutline<'_>,
        position: u64,
    ) -> Result<Vec<Trigger>, Error> {
        let Ok(confirmation) = Confirmation::decode(outline.event) else {
            return Ok(Vec::new());
        };
        let inputs = &self.interest.inputs;
        let unwanted = inputs.is_empty() && framework::is_internal(&cover.domain);
        if self.interest.pending || unwanted || confirmation.sequences.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.store.as_ref();
        let mut triggers = Vec::new();
        for (cover, pages) in confirmed(store, cover, confirmation.sequences, position).await? {
            let mut wanted = Vec::new();
            for page in pages {
                if self.wants(&cover, &PageOutline::of(&page).map_err(Error::damaged)?) {
                    wanted.push(page);
                }
            }
            triggers.extend(self.triggers(&cover, wanted, position));
        }
        Ok(triggers)
    }

    fn wants(&self, cover: &Cover, outline: &PageOutline<'_>) -> bool {
        let is_final = !outline.no_commit || self.interest.pending;
        let inputs = &self.interest.inputs;
        is_final
            && !framework::steers(outline.type_url)
            && match inputs.as_slice() {
                [] => !framework::is_internal(&cover.domain),
                inputs => wanted(inputs, &cover.domain, outline.type_url),
            }
    }

    /// Pages of one aggregate as the consumer takes them: together, or each for itself.
    fn triggers(&self, cover: &Cover, pages: Vec<Bytes>, position: u64) -> Vec<Trigger> {
        let trigger = |pages: Vec<Bytes>| Trigger::new(cover.clone(), pages, position);
        if pages.is_empty() {
            Vec::new()
        } else if self.interest.single_pages {
            pages.into_iter().map(|page| trigger(vec![page])).collect()
        } else {
            vec![trigger(pages)]
        }
    }
}

impl Trigger {
    /// Invariant of what the store gives: pages are in order and have sequences.
    pub(in crate::coordinator) fn new(cover: Cover, pages: Vec<Bytes>, position: u64) -> Self {
        let sequences: Vec<u32> = pages
            .iter()
            .filter_map(|page| PageOutline::of(page).ok()?.sequence)
            .collect();
        let root = cover.root.as_ref();
        let lane = (
            cover.domain.clone(),
            validate::edition_name(&cover).to_owned(),
            root.map(|root| root.value.clone()).unwrap_or_default(),
        );
        let next_sequence = sequences.last().map_or(0, |last| last.saturating_add(1));
        Self {
            lane,
            position,
            sequences,
            book: RawBook {
                cover: Some(cover),
                snapshot: None,
                pages,
                next_sequence,
            },
        }
    }
}

/// What the store can leave out by itself.
fn filter(interest: &Interest) -> Filter {
    let mut types = Vec::new();
    let typed = |input: &Input| !input.types.is_empty();
    if !interest.inputs.is_empty() && interest.inputs.iter().all(typed) {
        types = interest
            .inputs
            .iter()
            .flat_map(|input| input.types.clone())
            .collect();
        types.push("Confirmation".to_owned());
    }
    let mut domains: Vec<String> = interest
        .inputs
        .iter()
        .map(|input| input.domain.clone())
        .collect();
    domains.sort();
    domains.dedup();
    Filter {
        domains,
        types,
        editions: if interest.all_editions {
            Vec::new()
        } else {
            vec![String::new()]
        },
        skip_isolated: true,
        ..Filter::default()
    }
}
