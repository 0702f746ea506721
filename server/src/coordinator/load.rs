use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::{PendingView, ReadRequest, read_request};
use angzarr_proto::v1::{Cover, SequenceRange};
use futures::StreamExt;

use super::books::KeptBook;
use super::validate::Command;
use super::{Coordinator, Error, cascade};
use crate::handler::RawBook;
use crate::registry::{Domain, Snapshots};

/// What a command is decided on.
pub(super) struct Loaded {
    pub(super) book: RawBook,
    /// Whether none of its pages may still come or go.
    pub(super) settled: bool,
    /// The book, if it is kept.
    pub(super) kept: Option<KeptBook>,
}

impl Coordinator {
    /// Reads what the handler decides on: the newest usable snapshot and the pages after it,
    /// pending state resolved for the cascade of the command.
    pub(super) async fn load(&self, domain: &Domain, command: &Command) -> Result<Loaded, Error> {
        if let Some(kept) = self.kept(command).await? {
            return Ok(kept);
        }
        let book = self
            .load_at(domain, &command.cover, command.cascade_id.clone(), None)
            .await?;
        let settled = !cascade::holds_pending(&book.pages)?;
        let kept = if settled {
            self.keep(domain, command, &book)
        } else {
            None
        };
        Ok(Loaded {
            book,
            settled,
            kept,
        })
    }

    /// The same for another cascade or an earlier point.
    pub(super) async fn load_at(
        &self,
        domain: &Domain,
        cover: &Cover,
        cascade_id: Option<String>,
        selection: Option<read_request::Selection>,
    ) -> Result<RawBook, Error> {
        let at_head = selection.is_none();
        let request = ReadRequest {
            cover: Some(key_of(cover)),
            selection,
            with_snapshot: domain.snapshots != Snapshots::Never,
            pending: PendingView::Resolved.into(),
            cascade_id,
            ..ReadRequest::default()
        };
        let mut book = read_book(self.store.as_ref(), request.clone()).await?;
        if self.is_outdated(&book, at_head).await? {
            let whole = ReadRequest {
                with_snapshot: false,
                ..request
            };
            book = read_book(self.store.as_ref(), whole).await?;
        }
        book.cover = Some(cover.clone());
        Ok(book)
    }

    /// Whether events under the snapshot may have been confirmed or revoked after it was taken:
    /// then its state is no longer that of a full replay. The next snapshot serves again.
    async fn is_outdated(&self, book: &RawBook, at_head: bool) -> Result<bool, Error> {
        let Some(snapshot) = &book.snapshot else {
            return Ok(false);
        };
        if at_head {
            return cascade::holds_decision(&book.pages);
        }
        // What is decided behind the point of the reading counts too.
        let lower = snapshot.sequence.saturating_add(1);
        let request = ReadRequest {
            cover: book.cover.as_ref().map(key_of),
            selection: Some(read_request::Selection::Range(SequenceRange {
                lower,
                upper: None,
            })),
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        cascade::holds_decision(&read_book(self.store.as_ref(), request).await?.pages)
    }

    /// Brings stored events to their newest form, where the domain has a component for it.
    pub(super) async fn upcast(&self, book: RawBook) -> Result<RawBook, Error> {
        let cover = book.cover.clone().unwrap_or_default();
        let pages = self.registry.upcast(&cover, book.pages).await?;
        Ok(RawBook { pages, ..book })
    }
}

/// Collects the chunks of one aggregate.
pub(super) async fn read_book(
    store: &dyn EventStore,
    request: ReadRequest,
) -> Result<RawBook, Error> {
    let mut chunks = store.read(request).await?;
    let mut book = RawBook::default();
    let mut first = true;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if first {
            book = RawBook {
                cover: chunk.cover,
                snapshot: chunk.snapshot,
                pages: chunk.pages.into_iter().collect(),
                next_sequence: chunk.next_sequence,
            };
            first = false;
        } else {
            book.pages.extend(chunk.pages);
        }
    }
    Ok(book)
}

/// The aggregate of a cover alone: a correlation id would narrow the reading.
pub(super) fn key_of(cover: &Cover) -> Cover {
    Cover {
        domain: cover.domain.clone(),
        root: cover.root.clone(),
        edition: cover.edition.clone(),
        ..Cover::default()
    }
}
