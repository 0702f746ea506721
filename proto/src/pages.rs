use std::ops::Deref;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_varint, encode_varint, encoded_len_varint, skip_field,
};

use crate::frame::{FRAME_HEAD, put_frame_head};

/// Encoded `EventPage`s, kept as they stand in a `ReadResponse`: each behind its field key and its
/// length. A chunk of stored pages is thus one buffer from the log to the network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pages {
    fields: Fields,
    count: usize,
}

/// The fields of pages, behind each other.
#[derive(Debug, Clone)]
enum Fields {
    /// Put together here, behind room for the head of a frame unless there is none yet.
    Built(BytesMut),
    /// As they came: part of a message.
    Taken(Bytes),
}

impl Default for Fields {
    fn default() -> Self {
        Self::Built(BytesMut::new())
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Deref for Fields {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Built(bytes) => bytes.get(FRAME_HEAD..).unwrap_or_default(),
            Self::Taken(bytes) => bytes,
        }
    }
}

impl Fields {
    /// To add to them: what came is copied.
    fn built(&mut self) -> &mut BytesMut {
        if let Self::Taken(bytes) = self {
            let mut copy = BytesMut::with_capacity(FRAME_HEAD + bytes.len());
            copy.put_bytes(0, FRAME_HEAD);
            copy.put_slice(bytes);
            *self = Self::Built(copy);
        }
        match self {
            Self::Built(bytes) => {
                if bytes.is_empty() {
                    bytes.put_bytes(0, FRAME_HEAD);
                }
                bytes
            }
            Self::Taken(_) => unreachable!("they were copied"),
        }
    }
}

/// Key of field 3 with a length.
const KEY: u8 = 0x1a;

impl Pages {
    /// Room for so many bytes of pages, keys and lengths.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            fields: Fields::Built(BytesMut::with_capacity(FRAME_HEAD + bytes)),
            count: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a page that consists of these parts.
    pub fn push(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.begin(len as u64);
        let fields = self.fields.built();
        fields.reserve(len);
        for part in parts {
            fields.put_slice(part);
        }
    }

    /// Key and length of a page, gathered so that they are one copy.
    fn begin(&mut self, len: u64) {
        let mut head = [0; 11];
        let mut out = head.as_mut_slice();
        out.put_u8(KEY);
        encode_varint(len, &mut out);
        let left = out.len();
        let head = head.get(..head.len() - left).unwrap_or_default();
        self.fields.built().put_slice(head);
        self.count += 1;
    }

    /// The pages, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.fields;
        std::iter::from_fn(move || {
            let len = next_len(&mut rest)?;
            let (page, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(page)
        })
    }

    /// Bytes of the pages with their keys and lengths.
    pub(crate) fn encoded_len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(&self.fields);
    }

    /// A frame whose message consists of the pages and of what `more` adds, without copying pages
    /// that were put together here.
    pub(crate) fn into_frame(mut self, more: impl FnOnce(&mut BytesMut)) -> Bytes {
        let frame = self.fields.built();
        more(frame);
        put_frame_head(frame);
        std::mem::take(frame).freeze()
    }

    /// Takes the pages that a message begins with, without copying them. What does not look like a
    /// page is left.
    pub(crate) fn take(message: &mut Bytes) -> Self {
        let mut rest: &[u8] = message;
        let mut count = 0;
        while rest.first() == Some(&KEY) {
            let mut behind = rest;
            let page = next_len(&mut behind).and_then(|len| behind.get(len..));
            let Some(next) = page else { break };
            rest = next;
            count += 1;
        }
        let len = message.len() - rest.len();
        Self {
            fields: Fields::Taken(message.split_to(len)),
            count,
        }
    }

    /// Reads one page, whose key was read.
    pub(crate) fn merge(
        &mut self,
        wire_type: WireType,
        buffer: &mut impl Buf,
    ) -> Result<(), DecodeError> {
        if wire_type != WireType::LengthDelimited {
            // The same error as for any field of a wrong type.
            return prost::encoding::bytes::merge(
                wire_type,
                &mut Bytes::new(),
                buffer,
                DecodeContext::default(),
            );
        }
        let len = decode_varint(buffer)?;
        if len > buffer.remaining() as u64 {
            return skip_beyond(buffer, len);
        }
        self.begin(len);
        // Not more than what remains, which is in memory.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match buffer.chunk().get(..len) {
            Some(page) => {
                self.fields.built().put_slice(page);
                buffer.advance(len);
            }
            None => self.fields.built().put(buffer.take(len)),
        }
        Ok(())
    }
}

/// The error for a length that goes on beyond the end.
fn skip_beyond(buffer: &mut impl Buf, len: u64) -> Result<(), DecodeError> {
    let mut head = Vec::with_capacity(encoded_len_varint(len));
    encode_varint(len, &mut head);
    let mut whole = Buf::chain(head.as_slice(), buffer);
    skip_field(
        WireType::LengthDelimited,
        3,
        &mut whole,
        DecodeContext::default(),
    )
}

fn next_len(rest: &mut &[u8]) -> Option<usize> {
    let (_, behind) = rest.split_first()?;
    *rest = behind;
    usize::try_from(decode_varint(rest).ok()?).ok()
}

impl IntoIterator for Pages {
    type Item = Bytes;
    type IntoIter = IntoPages;

    /// The pages as parts of one buffer.
    fn into_iter(self) -> IntoPages {
        IntoPages(match self.fields {
            Fields::Built(mut bytes) => {
                bytes.advance(bytes.len().min(FRAME_HEAD));
                bytes.freeze()
            }
            Fields::Taken(bytes) => bytes,
        })
    }
}

/// See [`Pages::into_iter`].
#[derive(Debug)]
pub struct IntoPages(Bytes);

impl Iterator for IntoPages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut rest: &[u8] = &self.0;
        let len = next_len(&mut rest)?;
        let head = self.0.len() - rest.len();
        if len > rest.len() {
            return None;
        }
        self.0.advance(head);
        Some(self.0.split_to(len))
    }
}

impl FromIterator<Bytes> for Pages {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pages: I) -> Self {
        let mut all = Self::default();
        for page in pages {
            all.push(&[&page]);
        }
        all
    }
}
