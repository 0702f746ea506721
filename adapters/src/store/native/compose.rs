//! Between `EventPage` and what the engine stores of it: the payload field. Header, time and
//! pending state are facts of the engine's records and are written anew into each page read.

use angzarr_engine::{Page, PageMark, Sequence, Span, Timestamp};
use angzarr_proto::store::v1::Pages;
use angzarr_proto::{Dialect, v1};
use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use v1::event_page::Payload;

use super::convert;
use crate::StoreError;
use crate::store::Result;

/// Field numbers of `EventPage`.
const EVENT: u32 = 3;
const NO_COMMIT: u32 = 6;
const CASCADE_ID: u32 = 7;
/// Keys, with their wire types, of `EventPage.header` and `EventPage.created_at`, which have
/// lengths, and of the numbers in them.
const HEADER_KEY: u8 = 0x0a;
const SEQUENCE_KEY: u8 = 0x08;
const CREATED_AT_KEY: u8 = 0x12;
const SECONDS_KEY: u8 = 0x08;
const NANOS_KEY: u8 = 0x10;

/// Events of the protocol itself, hidden from resolved reads.
const FRAMEWORK: [&str; 5] = [
    "Confirmation",
    "Revocation",
    "Compensate",
    "CascadeCommit",
    "CascadeRollback",
];

/// What the engine is to store of a page.
pub(super) fn to_stored(n: usize, page: &v1::EventPage, payload_max: usize) -> Result<Page> {
    let created_at = page.created_at.as_ref();
    let created_at = created_at
        .map(|at| convert::time(&format!("pages[{n}].created_at"), at))
        .transpose()?;
    let payload = page
        .payload
        .as_ref()
        .ok_or_else(|| StoreError::Invalid(format!("pages[{n}] has no payload")))?;
    let (body, type_name) = match payload {
        Payload::Event(event) => {
            if event.value.len() > payload_max {
                return Err(StoreError::TooLarge(format!(
                    "the payload of pages[{n}] has {} bytes, the limit is {payload_max}",
                    event.value.len()
                )));
            }
            encode_event(event)
        }
        Payload::External(reference) => {
            let only = v1::EventPage {
                payload: Some(payload.clone()),
                ..Default::default()
            };
            let body = only.encode_to_vec();
            let type_name = type_in(&body, &reference.uri);
            (body, type_name)
        }
    };
    Ok(Page {
        created_at,
        type_name,
        body: body.into(),
    })
}

/// Where the fragment of a URI stands in what holds the URI: it names the type of the event
/// that the payload elsewhere is.
fn type_in(body: &[u8], uri: &str) -> Span {
    let place = body
        .windows(uri.len().max(1))
        .position(|window| window == uri.as_bytes());
    let (Some(place), Some((before, name))) = (place, uri.split_once('#')) else {
        return Span::default();
    };
    let start = place + before.len() + 1;
    match (u32::try_from(start), u32::try_from(name.len())) {
        (Ok(start), Ok(len)) => Span { start, len },
        _ => Span::default(),
    }
}

/// The field `event`, and where the type name stands in it.
fn encode_event(event: &prost_types::Any) -> (Vec<u8>, Span) {
    let len = event.encoded_len();
    let mut body = Vec::with_capacity(len + 1 + encoded_len_varint(len as u64));
    encode_key(EVENT, WireType::LengthDelimited, &mut body);
    encode_varint(len as u64, &mut body);
    // `type_url` is the first field of Any: a key byte and a length before its bytes.
    let name = event.type_url.len();
    let start = if name == 0 {
        0
    } else {
        body.len() + 1 + encoded_len_varint(name as u64)
    };
    event.encode_raw(&mut body);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(0);
    (
        body,
        Span {
            start: narrow(start),
            len: narrow(name),
        },
    )
}

/// An event of the store itself.
pub(super) fn event_page(event: &prost_types::Any) -> Page {
    let (body, type_name) = encode_event(event);
    Page {
        created_at: None,
        type_name,
        body: body.into(),
    }
}

/// An encoded page for whoever reads the store as it is.
pub(super) struct PageParts<'a> {
    pub(super) sequence: Sequence,
    pub(super) created_at: Timestamp,
    pub(super) body: &'a [u8],
    /// Empty for a committed page.
    pub(super) cascade: &'a str,
    pub(super) no_commit: bool,
}

impl PageParts<'_> {
    /// Adds the encoded page to others.
    pub(super) fn push_to(&self, pages: &mut Pages) {
        let head = self.head();
        if self.has_tail() {
            pages.push(&[head.bytes(), self.body, &self.tail()]);
        } else {
            pages.push(&[head.bytes(), self.body]);
        }
    }

    /// Bytes of the encoded page.
    pub(super) fn len(&self) -> usize {
        let tail = if self.has_tail() {
            self.tail().len()
        } else {
            0
        };
        self.head().len + self.body.len() + tail
    }

    /// Adds the encoded page to other bytes.
    pub(super) fn put_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head().bytes());
        out.extend_from_slice(self.body);
        if self.has_tail() {
            out.extend_from_slice(&self.tail());
        }
    }

    /// What stands before the stored bytes, gathered so that it is one copy.
    fn head(&self) -> Head {
        let mut head = Head {
            buffer: [0; HEAD_MAX],
            len: 0,
        };
        head.message(HEADER_KEY, |header| {
            header.number(SEQUENCE_KEY, self.sequence.get().into());
        });
        let at = convert::timestamp(self.created_at);
        head.message(CREATED_AT_KEY, |created_at| {
            if at.seconds != 0 {
                created_at.number(SECONDS_KEY, at.seconds.cast_unsigned());
            }
            if at.nanos != 0 {
                created_at.number(NANOS_KEY, at.nanos.unsigned_abs().into());
            }
        });
        head
    }

    fn has_tail(&self) -> bool {
        self.no_commit || !self.cascade.is_empty()
    }

    /// What stands behind them: nothing for most pages.
    fn tail(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.no_commit {
            encode_key(NO_COMMIT, WireType::Varint, &mut out);
            encode_varint(1, &mut out);
        }
        if !self.cascade.is_empty() {
            encode_key(CASCADE_ID, WireType::LengthDelimited, &mut out);
            encode_varint(self.cascade.len() as u64, &mut out);
            out.extend_from_slice(self.cascade.as_bytes());
        }
        out
    }
}

