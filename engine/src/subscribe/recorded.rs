//! What a reader of the whole store gets: the events that were committed together for one aggregate.

use bytes::Bytes;

use crate::event::Span;
use crate::log::codec::BadRecord;
use crate::log::record::KeyRef;
use crate::types::{AggregateKey, CascadeId, CorrelationId, Position, Root, Sequence, Timestamp};

/// Events that were committed together for one aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The aggregate.
    pub key: AggregateKey,
    /// Their correlation id.
    pub correlation: CorrelationId,
    /// Opaque bytes that came with them.
    pub ext: Bytes,
    /// The cascade they were stored for as pending.
    pub cascade: Option<CascadeId>,
    /// Whether consumers never get them.
    pub isolated: bool,
    /// When they were committed.
    pub recorded_at: Timestamp,
    /// The events that passed the filter.
    pub pages: Vec<RecordedPage>,
}

/// One event with its place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPage {
    /// Place in the whole store.
    pub position: Position,
    /// Place in its aggregate.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: Bytes,
}

/// [`Recorded`], borrowed for as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct RecordedView<'a> {
    /// Domain of the aggregate.
    pub domain: &'a str,
    /// Its timeline; empty for main.
    pub edition: &'a str,
    /// Its root.
    pub root: Root,
    /// Correlation id of the events; may be empty.
    pub correlation: &'a str,
    /// Opaque bytes that came with them.
    pub ext: &'a [u8],
    /// The cascade they were stored for as pending.
    pub cascade: Option<&'a str>,
    /// Whether consumers never get them.
    pub isolated: bool,
    /// When they were committed.
    pub recorded_at: Timestamp,
    /// The events that passed the filter, at least one.
    pub pages: &'a [RecordedPageView<'a>],
}

/// [`RecordedPage`], borrowed for as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct RecordedPageView<'a> {
    /// Place in the whole store.
    pub position: Position,
    /// Place in its aggregate.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: &'a [u8],
}

impl RecordedView<'_> {
    /// The same to keep; the events share the bytes of `payload`, which it was borrowed from.
    pub(super) fn to_recorded(self, payload: &Bytes) -> Result<Recorded, BadRecord> {
        let key = KeyRef {
            domain: self.domain,
            edition: self.edition,
            root: self.root,
        };
        let bad_name = |_| BadRecord("a name is malformed");
        Ok(Recorded {
            key: key.to_key()?,
            correlation: CorrelationId::new(self.correlation).map_err(bad_name)?,
            ext: Bytes::copy_from_slice(self.ext),
            cascade: self
                .cascade
                .map(CascadeId::new)
                .transpose()
                .map_err(bad_name)?,
            isolated: self.isolated,
            recorded_at: self.recorded_at,
            pages: self
                .pages
                .iter()
                .map(|page| RecordedPage {
                    position: page.position,
                    sequence: page.sequence,
                    created_at: page.created_at,
                    type_name: page.type_name,
                    body: payload.slice_ref(page.body),
                })
                .collect(),
        })
    }
}
