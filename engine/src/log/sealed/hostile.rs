//! Sealed segments that nobody would write, for fuzzing: every checksum fits, nothing else must.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target reports")]

use super::layout::{MapEntry, Piece, Trailer};
use crate::internals::fuzz::forged;
use crate::log::LogEnd;
use crate::log::codec::Decoder;
use crate::log::frame::checksum;
use crate::log::segment::SegmentHeader;
use crate::types::{Address, Position, Timestamp};

/// A file whose blocks, maps, directory and trailer are what `input` says.
pub(crate) fn hostile(segment: &SegmentHeader, input: &[u8]) -> Vec<u8> {
    let mut rest = Decoder(input);
    let mut file = segment.encode_sealed();
    let flags = rest.byte().unwrap_or_default();
    // A block of one frame that fits, with numbers before it that may not.
    let mut block = vec![];
    let prefix = rest.array::<8>().unwrap_or_default();
    block.extend_from_slice(if flags & 1 == 0 { &[0; 8] } else { &prefix });
    let payload = take(&mut rest);
    block.extend_from_slice(&forged(segment.base, segment.salt, payload).1);
    block.extend_from_slice(take(&mut rest));
    let block = put(&mut file, segment, &mut rest, &block, flags & 2 != 0);
    let mut map = Vec::new();
    let entry = MapEntry {
        distance: 0,
        block: 0,
        offset: 0,
    };
    entry.encode(&mut map);
    let more = take(&mut rest);
    if flags & 4 != 0 {
        map.clear();
    }
    map.extend_from_slice(more);
    let map = put(&mut file, segment, &mut rest, &map, flags & 8 != 0);
    let mut directory = super::layout::Directory::encode(&[block], &[(segment.base, map)], &[]);
    if flags & 16 != 0 {
        for byte in directory.iter_mut().take(16) {
            *byte ^= rest.byte().unwrap_or_default();
        }
    }
    if flags & 32 != 0 {
        directory.pop();
        directory.extend_from_slice(take(&mut rest));
    }
    let directory = put(&mut file, segment, &mut rest, &directory, flags & 64 != 0);
    let mut number = || u64::from_le_bytes(rest.array().unwrap_or_default());
    let trailer = Trailer {
        directory,
        end: LogEnd {
            address: Address::new(segment.base.get().wrapping_add(number() % 4096)),
            position: Position::new(number()),
            recorded_at: Timestamp::from_nanos(number().cast_signed()),
            previous: checksum(0, &number().to_le_bytes()),
        },
        frames: checksum(0, &number().to_le_bytes()),
    };
    file.extend_from_slice(&trailer.encode(segment.salt));
    file
}

fn take<'a>(rest: &mut Decoder<'a>) -> &'a [u8] {
    let len = usize::from(rest.byte().unwrap_or_default());
    let len = len.min(rest.0.len());
    rest.take(len).unwrap_or_default()
}

/// Writes a part, compressed, or as the bytes of the input with a length that they claim.
fn put(
    file: &mut Vec<u8>,
    segment: &SegmentHeader,
    rest: &mut Decoder<'_>,
    raw: &[u8],
    twisted: bool,
) -> Piece {
    let mut stored = zstd::bulk::compress(raw, 1).unwrap();
    let mut len = u32::try_from(raw.len()).unwrap();
    let mut offset = file.len() as u64;
    if twisted {
        len ^= u32::from_le_bytes(rest.array().unwrap_or_default());
        offset ^= u64::from(rest.byte().unwrap_or_default());
        let bytes = take(rest);
        if !bytes.is_empty() {
            stored = bytes.to_vec();
        }
    }
    file.extend_from_slice(&stored);
    Piece {
        offset,
        stored: u32::try_from(stored.len()).unwrap(),
        raw: len,
        crc: checksum(segment.salt, &stored),
    }
}
