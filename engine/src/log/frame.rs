//! The header that every commit in the log begins with.

use crate::types::{Address, Position, Timestamp};

/// Bytes of a frame header.
pub(crate) const HEADER_LEN: usize = 64;
/// Frames begin at addresses divisible by this; the gap is filled with zeros.
pub(crate) const ALIGN: usize = 8;
/// First four bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = [0xA7, 0x5A, 0x46, 0x31];

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records of one commit.
    Commit,
    /// Nothing: written for the sake of its `durable`.
    Mark,
}

/// A frame header whose checksum has been verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where in the log the frame begins.
    pub(crate) address: Address,
    /// The log was known to be synced up to here when the frame was written.
    pub(crate) durable: Address,
    /// Position of the first event in the frame, or of the next event if there is none.
    pub(crate) position: Position,
    /// Never less than the previous frame's.
    pub(crate) recorded_at: Timestamp,
    /// Bytes of payload.
    pub(crate) payload_len: u32,
    /// Checksum of the payload, seeded with the segment's salt.
    pub(crate) payload_crc: u32,
    /// Checksum of the previous frame's header.
    pub(crate) previous: u32,
    /// What the payload is.
    pub(crate) kind: Kind,
    /// Events in the frame.
    pub(crate) events: u32,
    /// Checksum of this header.
    pub(crate) crc: u32,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the frame's first bytes are missing")]
    Magic,
    #[error("the frame header's checksum does not match")]
    HeaderChecksum,
    #[error("the frame belongs to another address")]
    Address,
    #[error("the frame's length is beyond the limit")]
    Length,
    #[error("the frame goes on beyond the end of the file")]
    Incomplete,
    #[error("the frame's payload checksum does not match")]
    PayloadChecksum,
    #[error("the frame has an unknown kind or flag")]
    Unknown,
    #[error("the bytes between two frames are not zero")]
    Padding,
    #[error("the frame does not follow the one before it")]
    Chain,
}

impl Header {
    /// Bytes from the start of this frame to the start of the next.
    pub(crate) fn frame_len(&self) -> u64 {
        padded(HEADER_LEN as u64 + u64::from(self.payload_len))
    }

    /// Address of the next frame.
    pub(crate) fn end(&self) -> Address {
        self.address.plus(self.frame_len())
    }

    /// Position of the first event after this frame.
    pub(crate) fn next_position(&self) -> Position {
        self.position.plus(u64::from(self.events))
    }

