use std::collections::BTreeMap;

use angzarr_proto::v1::{CascadeErrorMode, CommandBook, Cover, EventBook, Snapshot, SyncMode};
use bytes::Bytes;
use prost::Message;
use prost::encoding::{self, WireType};

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

/// An encoded `ContextualCommand`, of the book `events` with `pages` in place of its own.
///
/// By hand, as a message would have to own its parts: each command sends a whole book.
pub(crate) fn contextual_command(
    events: &RawBook,
    pages: &[Bytes],
    command: &CommandBook,
) -> Bytes {
    let RawBook {
        cover,
        snapshot,
        next_sequence,
        ..
    } = events;
    let next_sequence = Some(next_sequence).filter(|next| **next > 0);
    let book = length(1, cover.as_ref())
        + length(2, snapshot.as_ref())
        + encoding::bytes::encoded_len_repeated(3, pages)
        + next_sequence.map_or(0, |next| encoding::uint32::encoded_len(6, next));
    let whole = encoding::key_len(1)
        + encoding::encoded_len_varint(book as u64)
        + book
        + length(2, Some(command));

    let mut out = Vec::with_capacity(whole);
    encoding::encode_key(1, WireType::LengthDelimited, &mut out);
    encoding::encode_varint(book as u64, &mut out);
    if let Some(cover) = cover {
        encoding::message::encode(1, cover, &mut out);
    }
    if let Some(snapshot) = snapshot {
        encoding::message::encode(2, snapshot, &mut out);
    }
    encoding::bytes::encode_repeated(3, pages, &mut out);
    if let Some(next) = next_sequence {
        encoding::uint32::encode(6, next, &mut out);
    }
    encoding::message::encode(2, command, &mut out);
    out.into()
}

fn length<M: Message>(tag: u32, message: Option<&M>) -> usize {
    message.map_or(0, |message| encoding::message::encoded_len(tag, message))
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

#[cfg(test)]
mod tests;
