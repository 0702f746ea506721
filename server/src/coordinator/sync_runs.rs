//! Keeps components from running twice for an event that a request waits for.
//!
//! In this process, the delivery of an event waits while a request may still run components for
//! it, and is told of those that ran by claims, which are durable before the request is answered.
//! After a crash only the claims are left: what has none is delivered as any other event.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use angzarr_proto::store::v1::{AggregateAppend, AppendRequest, Claim, GetClaimRequest};
use angzarr_proto::v1::{Cover, EventBook, Uuid, page_header};
use tokio::sync::Notify;

use super::claim::event_key;
use super::{Coordinator, Error, validate};

/// Where it is recorded which component ran for which event.
const DOMAIN: &str = "angzarr.sync";
const KIND: &str = "sync";

type Lane = (String, String, Vec<u8>);

/// Requests that wait for reactions, by aggregate.
#[derive(Debug, Default)]
pub(super) struct SyncRuns {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: Mutex<HashMap<Lane, Vec<Entry>>>,
    changed: Notify,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    /// First and last sequence of the events, once they are stored.
    range: Option<(u32, u32)>,
}

/// A request between its decision and the end of its reactions.
#[derive(Debug)]
pub(super) struct SyncRun {
    state: Arc<State>,
    lane: Lane,
    id: u64,
}

impl SyncRuns {
    /// Announces events of an aggregate. Before they are stored: whoever sees them then finds
    /// the announcement.
    pub(super) fn enter(&self, cover: &Cover) -> SyncRun {
        let lane = lane(cover);
        let id = self.state.next_id.fetch_add(1, Ordering::Relaxed);
        self.state
            .lanes()
            .entry(lane.clone())
            .or_default()
            .push(Entry { id, range: None });
        SyncRun {
            state: Arc::clone(&self.state),
            lane,
            id,
        }
    }

    /// Waits for those that may have stored these events. One that comes later cannot have.
    pub(super) async fn settled(&self, cover: &Cover, sequences: &[u32]) {
        let lane = lane(cover);
        let mut ids: Option<Vec<u64>> = None;
        loop {
            let changed = self.state.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let blocking = self.state.blocking(&lane, sequences, ids.as_deref());
            if blocking.is_empty() {
                return;
            }
            ids = Some(blocking);
            changed.await;
        }
    }
}

impl State {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Vec<Entry>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blocking(&self, lane: &Lane, sequences: &[u32], among: Option<&[u64]>) -> Vec<u64> {
        let lanes = self.lanes();
        let entries = lanes.get(lane).map(Vec::as_slice).unwrap_or_default();
        let may_hold = |entry: &&Entry| match entry.range {
            None => true,
            Some((first, last)) => sequences.iter().any(|s| (first..=last).contains(s)),
        };
        entries
            .iter()
            .filter(|entry| among.is_none_or(|ids| ids.contains(&entry.id)))
            .filter(may_hold)
            .map(|entry| entry.id)
            .collect()
    }
}

impl SyncRun {
    /// Says which events it is about.
    pub(super) fn stored(&self, book: &EventBook) {
        let sequences = sequences(book);
        if let (Some(first), Some(last)) = (sequences.first(), sequences.last()) {
            self.stored_range(*first, *last);
        }
    }

    pub(super) fn stored_range(&self, first: u32, last: u32) {
        let mut lanes = self.state.lanes();
        let entries = lanes.get_mut(&self.lane);
        if let Some(entry) = entries.and_then(|all| all.iter_mut().find(|e| e.id == self.id)) {
            entry.range = Some((first, last));
        }
        drop(lanes);
        self.state.changed.notify_waiters();
    }
}

impl Drop for SyncRun {
    fn drop(&mut self) {
        let mut lanes = self.state.lanes();
        if let Some(entries) = lanes.get_mut(&self.lane) {
            entries.retain(|entry| entry.id != self.id);
            if entries.is_empty() {
                lanes.remove(&self.lane);
            }
        }
        drop(lanes);
        self.state.changed.notify_waiters();
    }
}

/// A component that ran for an event while a request waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    /// Name of its checkpoint: a rebuild has another, and gets the event.
    pub(super) consumer: String,
    pub(super) sequence: u32,
}

impl Coordinator {
    /// Records which components ran for events of an aggregate; durable when it returns.
    pub(super) async fn record_ran(&self, cover: &Cover, ran: &[Ran]) -> Result<(), Error> {
        // One commit takes a bounded number of aggregates.
        for some in ran.chunks(1000) {
            let write = |ran: &Ran| AggregateAppend {
                cover: Some(ran_cover(cover, ran)),
                claim: Some(ran_claim(cover, ran)),
                ..AggregateAppend::default()
            };
            let request = AppendRequest {
                writes: some.iter().map(write).collect(),
                ..AppendRequest::default()
            };
            self.store.append(request).await?;
        }
        Ok(())
    }

    /// Whether a component ran for an event while a request waited.
    pub(super) async fn has_run(&self, cover: &Cover, ran: &Ran) -> Result<bool, Error> {
        let request = GetClaimRequest {
            cover: Some(ran_cover(cover, ran)),
            claim: Some(ran_claim(cover, ran)),
        };
        Ok(self.store.get_claim(request).await?.known)
    }
}

fn ran_claim(cover: &Cover, ran: &Ran) -> Claim {
    Claim {
        kind: KIND.to_owned(),
        key: event_key(&ran.consumer, cover, ran.sequence),
    }
}

/// Each claim has an aggregate of its own: a commit may name one only once.
fn ran_cover(cover: &Cover, ran: &Ran) -> Cover {
    let key = event_key(&ran.consumer, cover, ran.sequence);
    let root = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &key);
    Cover {
        domain: DOMAIN.to_owned(),
        root: Some(Uuid {
            value: root.as_bytes().to_vec(),
        }),
        ..Cover::default()
    }
}

/// The numbers of the pages of a stored book.
pub(super) fn sequences(book: &EventBook) -> Vec<u32> {
    let pages = book.pages.iter();
    pages
        .filter_map(|page| match page.header.as_ref()?.sequence_type {
            Some(page_header::SequenceType::Sequence(sequence)) => Some(sequence),
            _ => None,
        })
        .collect()
}

fn lane(cover: &Cover) -> Lane {
    let root = cover.root.as_ref();
    (
        cover.domain.clone(),
        validate::edition_name(cover).to_owned(),
        root.map(|root| root.value.clone()).unwrap_or_default(),
    )
}
