//! Books of aggregates that are commanded again and again, kept in memory.
//!
//! Nothing is taken on trust: a kept book is used when the store says that nothing was added to
//! its aggregate, which takes no look at the log. What decides about earlier events is an event of
//! the same aggregate, so that nothing in the book can have changed either.

use std::sync::Arc;

use angzarr_proto::store::v1::{PendingView, ReadRequest, read_request};
use angzarr_proto::v1::{Cover, EventBook, SequenceRange};
use bytes::Bytes;
use prost::Message;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::load::{Loaded, key_of, read_book};
use super::validate::{self, Command};
use super::{Coordinator, Error, cascade};
use crate::handler::RawBook;
use crate::registry::{Domain, Snapshots};

/// What one book may take of all: long ones are sent to their handlers at a cost beside which
/// that of reading is small.
const SHARE: usize = 16;
/// For the cache to begin with.
const BOOK_BYTES: usize = 2048;

/// Books of main, in which nothing is pending, and which begin with the first event: a snapshot
/// may be taken away at any time.
pub(super) struct Books {
    /// `None` keeps nothing.
    cache: Option<Kept>,
    book_max: usize,
}

type Kept = Cache<Key, Arc<Book>, Size, DefaultHashBuilder>;

/// Root and domain.
type Key = Box<[u8]>;

/// A book as it is kept.
pub(super) struct KeptBook {
    key: Key,
    book: Arc<Book>,
}

struct Book {
    pages: Pages,
    next_sequence: u32,
}

/// Pages as they are stored, one behind the other: a long book is one piece of memory, not one for
/// each page.
#[derive(Clone, Default)]
struct Pages {
    bytes: Bytes,
    /// Where each page ends.
    ends: Vec<usize>,
}

impl Books {
    /// Keeps about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(bytes / BOOK_BYTES + 1)
            .weight_capacity(bytes as u64)
            .build()
            .ok()
            .filter(|_| bytes > 0);
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self {
            cache: options.map(|options| Cache::with_options(options, Size, hasher, lifecycle)),
            book_max: bytes / SHARE,
        }
    }

    fn get(&self, key: &Key) -> Option<Arc<Book>> {
        self.cache.as_ref()?.get(key)
    }

    /// Keeps `before` and `added`, or nothing when that is too much.
    fn keep(
        &self,
        key: Key,
        before: &Pages,
        added: &[Bytes],
        next_sequence: u32,
    ) -> Option<KeptBook> {
        let cache = self.cache.as_ref()?;
        if before.bytes.len() + added.iter().map(Bytes::len).sum::<usize>() > self.book_max {
            cache.remove(&key);
            return None;
        }
        let book = Arc::new(Book {
            pages: before.followed_by(added),
            next_sequence,
        });
        cache.insert(key.clone(), Arc::clone(&book));
        Some(KeptBook { key, book })
    }

    fn forget(&self, key: &Key) {
        if let Some(cache) = &self.cache {
            cache.remove(key);
        }
    }
}

impl Pages {
    fn followed_by(&self, added: &[Bytes]) -> Self {
        let more: usize = added.iter().map(Bytes::len).sum();
        let mut bytes = Vec::with_capacity(self.bytes.len() + more);
        let mut ends = Vec::with_capacity(self.ends.len() + added.len());
        bytes.extend_from_slice(&self.bytes);
        ends.extend_from_slice(&self.ends);
        for page in added {
            bytes.extend_from_slice(page);
            ends.push(bytes.len());
        }
        let bytes = bytes.into();
        Self { bytes, ends }
    }

    fn to_vec(&self) -> Vec<Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(self.ends.iter().copied());
        ranges
            .map(|(start, end)| self.bytes.slice(start..end))
            .collect()
    }
}

impl Coordinator {
    /// The kept book of the aggregate that a command is for, with what was added since.
    pub(super) async fn kept(&self, command: &Command) -> Result<Option<Loaded>, Error> {
        let Some(key) = key(command) else {
            return Ok(None);
        };
        let Some(book) = self.books.get(&key) else {
            return Ok(None);
        };
        let mut pages = book.pages.to_vec();
        let mut next_sequence = book.next_sequence;
        let kept = if self.store.next_sequence(&command.cover).await? == next_sequence {
            Some(KeptBook { key, book })
        } else {
            let added = self.added(&command.cover, next_sequence).await?;
            let usable = added.next_sequence > next_sequence
                && !cascade::holds_decision(&added.pages)?
                && !cascade::holds_pending(&added.pages)?;
            if !usable {
                self.books.forget(&key);
                return Ok(None);
            }
            next_sequence = added.next_sequence;
            let kept = self
                .books
                .keep(key, &book.pages, &added.pages, next_sequence);
            pages.extend(added.pages);
            kept
        };
        Ok(Some(Loaded {
            book: RawBook {
                cover: Some(command.cover.clone()),
                snapshot: None,
                pages,
                next_sequence,
            },
            settled: true,
            kept,
        }))
    }

    /// Keeps the book that was read for a command, in which nothing is pending, if books like it
    /// are kept.
    pub(super) fn keep(
        &self,
        domain: &Domain,
        command: &Command,
        book: &RawBook,
    ) -> Option<KeptBook> {
        // Who wants every snapshot wants those of others, too, as soon as they are there.
        let keeps = domain.snapshots != Snapshots::Always && book.snapshot.is_none();
        let key = key(command).filter(|_| keeps)?;
        let nothing = Pages::default();
        self.books
            .keep(key, &nothing, &book.pages, book.next_sequence)
    }

    /// Adds the events that a command caused to the book it was decided on. Not where large
    /// payloads may have been put elsewhere: the next load adds what is stored.
    pub(super) fn keep_new(&self, decided_on: KeptBook, new: &EventBook) {
        if new.pages.is_empty() || self.registry.keeps_payloads_elsewhere() {
            return;
        }
        let KeptBook { key, book } = decided_on;
        let pages = new.pages.iter();
        let added: Vec<_> = pages.map(|page| page.encode_to_vec().into()).collect();
        self.books.keep(key, &book.pages, &added, new.next_sequence);
    }

    /// The next load uses the snapshot that was stored.
    pub(super) fn forget(&self, command: &Command) {
        if let Some(key) = key(command) {
            self.books.forget(&key);
        }
    }

    async fn added(&self, cover: &Cover, from: u32) -> Result<RawBook, Error> {
        let request = ReadRequest {
            cover: Some(key_of(cover)),
            selection: Some(read_request::Selection::Range(SequenceRange {
                lower: from,
                upper: None,
            })),
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        read_book(self.store.as_ref(), request).await
    }
}

/// `None` for books that are not kept.
fn key(command: &Command) -> Option<Key> {
    let cover = &command.cover;
    let kept = command.cascade_id.is_none() && validate::edition_name(cover).is_empty();
    let root = cover.root.as_ref().filter(|_| kept)?;
    Some(
        [root.value.as_slice(), cover.domain.as_bytes()]
            .concat()
            .into(),
    )
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Arc<Book>> for Size {
    fn weight(&self, key: &Key, book: &Arc<Book>) -> u64 {
        /// Of a place in the cache and a book, about.
        const OWN: usize = 256;
        let Pages { bytes, ends } = &book.pages;
        let ends = ends.len().saturating_mul(size_of::<usize>());
        let parts = [key.len(), bytes.len(), ends, OWN];
        parts.into_iter().fold(0, usize::saturating_add) as u64
    }
}
