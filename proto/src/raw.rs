use bytes::Bytes;
use prost_types::Timestamp;

use crate::v1::{Cover, Snapshot};

/// `angzarr.store.v1.ReadResponse` with its pages left encoded.
///
/// Each element of `pages` is one encoded `EventPage`: on the wire a repeated message and a
/// repeated bytes field are the same, so stored pages are passed on without decoding.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    /// Domain, root and edition that were read. In the first answer only.
    #[prost(message, optional, tag = "1")]
    pub cover: Option<Cover>,
    /// Where the reading began, when asked for and present. In the first answer only.
    #[prost(message, optional, tag = "2")]
    pub snapshot: Option<Snapshot>,
    /// Encoded `EventPage`s in the order asked for.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub pages: Vec<Bytes>,
    /// The number the next event of this aggregate gets. In the first answer only.
    #[prost(uint32, tag = "6")]
    pub next_sequence: u32,
}

/// `angzarr.store.v1.RecordedBook` with its pages left encoded.
///
/// Invariant: `pages` and `positions` have the same length.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordedBook {
    /// Aggregate, with the correlation id and ext of the append.
    #[prost(message, optional, tag = "1")]
    pub cover: Option<Cover>,
    /// Encoded `EventPage`s in sequence order.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub pages: Vec<Bytes>,
    /// Global position of each page.
    #[prost(uint64, repeated, tag = "3")]
    pub positions: Vec<u64>,
    /// When the pages were committed.
    #[prost(message, optional, tag = "4")]
    pub recorded_at: Option<Timestamp>,
    /// No component but a reader of the raw store gets these pages.
    #[prost(bool, tag = "5")]
    pub isolated: bool,
}
