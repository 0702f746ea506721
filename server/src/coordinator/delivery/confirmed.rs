//! Events that became final after they were stored.

use std::collections::BTreeMap;

use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::{
    Filter, PendingView, ReadAllRequest, ReadRequest, read_all_response, read_request,
};
use angzarr_proto::v1::{Cover, SequenceSet};
use bytes::Bytes;
use futures::StreamExt;

use crate::coordinator::load::{key_of, read_book};
use crate::coordinator::{Error, validate};
use crate::handler::fields::PageOutline;

/// Positions before a confirmation that are looked through first. Cascades are settled soon.
const WINDOW: u64 = 4096;
/// By how much the next stretch, further back, is longer.
const WIDER: u64 = 8;

/// The pages of an aggregate that a confirmation at `position` names, as far as they are final,
/// in order, each run with the cover it was stored with.
pub(super) async fn confirmed(
    store: &dyn EventStore,
    cover: &Cover,
    sequences: Vec<u32>,
    position: u64,
) -> Result<Vec<(Cover, Vec<Bytes>)>, Error> {
    let request = ReadRequest {
        cover: Some(key_of(cover)),
        selection: Some(read_request::Selection::Sequences(SequenceSet {
            values: sequences,
        })),
        // Those that were revoked since are placeholders here.
        pending: PendingView::Resolved.into(),
        skip_isolated: true,
        ..ReadRequest::default()
    };
    let pages = read_book(store, request).await?.pages;
    let mut numbered = Vec::with_capacity(pages.len());
    for page in pages {
        let sequence = PageOutline::of(&page).map_err(Error::damaged)?.sequence;
        numbered.extend(sequence.map(|sequence| (sequence, page)));
    }
    let mut covers = covers(store, cover, &numbered, position).await?;
    let mut runs: Vec<(Cover, Vec<Bytes>)> = Vec::new();
    for (sequence, page) in numbered {
        let own = covers.remove(&sequence).unwrap_or_else(|| cover.clone());
        match runs.last_mut() {
            Some((last, pages)) if *last == own => pages.push(page),
            _ => runs.push((own, vec![page])),
        }
    }
    Ok(runs)
}

/// The covers with which pages were stored, by sequence. The confirmation does not carry their
/// correlation id: it is found in the log, going back from the confirmation.
async fn covers(
    store: &dyn EventStore,
    cover: &Cover,
    wanted: &[(u32, Bytes)],
    position: u64,
) -> Result<BTreeMap<u32, Cover>, Error> {
    let root = cover.root.as_ref();
    let filter = Filter {
        domains: vec![cover.domain.clone()],
        editions: vec![validate::edition_name(cover).to_owned()],
        roots: root.map(|root| root.value.clone()).into_iter().collect(),
        ..Filter::default()
    };
    let mut found = BTreeMap::new();
    let (mut end, mut window) = (position, WINDOW);
    while found.len() < wanted.len() && end > 0 {
        let after_position = end.saturating_sub(window);
        let request = ReadAllRequest {
            after_position,
            filter: Some(filter.clone()),
        };
        let mut records = store.read_all(request).await?;
        while let Some(record) = records.next().await {
            let Some(read_all_response::Item::Book(book)) = record?.item else {
                continue;
            };
            if book.positions.first().is_none_or(|first| *first > end) {
                break;
            }
            let stored = book.cover.unwrap_or_default();
            for page in &book.pages {
                let sequence = PageOutline::of(page).map_err(Error::damaged)?.sequence;
                let asked = wanted.iter().find(|(number, _)| Some(*number) == sequence);
                if let Some((number, _)) = asked {
                    found.insert(*number, stored.clone());
                }
            }
        }
        end = after_position;
        window = window.saturating_mul(WIDER);
    }
    Ok(found)
}
