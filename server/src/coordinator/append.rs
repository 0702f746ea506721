use angzarr_proto::internal::v1::Origin;
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Appended, Claim, Expected, GetClaimRequest, PendingView,
    ReadRequest, expected, read_request,
};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, Cover, EventBook, EventPage, PageHeader, SequenceRange, Snapshot,
    event_page, page_header,
};
use bytes::Bytes;
use prost::Message;

use super::compensation::origins_cover;
use super::load::{key_of, read_book};
use super::standing::Anchor;
use super::validate::Command;
use super::{Coordinator, Error, sync_mode};
use crate::framework;
use crate::handler::RawBook;

/// Events that were decided and not yet stored.
#[derive(Debug)]
pub(super) struct NewEvents {
    pub(super) cover: Cover,
    /// Numbered from `next_sequence` when that is known.
    pub(super) pages: Vec<EventPage>,
    /// `None`: at the head, wherever that is.
    pub(super) next_sequence: Option<u32>,
    pub(super) claim: Option<Claim>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) cascade_id: Option<String>,
    /// Stored for the cascade only while this is pending.
    pub(super) anchor: Option<Anchor>,
    pub(super) isolated: bool,
    /// The tuple of the command, when a component emitted it.
    pub(super) origin: Option<AngzarrDeferredSequence>,
}

impl NewEvents {
    /// Numbers the pages of a handler's answer; cover, correlation id and ext are the request's.
    /// There is a snapshot only of a book in which nothing is pending.
    pub(super) fn of_command(
        command: &Command,
        prior: &RawBook,
        mut pages: Vec<EventPage>,
        snapshot: Option<Snapshot>,
    ) -> Result<Self, Error> {
        number(&mut pages, prior.next_sequence)?;
        // An event of a cascade may still go, and then this state is none of the aggregate's.
        let settled = command.cascade_id.is_none();
        Ok(Self {
            cover: command.cover.clone(),
            snapshot: snapshot
                .filter(|_| settled)
                .and_then(|snapshot| stamp(snapshot, &pages)),
            pages,
            next_sequence: Some(prior.next_sequence),
            claim: command.claim(),
            origin: command.origin.clone(),
            cascade_id: command.cascade_id.clone(),
            anchor: command.anchor.clone(),
            isolated: sync_mode::delivery(command.mode).isolated,
        })
    }

    /// The pages as they would be stored, for a component to fold.
    pub(super) fn encoded(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.pages
            .iter()
            .map(|page| Bytes::from(page.encode_to_vec()))
    }

    /// Records in the same commit who caused the events, so that a compensation can be passed on
    /// to them. Events of a cascade are undone with it.
    fn origin_write(&self) -> Option<AggregateAppend> {
        let origin = self.origin.clone().filter(|_| self.cascade_id.is_none())?;
        let first = self.next_sequence.filter(|_| !self.pages.is_empty())?;
        let count = u32::try_from(self.pages.len()).ok()?;
        let event = Origin {
            origin: Some(origin),
            first_sequence: first,
            last_sequence: first.checked_add(count.checked_sub(1)?)?,
        };
        let page = EventPage {
            payload: Some(event_page::Payload::Event(framework::pack_internal(
                "Origin", &event,
            ))),
            ..EventPage::default()
        };
        Some(AggregateAppend {
            cover: Some(origins_cover(&self.cover)),
            pages: vec![page],
            ..AggregateAppend::default()
        })
    }

    fn into_request(self) -> AppendRequest {
        let state = self
            .next_sequence
            .map_or(expected::State::Any(true), expected::State::Next);
        let origin = self.origin_write();
        let mut writes = vec![AggregateAppend {
            cover: Some(self.cover),
            pages: self.pages,
            expected: Some(Expected { state: Some(state) }),
            claim: self.claim,
            snapshot: self.snapshot,
        }];
        writes.extend(origin);
        AppendRequest {
            writes,
            cascade_id: self.cascade_id,
            isolated: self.isolated,
            ..AppendRequest::default()
        }
    }
}

impl Coordinator {
    /// Stores pages, claim and snapshot in one commit and answers with the pages as they are
    /// stored. Without pages and claim there is nothing to store.
    pub(super) async fn append(&self, new: NewEvents) -> Result<EventBook, Error> {
        Ok(self.append_once(new).await?.0)
    }

