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
const HEADER: u32 = 1;
const CREATED_AT: u32 = 2;
const EVENT: u32 = 3;
const NO_COMMIT: u32 = 6;
const CASCADE_ID: u32 = 7;
/// `PageHeader.sequence`.
const SEQUENCE: u32 = 1;

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
        let mut head = [0; HEAD_MAX];
        pages.push(&[self.head(&mut head), self.body, &self.tail()]);
    }

    /// What stands before the stored bytes, gathered so that it is one copy.
    fn head<'a>(&self, buffer: &'a mut [u8; HEAD_MAX]) -> &'a [u8] {
        let mut out = buffer.as_mut_slice();
        let sequence = u64::from(self.sequence.get());
        encode_key(HEADER, WireType::LengthDelimited, &mut out);
        encode_varint(1 + encoded_len_varint(sequence) as u64, &mut out);
        encode_key(SEQUENCE, WireType::Varint, &mut out);
        encode_varint(sequence, &mut out);
        let created_at = convert::timestamp(self.created_at);
        encode_key(CREATED_AT, WireType::LengthDelimited, &mut out);
        encode_varint(created_at.encoded_len() as u64, &mut out);
        created_at.encode_raw(&mut out);
        let left = out.len();
        buffer.get(..HEAD_MAX - left).unwrap_or_default()
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

/// Bytes of a sequence and a time with their keys and lengths, at most: 8 and 24, with 10 for each
/// number of a time that is negative.
const HEAD_MAX: usize = 32;

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
        let mut head = [0; HEAD_MAX];
        for part in [page.head(&mut head), page.body, &page.tail()] {
            self.buffer.extend_from_slice(part);
        }
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
    fn the_longest_head_fits() {
        let mut pages = Pages::default();
        for created_at in [i64::MIN, -1, 0, i64::MAX] {
            let page = PageParts {
                sequence: Sequence::new(u32::MAX),
                created_at: Timestamp::from_nanos(created_at),
                body: &[],
                cascade: "",
                no_commit: false,
            };
            page.push_to(&mut pages);
        }
        for page in pages.iter() {
            let page = v1::EventPage::decode(page).unwrap();
            let sequence = page.header.unwrap().sequence_type.unwrap();
            let last = v1::page_header::SequenceType::Sequence(u32::MAX);
            assert_eq!(sequence, last);
            assert!(page.created_at.is_some());
        }
    }
}
