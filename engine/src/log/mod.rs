//! The log: segments in address order, one writer, any number of readers.

mod cache;
pub(crate) mod codec;
pub(crate) mod frame;
mod reader;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod sealed;
mod segment;
mod spare;
mod tail_cache;
mod writer;

use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use cache::BlockCache;
pub(crate) use reader::{Frame, FrameReader};
pub(crate) use recovery::{Opened, Resume, Sizes, open};
pub(crate) use segment::{
    FORMAT_VERSION, SEGMENT_HEADER, Segment, SegmentHeader, sealed_name, segment_name,
};
pub(crate) use spare::Spare;
use tail_cache::TailCache;
pub(crate) use writer::{LogEnd, LogWriter};

use crate::types::Address;

/// The segments that readers see.
pub(crate) struct Log {
    /// In address order, never empty.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// What was read of rewritten segments.
    pub(crate) cache: BlockCache,
    tail: TailCache,
}

impl Log {
    /// A log of these segments, with a cache of this many bytes.
    pub(crate) fn new(segments: Vec<Arc<Segment>>, cache_bytes: usize) -> Self {
        assert!(
            !segments.is_empty(),
            "a log has at least the segment being written"
        );
        Self {
            segments: RwLock::new(segments),
            cache: BlockCache::new(cache_bytes),
            tail: TailCache::default(),
        }
    }

    /// The segment that holds an address, and where the next one begins.
    pub(crate) fn segment_at(&self, address: Address) -> Option<(Arc<Segment>, Option<Address>)> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.header.base <= address);
        let found = segments.get(after.checked_sub(1)?)?;
        Some((
            found.clone(),
            segments.get(after).map(|next| next.header.base),
        ))
    }

    /// Every segment, in address order.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn push(&self, segment: Arc<Segment>) {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(segment);
    }

    /// Has readers use another file for a segment from now on.
    pub(crate) fn replace(&self, segment: Arc<Segment>) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let found = segments
            .iter_mut()
            .find(|old| old.header.base == segment.header.base);
        if let Some(old) = found {
            *old = segment;
        }
    }
}

#[cfg(test)]
mod tests;
