//! What goes into a commit and what comes out of it.

use bytes::Bytes;

use crate::types::{
    AggregateKey, CascadeId, Consumer, CorrelationId, Domain, Edition, Position, Sequence,
    Timestamp,
};

/// A change of the store that is durable as a whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Events, snapshots and keys, each aggregate at most once.
    pub writes: Vec<Write>,
    /// Expectations about aggregates that are not written.
    pub conditions: Vec<Condition>,
    /// A consumer's checkpoint to move with it.
    pub checkpoint: Option<(Consumer, Position)>,
    /// Administrative changes. A commit that has any runs alone, between two groups.
    pub controls: Vec<Control>,
}

/// What one commit does to one aggregate.
#[derive(Debug, Clone)]
pub struct Write {
    /// The aggregate.
    pub key: AggregateKey,
    /// Where the branch leaves main in this domain, if the request says so.
    pub divergence: Option<Sequence>,
    /// What must hold of the aggregate.
    pub expected: Expected,
    /// Stored with the pages.
    pub correlation: CorrelationId,
    /// Opaque bytes stored with the pages; may be empty.
    pub ext: Bytes,
    /// The cascade the pages are pending for; `None` for committed pages.
    pub cascade: Option<CascadeId>,
    /// Whether the pages are kept from consumers.
    pub isolated: bool,
    /// New events; numbered by the engine.
    pub pages: Vec<Page>,
    /// Idempotency key. A known one makes the whole commit a duplicate.
    pub claim: Option<Claim>,
    /// Snapshot to store.
    pub snapshot: Option<Snapshot>,
    /// Events of this aggregate whose pending state the new pages decide.
    pub settles: Vec<Settle>,
}

impl Write {
    /// Nothing to do to an aggregate in any state.
    #[must_use]
    pub fn to(key: AggregateKey) -> Self {
        Self {
            key,
            divergence: None,
            expected: Expected::Any,
            correlation: CorrelationId::default(),
            ext: Bytes::new(),
            cascade: None,
            isolated: false,
            pages: Vec::new(),
            claim: None,
            snapshot: None,
            settles: Vec::new(),
        }
    }
}

/// An event as it is stored: bytes the engine does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// When it happened; the time of the commit if not given.
    pub created_at: Option<Timestamp>,
    /// Where in `body` the event's type name stands.
    pub type_name: Span,
    /// The payload.
    pub body: Bytes,
}

/// A range of bytes; empty for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes of the range, or none if it does not lie within `body`.
    #[must_use]
    pub fn of(self, body: &[u8]) -> &[u8] {
        let start = self.start as usize;
        body.get(start..start.saturating_add(self.len as usize))
            .unwrap_or_default()
    }
}

/// What must hold of an aggregate at the moment of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// It has no events on its timeline, inherited ones included.
    NoEvents,
    /// Its next sequence is this one.
    Next(Sequence),
}

/// An expectation about an aggregate that is not written.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The aggregate.
    pub key: AggregateKey,
    /// What must hold of it.
    pub expected: Expected,
}

/// An idempotency key of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// What kind of delivery it is the key of.
    pub kind: Bytes,
    /// The key.
    pub key: Bytes,
}

/// The events a claim stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRange {
    /// The first; the aggregate's next sequence of that time when there were none.
    pub first: Sequence,
    /// How many.
    pub count: u32,
}

/// How long a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Until a newer one is written.
    Default,
    /// For ever.
    Persist,
    /// Until a newer one is written.
    Transient,
}

/// The state of an aggregate after one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event it includes.
    pub sequence: Sequence,
    /// How long it is kept.
    pub retention: Retention,
    /// When it was taken; the time of the commit if not given.
    pub created_at: Option<Timestamp>,
    /// The state.
    pub state: Bytes,
}

/// A decision about events of the aggregate being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// What is decided.
    pub verdict: Verdict,
    /// About which events; ones that do not exist are passed over.
    pub sequences: Vec<Sequence>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is final.
    Confirmed,
    /// It is void, confirmed or not.
    Revoked,
}

/// An administrative change.
#[derive(Debug, Clone)]
pub enum Control {
    /// Records where a branch leaves main in a domain.
    Fork {
        /// The branch.
        edition: Edition,
        /// The domain.
        domain: Domain,
        /// The branch sees main's events below this; `None` only makes the branch known.
        divergence: Option<Sequence>,
    },
    /// Removes what a branch holds in a domain.
    DeleteEdition {
        /// The branch.
        edition: Edition,
        /// The domain; `None` for all.
        domain: Option<Domain>,
    },
    /// Deletes a snapshot that is not the newest.
    DeleteSnapshot {
        /// Whose.
        key: AggregateKey,
        /// Which.
        sequence: Sequence,
    },
    /// Refuses the commit unless the pending events of a cascade are exactly these.
    ExpectPending {
        /// The cascade.
        cascade: CascadeId,
        /// Each participant with its pending sequences, in key order.
        participants: Vec<(AggregateKey, Vec<Sequence>)>,
    },
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// One per write, in order.
    pub results: Vec<Outcome>,
    /// Global position of the last event stored, or of the store when nothing was.
    pub position: Position,
    /// Time of the commit: the `created_at` of pages that came without one.
    pub recorded_at: Timestamp,
    /// Events removed, for a commit that deletes an edition.
    pub deleted: u64,
}

/// What a commit did to one aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Sequence of the first new event, or of the first delivery's.
    pub first: Sequence,
    /// How many events that were.
    pub count: u32,
    /// The aggregate's next sequence.
    pub next: Sequence,
    /// The claim was known and nothing was stored.
    pub duplicate: bool,
}