    /// The same, telling whether the claim was known: then these are the first events.
    pub(super) async fn append_once(&self, new: NewEvents) -> Result<(EventBook, bool), Error> {
        let cover = new.cover.clone();
        let mut book = EventBook {
            pages: new.pages.clone(),
            next_sequence: new.next_sequence.unwrap_or_default(),
            ..EventBook::default()
        };
        if new.pages.is_empty() && new.claim.is_none() {
            book.cover = Some(cover);
            return Ok((book, false));
        }
        self.record_divergences(&cover).await?;
        let (cascade_id, anchor) = (new.cascade_id.clone(), new.anchor.clone());
        let mut request = new.into_request();
        if let Some(anchor) = &anchor {
            self.hold(&mut request, anchor).await?;
        }
        let _checked_in = self.registry.check_in(&mut request).await?;
        let response = self.store.append(request).await?;
        let appended = response.results.into_iter().next().unwrap_or_default();
        if appended.duplicate {
            let range = appended.first_sequence.zip(appended.last_sequence);
            let first = Box::pin(self.first_events(&cover, cascade_id, range)).await?;
            return Ok((first, true));
        }
        stamp_pages(&mut book, &appended, cascade_id.as_deref())?;
        book.cover = Some(cover);
        Ok((book, false))
    }

    /// What a deferred command already caused, if it was delivered before.
    pub(super) async fn first_delivery(
        &self,
        command: &Command,
    ) -> Result<Option<EventBook>, Error> {
        match command.claim() {
            None => Ok(None),
            Some(claim) => {
                let cascade_id = command.cascade_id.clone();
                Box::pin(self.claimed(&command.cover, claim, cascade_id)).await
            }
        }
    }

    /// The events a claim stands for, if it is known.
    pub(super) async fn claimed(
        &self,
        cover: &Cover,
        claim: Claim,
        cascade_id: Option<String>,
    ) -> Result<Option<EventBook>, Error> {
        let request = GetClaimRequest {
            cover: Some(key_of(cover)),
            claim: Some(claim),
        };
        let found = self.store.get_claim(request).await?;
        if !found.known {
            return Ok(None);
        }
        let range = found.first_sequence.zip(found.last_sequence);
        self.first_events(cover, cascade_id, range).await.map(Some)
    }

    async fn first_events(
        &self,
        cover: &Cover,
        cascade_id: Option<String>,
        range: Option<(u32, u32)>,
    ) -> Result<EventBook, Error> {
        // Without a range one page is read for the sake of the next sequence.
        let (lower, upper) = range.unwrap_or_default();
        let request = ReadRequest {
            cover: Some(key_of(cover)),
            selection: Some(read_request::Selection::Range(SequenceRange {
                lower,
                upper: Some(upper),
            })),
            pending: PendingView::Resolved.into(),
            cascade_id,
            ..ReadRequest::default()
        };
        let stored = read_book(self.store.as_ref(), request).await?;
        let pages = if range.is_some() {
            decode(&self.registry.upcast(cover, stored.pages).await?)?
        } else {
            Vec::new()
        };
        let next_sequence = range.map_or(stored.next_sequence, |(_, last)| last.saturating_add(1));
        Ok(EventBook {
            cover: Some(cover.clone()),
            pages,
            next_sequence,
            snapshot: None,
        })
    }
}

/// Decodes stored pages.
pub(super) fn decode(pages: &[Bytes]) -> Result<Vec<EventPage>, Error> {
    pages
        .iter()
        .map(|page| EventPage::decode(page.clone()).map_err(Error::damaged))
        .collect()
}

/// Gives each page its number, contiguous from `next_sequence`.
pub(super) fn number(pages: &mut [EventPage], next_sequence: u32) -> Result<(), Error> {
    let mut next = Some(next_sequence);
    for page in pages {
        let sequence = next
            .filter(|sequence| *sequence < u32::MAX)
            .ok_or_else(|| Error::invalid("the aggregate has no sequence number left"))?;
        page.header = Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
            sync_mode: None,
        });
        next = sequence.checked_add(1);
    }
    Ok(())
}

/// A snapshot stands after the last new page; without a new page there is nothing to stand on.
pub(super) fn stamp(snapshot: Snapshot, pages: &[EventPage]) -> Option<Snapshot> {
    let header = pages.last()?.header.as_ref()?;
    let Some(page_header::SequenceType::Sequence(sequence)) = header.sequence_type else {
        return None;
    };
    Some(Snapshot {
        sequence,
        created_at: None,
        ..snapshot
    })
}

/// Completes the answer with what the store decided.
fn stamp_pages(
    book: &mut EventBook,
    appended: &Appended,
    cascade_id: Option<&str>,
) -> Result<(), Error> {
    number(
        &mut book.pages,
        appended.first_sequence.unwrap_or(appended.next_sequence),
    )?;
    for page in &mut book.pages {
        page.created_at = appended.recorded_at;
        page.no_commit = cascade_id.is_some();
        page.cascade_id = cascade_id.map(str::to_owned);
    }
    book.next_sequence = appended.next_sequence;
    Ok(())
}
