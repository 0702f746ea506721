use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};
use prost_types::Timestamp;

use crate::pages::Pages;
use crate::v1::{Cover, Snapshot};

/// `angzarr.store.v1.ReadResponse` with its pages left encoded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadResponse {
    /// Domain, root and edition that were read. In the first answer only.
    pub cover: Option<Cover>,
    /// Where the reading began, when asked for and present. In the first answer only.
    pub snapshot: Option<Snapshot>,
    /// In the order asked for.
    pub pages: Pages,
    /// The number the next event of this aggregate gets. In the first answer only.
    pub next_sequence: u32,
}

/// Numbers of the fields.
mod field {
    pub(super) const COVER: u32 = 1;
    pub(super) const SNAPSHOT: u32 = 2;
    pub(super) const PAGES: u32 = 3;
    pub(super) const NEXT_SEQUENCE: u32 = 6;
}

impl ReadResponse {
    /// The message as gRPC sends it. Pages that were put together in this process stay where they
    /// are, and the other fields come behind them.
    #[must_use]
    pub fn into_frame(mut self) -> Bytes {
        let pages = std::mem::take(&mut self.pages);
        pages.into_frame(|out| self.encode_raw(out))
    }
}

impl Message for ReadResponse {
    fn encode_raw(&self, out: &mut impl BufMut) {
        if let Some(cover) = &self.cover {
            encoding::message::encode(field::COVER, cover, out);
        }
        if let Some(snapshot) = &self.snapshot {
            encoding::message::encode(field::SNAPSHOT, snapshot, out);
        }
        self.pages.encode(out);
        if self.next_sequence != 0 {
            encoding::uint32::encode(field::NEXT_SEQUENCE, &self.next_sequence, out);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            field::COVER => encoding::message::merge(
                wire_type,
                self.cover.get_or_insert_default(),
                buffer,
                context,
            ),
            field::SNAPSHOT => encoding::message::merge(
                wire_type,
                self.snapshot.get_or_insert_default(),
                buffer,
                context,
            ),
            field::PAGES => self.pages.merge(wire_type, buffer),
            field::NEXT_SEQUENCE => {
                encoding::uint32::merge(wire_type, &mut self.next_sequence, buffer, context)
            }
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    /// As any message is read, but that its pages are not copied where they stand together.
    fn merge(&mut self, mut buffer: impl Buf) -> Result<(), DecodeError> {
        let mut message = buffer.copy_to_bytes(buffer.remaining());
        while message.has_remaining() {
            if self.pages.is_empty() {
                self.pages = Pages::take(&mut message);
            }
            if message.has_remaining() {
                let (tag, wire_type) = encoding::decode_key(&mut message)?;
                self.merge_field(tag, wire_type, &mut message, DecodeContext::default())?;
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let cover = self.cover.as_ref();
        let snapshot = self.snapshot.as_ref();
        let next = self.next_sequence;
        cover.map_or(0, |cover| {
            encoding::message::encoded_len(field::COVER, cover)
        }) + snapshot.map_or(0, |s| encoding::message::encoded_len(field::SNAPSHOT, s))
            + self.pages.encoded_len()
            + if next == 0 {
                0
            } else {
                encoding::uint32::encoded_len(field::NEXT_SEQUENCE, &next)
            }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
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
