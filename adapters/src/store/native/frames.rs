//! Answers of `ReadAll` and `Subscribe` written from the log's bytes as a gRPC server sends them,
//! so that an event is one copy and no allocation of its own.

use angzarr_engine::{RecordedPageView, RecordedView};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::{FRAME_HEAD, put_frame_head};
use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint};

use super::compose::PageParts;
use super::convert;

/// Numbers of the fields.
mod field {
    /// Of `ReadAllResponse`.
    pub(super) const BOOK: u32 = 1;
    /// Of `RecordedBook`.
    pub(super) const COVER: u32 = 1;
    pub(super) const PAGES: u32 = 2;
    pub(super) const POSITIONS: u32 = 3;
    pub(super) const RECORDED_AT: u32 = 4;
    pub(super) const ISOLATED: u32 = 5;
    /// Of `Cover`.
    pub(super) const ROOT: u32 = 1;
    pub(super) const DOMAIN: u32 = 2;
    pub(super) const CORRELATION_ID: u32 = 3;
    pub(super) const EDITION: u32 = 4;
    pub(super) const EXT: u32 = 6;
    /// Of `UUID` and of `Edition`.
    pub(super) const VALUE: u32 = 1;
    pub(super) const NAME: u32 = 1;
}

/// Frames behind each other.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds any message.
    pub(super) fn push(&mut self, message: &pb::ReadAllResponse) {
        self.framed(|out| message.encode_raw(out));
    }

    /// Adds events that were committed together.
    pub(super) fn push_book(&mut self, book: &RecordedView<'_>) {
        let cover = cover_len(book);
        let pages = book
            .pages
            .iter()
            .map(|page| len_of(parts(book, page).len()));
        let positions = book.pages.iter().map(|page| page.position.get());
        let positions_len = positions.clone().map(encoded_len_varint).sum::<usize>();
        let recorded_at = convert::timestamp(book.recorded_at);
        let len = len_of(cover)
            + pages.sum::<usize>()
            + len_of(positions_len)
            + len_of(recorded_at.encoded_len())
            + if book.isolated { 2 } else { 0 };
        self.framed(|out| {
            put_len(field::BOOK, len, out);
            put_len(field::COVER, cover, out);
            put_cover(book, out);
            for page in book.pages {
                let parts = parts(book, page);
                put_len(field::PAGES, parts.len(), out);
                parts.put_to(out);
            }
            put_len(field::POSITIONS, positions_len, out);
            positions.for_each(|position| encode_varint(position, out));
            encoding::message::encode(field::RECORDED_AT, &recorded_at, out);
            if book.isolated {
                encoding::bool::encode(field::ISOLATED, &true, out);
            }
        });
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.into()
    }

    fn framed(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.put_bytes(0, FRAME_HEAD);
        fill(&mut self.bytes);
        put_frame_head(self.bytes.get_mut(start..).unwrap_or_default());
    }
}

fn parts<'a>(book: &RecordedView<'a>, page: &RecordedPageView<'a>) -> PageParts<'a> {
    let cascade = book.cascade.unwrap_or_default();
    PageParts {
        sequence: page.sequence,
        created_at: page.created_at,
        body: page.body,
        cascade,
        no_commit: !cascade.is_empty(),
    }
}

fn cover_len(book: &RecordedView<'_>) -> usize {
    let some = |len: usize| if len == 0 { 0 } else { len_of(len) };
    let edition = some(book.edition.len());
    len_of(len_of(book.root.as_bytes().len()))
        + some(book.domain.len())
        + some(book.correlation.len())
        + some(edition)
        + some(book.ext.len())
}

fn put_cover(book: &RecordedView<'_>, out: &mut Vec<u8>) {
    let put = |field, bytes: &[u8], out: &mut Vec<u8>| {
        if !bytes.is_empty() {
            put_len(field, bytes.len(), out);
            out.extend_from_slice(bytes);
        }
    };
    let root = book.root.as_bytes();
    put_len(field::ROOT, len_of(root.len()), out);
    put(field::VALUE, root, out);
    put(field::DOMAIN, book.domain.as_bytes(), out);
    put(field::CORRELATION_ID, book.correlation.as_bytes(), out);
    if !book.edition.is_empty() {
        put_len(field::EDITION, len_of(book.edition.len()), out);
        put(field::NAME, book.edition.as_bytes(), out);
    }
    // An encoded `Any`, as it came with the append.
    put(field::EXT, book.ext, out);
}

/// Bytes of a field with a length, its key being one byte.
fn len_of(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_len(field: u32, len: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

#[cfg(test)]
mod tests;
