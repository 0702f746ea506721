//! The log: segments in address order, one writer, any number of readers.

pub(crate) mod codec;
pub(crate) mod frame;
mod reader;
pub(crate) mod record;
pub(crate) mod recovery;
mod segment;
mod spare;
mod writer;

use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use reader::{Frame, FrameReader};
pub(crate) use recovery::{Opened, Resume, open};
pub(crate) use segment::{FORMAT_VERSION, SEGMENT_HEADER, Segment, SegmentHeader};
pub(crate) use spare::Spare;
pub(crate) use writer::{LogEnd, LogWriter};

use crate::types::Address;

/// The segments that readers see.
pub(crate) struct Log {
    /// In address order, never empty.
    segments: RwLock<Vec<Arc<Segment>>>,
}

impl Log {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        assert!(
            !segments.is_empty(),
            "a log has at least the segment being written"
        );
        Self {
            segments: RwLock::new(segments),
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
}
