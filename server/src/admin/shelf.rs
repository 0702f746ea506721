//! Where dead letters stand, and what became of each: folded from their streams, a page further
//! with every question.

use std::collections::BTreeSet;
use std::sync::Arc;

use angzarr_adapters::{EventStore, StoreError};
use angzarr_proto::admin::v1::{DeadLetterDomain, DeadLetterReplayFailed, DeadLetterReplayed};
use angzarr_proto::status::ReplayMode;
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Claim, Expected, ListDomainsRequest, ReadRequest, expected,
    read_request,
};
use angzarr_proto::v1::{Cover, EventPage, SequenceRange, event_page};
use futures::StreamExt;
use prost::Message;
use prost_types::Any;
use tokio::sync::{Mutex, MutexGuard};

use super::AdminError;
use super::folded::{
    Domain, Folded, Key, PACKAGE, PREFIX, Place, State, event, numbers, sequence, stream_of,
};
use crate::framework;

/// Names fetched from the store at a time.
const NAMES: u32 = 500;

/// All dead letters by age. Bounded by their number: some sixty bytes each.
pub(super) struct Shelf {
    store: Arc<dyn EventStore>,
    folded: Mutex<Folded>,
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            folded: Mutex::default(),
        }
    }

    /// Letters older than `cursor`, newest first.
    pub(super) async fn before(
        &self,
        cursor: Option<Key>,
        count: usize,
    ) -> Result<Vec<Key>, AdminError> {
        let folded = self.caught_up().await?;
        let keys = match cursor {
            None => folded.by_age.range(..),
            Some(cursor) => folded.by_age.range(..cursor),
        };
        Ok(keys.rev().take(count).copied().collect())
    }

    /// Where a letter stands, unless it is not there or was deleted.
    pub(super) async fn place(&self, id: i64) -> Result<Option<(Place, State)>, AdminError> {
        Ok(self.caught_up().await?.place(id))
    }

    /// The same as far as the last question that caught up.
    pub(super) async fn recall(&self, id: i64) -> Option<(Place, State)> {
        self.folded.lock().await.place(id)
    }

    pub(super) async fn was_deleted(&self, id: i64) -> Result<bool, AdminError> {
        let folded = self.caught_up().await?;
        Ok(folded
            .locate(id)
            .is_some_and(|(domain, sequence)| domain.deleted.contains(&sequence)))
    }

    /// Records something that happens to a letter once. Gives whether this was the time.
    pub(super) async fn record_once(
        &self,
        kind: &'static str,
        place: &Place,
        event: &impl Message,
    ) -> Result<bool, AdminError> {
        let claim = Claim {
            kind: kind.to_owned(),
            key: place.sequence.to_be_bytes().to_vec(),
        };
        let recorded = self.append(place.cover(), kind, event, Some(claim), None);
        let recorded = recorded.await?;
        drop(self.caught_up().await?);
        Ok(recorded)
    }

    /// Records the outcome of a replay.
    pub(super) async fn record_replay(
        &self,
        place: &Place,
        mode: ReplayMode,
        requested_by: String,
        failure: Option<&AdminError>,
    ) -> Result<(), AdminError> {
        let (sequence, mode) = (place.sequence, mode.into());
        if let Some(failure) = failure {
            let event = DeadLetterReplayFailed {
                sequence,
                mode,
                requested_by,
                error: failure.to_string(),
            };
            self.append(place.cover(), "DeadLetterReplayFailed", &event, None, None)
                .await?;
            return Ok(());
        }
        let event = DeadLetterReplayed {
            sequence,
            mode,
            requested_by,
        };
        self.record_once("DeadLetterReplayed", place, &event)
            .await?;
        Ok(())
    }

    /// The fold of everything that is stored now.
    async fn caught_up(&self) -> Result<MutexGuard<'_, Folded>, AdminError> {
        let mut folded = self.folded.lock().await;
        self.number_domains(&mut folded).await?;
        for number in 0..folded.domains.len() {
            self.fold(&mut folded, number).await?;
        }
        Ok(folded)
    }

    /// Gives each domain with dead letters a number that it keeps.
    async fn number_domains(&self, folded: &mut Folded) -> Result<(), AdminError> {
        let names = self.domains_with_letters().await?;
        loop {
            let known: BTreeSet<_> = folded.domains.iter().map(|domain| &domain.name).collect();
            let Some(new) = names.iter().find(|name| !known.contains(name)) else {
                return Ok(());
            };
            let next = u32::try_from(folded.domains.len()).unwrap_or(u32::MAX);
            let (_, pages) = self.read(numbers(), next).await?;
            if pages.is_empty() {
                let event = DeadLetterDomain {
                    domain: new.clone(),
                };
                let appended = self.append(numbers(), "DeadLetterDomain", &event, None, Some(next));
                match appended.await {
                    // Somebody else numbered one: read it.
                    Ok(_) | Err(AdminError::Store(StoreError::Conflict { .. })) => continue,
                    Err(error) => return Err(error),
                }
            }
            // Each page takes a number, so that one that is none of ours shifts nothing.
            let names = pages.iter().map(event::<DeadLetterDomain>);
            let names = names.map(|event| event.unwrap_or_default().domain);
            folded.domains.extend(names.map(Domain::new));
        }
    }

    async fn domains_with_letters(&self) -> Result<Vec<String>, AdminError> {
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListDomainsRequest {
                page_size: NAMES,
                page_token,
            };
            let found = self.store.list_domains(request).await?;
            let letters = found.domains.iter();
            names.extend(letters.filter_map(|name| Some(name.strip_prefix(PREFIX)?.to_owned())));
            if found.next_page_token.is_empty() {
                return Ok(names);
            }
            page_token = found.next_page_token;
        }
    }

    /// Takes in what a domain's stream has gained.
    async fn fold(&self, folded: &mut Folded, number: usize) -> Result<(), AdminError> {
        let Some(domain) = folded.domains.get(number) else {
            return Ok(());
        };
        let (next, pages) = self.read(stream_of(&domain.name), domain.next).await?;
        for page in pages {
            folded.take(number, &page);
        }
        if let Some(domain) = folded.domains.get_mut(number) {
            domain.next = next;
        }
        Ok(())
    }

    async fn read(&self, cover: Cover, lower: u32) -> Result<(u32, Vec<EventPage>), AdminError> {
        let request = ReadRequest {
            cover: Some(cover),
            selection: Some(read_request::Selection::Range(SequenceRange {
                lower,
                upper: None,
            })),
            ..ReadRequest::default()
        };
        let mut chunks = self.store.read(request).await?;
        let (mut next, mut pages) = (lower, Vec::new());
        while let Some(chunk) = chunks.next().await {
            for page in chunk?.pages {
                let page = EventPage::decode(page).map_err(damaged)?;
                next = sequence(&page).saturating_add(1);
                pages.push(page);
            }
        }
        Ok((next, pages))
    }

    async fn append(
        &self,
        cover: Cover,
        kind: &str,
        event: &impl Message,
        claim: Option<Claim>,
        next: Option<u32>,
    ) -> Result<bool, AdminError> {
        let event = Any {
            type_url: format!("{}{PACKAGE}{kind}", framework::TYPE_URL_PREFIX),
            value: event.encode_to_vec(),
        };
        let state = next.map_or(expected::State::Any(true), expected::State::Next);
        let write = AggregateAppend {
            cover: Some(cover),
            pages: vec![EventPage {
                payload: Some(event_page::Payload::Event(event)),
                ..EventPage::default()
            }],
            expected: Some(Expected { state: Some(state) }),
            claim,
            snapshot: None,
        };
        let request = AppendRequest {
            writes: vec![write],
            ..AppendRequest::default()
        };
        let appended = self.store.append(request).await?;
        let duplicate = appended
            .results
            .first()
            .is_some_and(|first| first.duplicate);
        Ok(!duplicate)
    }
}

pub(super) fn damaged(what: impl std::fmt::Display) -> AdminError {
    AdminError::Store(StoreError::Corrupt(format!(
        "a stored page cannot be read: {what}"
    )))
}