/// Bytes of a sequence and a time with their keys and lengths, at most: 8 and 19.
const HEAD_MAX: usize = 32;

/// The same bytes that `prost` makes, without its generality: much of what a page of a long replay
/// costs.
struct Head {
    buffer: [u8; HEAD_MAX],
    len: usize,
}

impl Head {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// A message of fewer than 128 bytes.
    fn message(&mut self, key: u8, fill: impl FnOnce(&mut Self)) {
        self.byte(key);
        let place = self.len;
        self.byte(0);
        fill(self);
        let len = u8::try_from(self.len - place - 1).unwrap_or_default();
        if let Some(place) = self.buffer.get_mut(place) {
            *place = len;
        }
    }

    fn number(&mut self, key: u8, mut value: u64) {
        self.byte(key);
        while value >= 0x80 {
            self.byte(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.byte(value.to_le_bytes()[0]);
    }
}

/// Encodes pages behind each other, so that a chunk of them is one allocation.
#[derive(Default)]
pub(super) struct Composer {
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl Composer {
    pub(super) fn with_capacity(pages: usize, bytes: usize) -> Self {
        // Header, time and keys take about 24 bytes.
        Self {
            buffer: Vec::with_capacity(bytes + pages * 24),
            ends: Vec::with_capacity(pages),
        }
    }

    pub(super) fn push(&mut self, page: &PageParts<'_>) {
        page.put_to(&mut self.buffer);
        self.ends.push(self.buffer.len());
    }

    /// The encoded pages.
    pub(super) fn finish(self) -> Vec<Bytes> {
        let mut rest = Bytes::from(self.buffer);
        let mut start = 0;
        self.ends
            .into_iter()
            .map(|end| {
                let page = rest.split_to(end - start);
                start = end;
                page
            })
            .collect()
    }
}

/// What a resolved read shows in place of a page.
pub(super) enum Shown {
    /// The page, as a committed one.
    Page,
    /// The page, still pending, to a reader of its own cascade.
    Pending,
    /// A placeholder.
    NoOp(Vec<u8>),
}

/// Decides what a resolved read shows, in the order of the contract.
pub(super) fn resolve(
    sequence: Sequence,
    type_name: &[u8],
    mark: Option<&PageMark>,
    own_cascade: &str,
) -> Shown {
    let cascade = mark.map_or("", |mark| mark.cascade.as_str());
    if is_framework(type_name) {
        return Shown::NoOp(no_op(sequence, cascade, "framework_event"));
    }
    match mark {
        Some(mark) if mark.revoked => Shown::NoOp(no_op(sequence, cascade, "revoked")),
        None => Shown::Page,
        Some(mark) if mark.cascade.is_empty() || mark.confirmed => Shown::Page,
        Some(mark) if mark.cascade == own_cascade => Shown::Pending,
        Some(_) => Shown::NoOp(no_op(sequence, cascade, "uncommitted")),
    }
}

pub(super) fn is_framework(type_name: &[u8]) -> bool {
    let Ok(type_url) = std::str::from_utf8(type_name) else {
        return false;
    };
    Dialect::of_type_url(type_url).is_some_and(|(_, name)| FRAMEWORK.contains(&name))
}

/// The payload field of a placeholder.
fn no_op(sequence: Sequence, cascade: &str, reason: &str) -> Vec<u8> {
    let message = v1::NoOp {
        original_sequence: sequence.get(),
        cascade_id: cascade.to_owned(),
        reason: reason.to_owned(),
    };
    encode_event(&framework_any("NoOp", &message)).0
}

/// A message of the protocol as an event.
pub(super) fn framework_any(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{}", Dialect::V1.qualify(name)),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_encoded_as_any_message() {
        for sequence in [0, 1, 127, 128, 300, u32::MAX] {
            for created_at in [i64::MIN, -1, 0, 1, 1_700_000_000_123_456_789, i64::MAX] {
                for cascade in ["", "c-1"] {
                    let page = PageParts {
                        sequence: Sequence::new(sequence),
                        created_at: Timestamp::from_nanos(created_at),
                        body: &[],
                        cascade,
                        no_commit: !cascade.is_empty(),
                    };
                    let sequence = v1::page_header::SequenceType::Sequence(sequence);
                    let expected = v1::EventPage {
                        header: Some(v1::PageHeader {
                            sequence_type: Some(sequence),
                            ..v1::PageHeader::default()
                        }),
                        created_at: Some(convert::timestamp(page.created_at)),
                        no_commit: page.no_commit,
                        cascade_id: (!cascade.is_empty()).then(|| cascade.to_owned()),
                        ..v1::EventPage::default()
                    };
                    let mut pages = Pages::default();
                    page.push_to(&mut pages);
                    let expected = expected.encode_to_vec();
                    assert_eq!(pages.iter().next(), Some(&*expected));
                    assert_eq!(page.len(), expected.len());
                }
            }
        }
    }
}
