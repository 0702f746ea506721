//! Hands committed events to those who react to them: durable, at least once, in the order of
//! each aggregate, different aggregates side by side. Nothing is polled.

mod confirmed;
mod control;
mod feed;
mod lanes;
mod round;
mod start;
mod trouble;
mod watermark;
mod work;

use angzarr_proto::v1::{Cover, PayloadRetrievalFailedDetails};

use super::Error;
use crate::handler::{RawBook, Retries};
use crate::registry::Input;
use lanes::Lane;

pub use control::{Consumers, Progress, SteerError};
pub(super) use control::{Control, Controls};
pub(super) use round::Delivery;

/// Something that has to be handed over.
#[derive(Debug, Clone)]
pub(super) struct Trigger {
    lane: Lane,
    /// Where it stands in the store, or where it became final.
    pub(super) position: u64,
    /// Of the pages of the book, in order.
    pub(super) sequences: Vec<u32>,
    /// The new pages; the cover is that of the commit.
    pub(super) book: RawBook,
}

impl Trigger {
    /// The same without some of its pages; `None` without any.
    pub(super) fn without(&self, sequences: &[u32]) -> Option<Self> {
        let kept = |sequence: &u32| !sequences.contains(sequence);
        let pages = self.sequences.iter().zip(&self.book.pages);
        let pages: Vec<_> = pages
            .filter(|(sequence, _)| kept(sequence))
            .map(|(_, page)| page.clone())
            .collect();
        (!pages.is_empty()).then(|| Self::new(self.cover(), pages, self.position))
    }

    pub(super) fn cover(&self) -> Cover {
        self.book.cover.clone().unwrap_or_default()
    }

    /// Bytes of its pages.
    fn bytes(&self) -> usize {
        self.book.pages.iter().map(bytes::Bytes::len).sum()
    }

    /// The highest sequence, by which targets know a second delivery.
    pub(super) fn sequence(&self) -> u32 {
        self.sequences.last().copied().unwrap_or_default()
    }
}

/// What a consumer wants and how it is treated.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    /// Whose it is, for the figures.
    pub(super) component: String,
    /// Without any: every domain that is not internal.
    pub(super) inputs: Vec<Input>,
    pub(super) all_editions: bool,
    /// A new consumer begins with what comes after its first start.
    pub(super) from_now: bool,
    /// Each event for itself; otherwise those of a commit together.
    pub(super) single_pages: bool,
    /// Pending events when they are stored, in place of when they are confirmed.
    pub(super) pending: bool,
    pub(super) retries: Retries,
    /// Triggers of different aggregates worked on at a time.
    pub(super) concurrency: usize,
}

/// Why a trigger was not taken.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The same may succeed later.
    pub(super) transient: bool,
    pub(super) text: String,
    /// A payload that could not be fetched.
    pub(super) payload: Option<PayloadRetrievalFailedDetails>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            transient: error.is_worth_retrying(),
            text: error.to_string(),
            payload: error.lost_payload(),
        }
    }
}

/// Somebody to whom events are handed.
#[tonic::async_trait]
pub(super) trait Consumer: Send + Sync + 'static {
    /// What of a trigger is still to be delivered; `None` when nothing is. May wait.
    async fn ready(&self, trigger: &Trigger) -> Result<Option<Trigger>, Error>;

    /// Takes a trigger. It counts as done when this returns `Ok`, and may come again after a
    /// crash until then and a little longer.
    async fn deliver(&self, trigger: &Trigger) -> Result<(), Failure>;

    /// Puts a trigger aside that could not be delivered; `attempts` is 0 when trying again was
    /// no use. It has to be durable when this returns `Ok`.
    async fn give_up(
        &self,
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error>;

    /// Deliveries begin, for the first time or after a reset.
    fn begins(&self, generation: u32);
}
