use std::collections::BTreeMap;

use angzarr_proto::v1::{CascadeErrorMode, Cover, EventBook, Snapshot, SyncMode};
use bytes::Bytes;

/// `EventBook` with its pages left encoded, so that stored bytes reach a peer as they are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawBook {
    /// The aggregate, with the correlation id and ext of the request.
    #[prost(message, optional, tag = "1")]
    pub cover: Option<Cover>,
    /// State the pages continue from.
    #[prost(message, optional, tag = "2")]
    pub snapshot: Option<Snapshot>,
    /// Encoded `EventPage`s, in sequence order and without gaps.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub pages: Vec<Bytes>,
    /// The number the next event gets.
    #[prost(uint32, tag = "6")]
    pub next_sequence: u32,
}

/// `ContextualCommand` over a [`RawBook`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RawContextualCommand {
    #[prost(message, optional, tag = "1")]
    pub(crate) events: Option<RawBook>,
    /// An encoded `CommandBook`.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) command: Bytes,
}

/// `FactRequest` over a [`RawBook`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawFactRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) facts: Option<EventBook>,
    #[prost(message, optional, tag = "2")]
    pub(super) prior_events: Option<RawBook>,
}

/// `ReplayRequest` with its pages left encoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawReplayRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) base_snapshot: Option<Snapshot>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) events: Vec<Bytes>,
}

/// `UpcastRequest` with its pages left encoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawUpcastRequest {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) events: Vec<Bytes>,
}

/// `SagaHandleRequest` over a [`RawBook`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawSagaRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) source: Option<RawBook>,
    #[prost(enumeration = "SyncMode", tag = "2")]
    pub(super) sync_mode: i32,
    #[prost(enumeration = "CascadeErrorMode", tag = "3")]
    pub(super) cascade_error_mode: i32,
    #[prost(btree_map = "string, uint32", tag = "4")]
    pub(super) destination_sequences: BTreeMap<String, u32>,
}

/// `ProcessManagerHandleRequest` over [`RawBook`]s.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawProcessManagerRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) trigger: Option<RawBook>,
    #[prost(message, optional, tag = "2")]
    pub(super) process_state: Option<RawBook>,
    #[prost(btree_map = "string, uint32", tag = "3")]
    pub(super) destination_sequences: BTreeMap<String, u32>,
}