    /// Verifies and reads a header that was found at `address` in a segment with this salt.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_LEN],
        salt: u32,
        address: Address,
    ) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(Malformed::Magic);
        }
        let crc = u32::from_le_bytes(fields.take());
        if crc != checksum(salt, fields.0) {
            return Err(Malformed::HeaderChecksum);
        }
        let header = Self {
            address: Address::new(u64::from_le_bytes(fields.take())),
            durable: Address::new(u64::from_le_bytes(fields.take())),
            position: Position::new(u64::from_le_bytes(fields.take())),
            recorded_at: Timestamp::from_nanos(i64::from_le_bytes(fields.take())),
            payload_len: u32::from_le_bytes(fields.take()),
            payload_crc: u32::from_le_bytes(fields.take()),
            previous: u32::from_le_bytes(fields.take()),
            kind: match u16::from_le_bytes(fields.take()) {
                1 => Kind::Commit,
                2 => Kind::Mark,
                _ => return Err(Malformed::Unknown),
            },
            events: {
                if fields.take() != [0, 0] {
                    return Err(Malformed::Unknown);
                }
                u32::from_le_bytes(fields.take())
            },
            crc,
        };
        if fields.take() != [0; 4] {
            return Err(Malformed::Unknown);
        }
        if header.address != address {
            return Err(Malformed::Address);
        }
        if header.payload_len > crate::limits::PAYLOAD_MAX {
            return Err(Malformed::Length);
        }
        Ok(header)
    }

    /// The header as it stands in a segment with this salt.
    pub(crate) fn to_bytes(self, salt: u32) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        self.encode(salt, &mut bytes);
        bytes
    }

    /// Writes the header, and returns its checksum.
    fn encode(&self, salt: u32, out: &mut [u8; HEADER_LEN]) -> u32 {
        let kind: u16 = match self.kind {
            Kind::Commit => 1,
            Kind::Mark => 2,
        };
        let mut body = [0; HEADER_LEN - 8];
        let mut rest = body.as_mut_slice();
        for field in [
            self.address.get().to_le_bytes().as_slice(),
            &self.durable.get().to_le_bytes(),
            &self.position.get().to_le_bytes(),
            &self.recorded_at.nanos().to_le_bytes(),
            &self.payload_len.to_le_bytes(),
            &self.payload_crc.to_le_bytes(),
            &self.previous.to_le_bytes(),
            &kind.to_le_bytes(),
            &0u16.to_le_bytes(),
            &self.events.to_le_bytes(),
        ] {
            let (target, tail) = rest.split_at_mut(field.len());
            target.copy_from_slice(field);
            rest = tail;
        }
        let crc = checksum(salt, &body);
        let (magic, rest) = out.split_at_mut(4);
        magic.copy_from_slice(&MAGIC);
        let (checksum, rest) = rest.split_at_mut(4);
        checksum.copy_from_slice(&crc.to_le_bytes());
        rest.copy_from_slice(&body);
        crc
    }
}

/// Verifies the payload and the padding of a frame.
///
/// `frame` begins at the header and may go on beyond the frame's end.
pub(crate) fn check_payload(header: &Header, salt: u32, frame: &[u8]) -> Result<(), Malformed> {
    let payload_end = HEADER_LEN + header.payload_len as usize;
    let end = usize::try_from(header.frame_len()).map_err(|_| Malformed::Length)?;
    let payload = frame
        .get(HEADER_LEN..payload_end)
        .ok_or(Malformed::Incomplete)?;
    let padding = frame.get(payload_end..end).ok_or(Malformed::Incomplete)?;
    if checksum(salt, payload) != header.payload_crc {
        return Err(Malformed::PayloadChecksum);
    }
    if padding.iter().any(|&b| b != 0) {
        return Err(Malformed::Padding);
    }
    Ok(())
}

/// Everything of a header that is known before its payload is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) durable: Address,
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) previous: u32,
    pub(crate) salt: u32,
}

/// Appends a frame to `out`, with the payload that `fill` writes.
///
/// `fill` returns the number of events it wrote.
///
/// # Panics
/// When the payload is larger than the limit: the caller checks before.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    place: Place,
    kind: Kind,
    fill: impl FnOnce(&mut Vec<u8>) -> u32,
) -> Header {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let events = fill(out);
    let (_, frame) = out.split_at_mut(start);
    let (head, payload) = frame.split_at_mut(HEADER_LEN);
    let payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    assert!(
        payload_len <= crate::limits::PAYLOAD_MAX,
        "payload is bounded before it is encoded"
    );
    let mut header = Header {
        address: place.address,
        durable: place.durable,
        position: place.position,
        recorded_at: place.recorded_at,
        payload_len,
        payload_crc: checksum(place.salt, payload),
        previous: place.previous,
        kind,
        events,
        crc: 0,
    };
    let mut bytes = [0; HEADER_LEN];
    header.crc = header.encode(place.salt, &mut bytes);
    head.copy_from_slice(&bytes);
    let end = start + usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
    out.resize(end, 0);
    header
}

/// CRC-32 (IEEE) that begins with the salt, so that nothing and zeros do not look valid and bytes
/// of another segment do not look like frames of this one.
pub(crate) fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

fn padded(len: u64) -> u64 {
    len.next_multiple_of(ALIGN as u64)
}

/// Takes fixed-size fields off a header; the header's length is the sum of the fields.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests;
