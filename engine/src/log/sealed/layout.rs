//! The fixed parts of a sealed segment's file.

use bytes::Bytes;

use crate::log::LogEnd;
use crate::log::codec::{BadRecord, Decoder, put_bytes, put_uint};
use crate::log::frame::checksum;
use crate::types::{Address, Position, Timestamp};

/// Bytes of the trailer, at the very end of the file.
pub(super) const TRAILER_LEN: usize = 80;
const TRAILER_MAGIC: [u8; 8] = *b"ANGZSEAL";
/// Bytes of a piece's entry in the directory.
const PIECE_LEN: usize = 20;
/// Bytes of a map's entry in the directory: its first address, and the piece.
const MAP_LEN: usize = 8 + PIECE_LEN;
/// Bytes of a frame's entry in a map.
pub(super) const ENTRY_LEN: usize = 12;

/// A compressed part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    /// Bytes in the file.
    pub(super) stored: u32,
    /// Bytes when decompressed.
    pub(super) raw: u32,
    /// Checksum of the bytes in the file, seeded with the segment's salt.
    pub(super) crc: u32,
}

impl Piece {
    /// Offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.stored.into())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn decode(bytes: &mut Decoder<'_>) -> Result<Self, BadRecord> {
        Ok(Self {
            offset: u64::from_le_bytes(bytes.array()?),
            stored: u32::from_le_bytes(bytes.array()?),
            raw: u32::from_le_bytes(bytes.array()?),
            crc: u32::from_le_bytes(bytes.array()?),
        })
    }
}

/// The end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) directory: Piece,
    /// Where the segment's frames end.
    pub(super) end: LogEnd,
    pub(super) frames: u32,
}

impl Trailer {
    pub(super) fn encode(&self, salt: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRAILER_LEN);
        out.extend_from_slice(&TRAILER_MAGIC);
        self.directory.encode(&mut out);
        out.extend_from_slice(&self.frames.to_le_bytes());
        out.extend_from_slice(&self.end.address.get().to_le_bytes());
        out.extend_from_slice(&self.end.position.get().to_le_bytes());
        out.extend_from_slice(&self.end.recorded_at.nanos().to_le_bytes());
        out.extend_from_slice(&self.end.previous.to_le_bytes());
        out.resize(TRAILER_LEN - 4, 0);
        let crc = checksum(salt, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; TRAILER_LEN], salt: u32) -> Result<Self, BadRecord> {
        let mut rest = Decoder(bytes);
        if rest.array()? != TRAILER_MAGIC {
            return Err(BadRecord("a sealed segment's trailer is missing"));
        }
        let trailer = Self {
            directory: Piece::decode(&mut rest)?,
            frames: u32::from_le_bytes(rest.array()?),
            end: LogEnd {
                address: Address::new(u64::from_le_bytes(rest.array()?)),
                position: Position::new(u64::from_le_bytes(rest.array()?)),
                recorded_at: Timestamp::from_nanos(i64::from_le_bytes(rest.array()?)),
                previous: u32::from_le_bytes(rest.array()?),
            },
        };
        let crc = bytes.last_chunk().copied().map(u32::from_le_bytes);
        let summed = bytes.get(..TRAILER_LEN - 4).unwrap_or_default();
        if crc != Some(checksum(salt, summed)) {
            return Err(BadRecord("the trailer's checksum does not match"));
        }
        Ok(trailer)
    }
}

/// How many bytes of payload a branch of history has in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BranchBytes {
    pub(crate) edition: String,
    pub(crate) domain: String,
    /// Address of its first frame here: later ones may belong to a branch of the same name.
    pub(crate) first: Address,
    pub(crate) bytes: u64,
}

/// Names the pieces of the file. Kept as it is stored; entries are of one size.
pub(super) struct Directory {
    bytes: Bytes,
    blocks: usize,
    maps: usize,
}

impl Directory {
    pub(super) fn encode(
        blocks: &[Piece],
        maps: &[(Address, Piece)],
        branches: &[BranchBytes],
    ) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&(blocks.len() as u64).to_le_bytes());
        out.extend_from_slice(&(maps.len() as u64).to_le_bytes());
        for piece in blocks {
            piece.encode(&mut out);
        }
        for (first, piece) in maps {
            out.extend_from_slice(&first.get().to_le_bytes());
            piece.encode(&mut out);
        }
        put_uint(&mut out, branches.len() as u64);
        for branch in branches {
            put_bytes(&mut out, branch.edition.as_bytes());
            put_bytes(&mut out, branch.domain.as_bytes());
            put_uint(&mut out, branch.first.get());
            put_uint(&mut out, branch.bytes);
        }
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, BadRecord> {
        let too_large = |_| BadRecord("the directory's counts are too large");
        let mut rest = Decoder(&bytes);
        let blocks = usize::try_from(u64::from_le_bytes(rest.array()?)).map_err(too_large)?;
        let maps = usize::try_from(u64::from_le_bytes(rest.array()?)).map_err(too_large)?;
        let len = blocks
            .checked_mul(PIECE_LEN)
            .and_then(|len| len.checked_add(maps.checked_mul(MAP_LEN)?))
            .ok_or(BadRecord("the directory's counts are too large"))?;
        rest.take(len)?;
        Ok(Self {
            bytes,
            blocks,
            maps,
        })
    }

    /// A block, by its number.
    pub(super) fn block(&self, number: usize) -> Result<Piece, BadRecord> {
        if number >= self.blocks {
            return Err(BadRecord("a map names a block that is not there"));
        }
        Piece::decode(&mut self.at(16 + number * PIECE_LEN))
    }

    /// A map and the address of its first frame.
    pub(super) fn map(&self, number: usize) -> Result<(Address, Piece), BadRecord> {
        if number >= self.maps {
            return Err(BadRecord("no frame begins at this address"));
        }
        let mut entry = self.at(16 + self.blocks * PIECE_LEN + number * MAP_LEN);
        let first = Address::new(u64::from_le_bytes(entry.array()?));
        Ok((first, Piece::decode(&mut entry)?))
    }

    /// The map that holds an address, if any does.
    pub(super) fn map_of(&self, address: Address) -> Result<usize, BadRecord> {
        let (mut low, mut high) = (0, self.maps);
        while low < high {
            let middle = low.midpoint(high);
            if self.map(middle)?.0 <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
            .ok_or(BadRecord("no frame begins at this address"))
    }

    pub(super) fn branches(&self) -> Result<Vec<BranchBytes>, BadRecord> {
        let mut rest = self.at(16 + self.blocks * PIECE_LEN + self.maps * MAP_LEN);
        let count = rest.uint()?;
        let mut found = Vec::new();
        for _ in 0..count {
            found.push(BranchBytes {
                edition: rest.str()?.to_owned(),
                domain: rest.str()?.to_owned(),
                first: Address::new(rest.uint()?),
                bytes: rest.uint()?,
            });
        }
        Ok(found)
    }

    fn at(&self, offset: usize) -> Decoder<'_> {
        Decoder(self.bytes.get(offset..).unwrap_or_default())
    }
}

/// Where a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapEntry {
    /// Distance from the map's first address, in units of eight bytes.
    pub(super) distance: u32,
    pub(super) block: u32,
    /// Offset within the decompressed block.
    pub(super) offset: u32,
}

impl MapEntry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.distance.to_le_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
    }

    /// The entry of that number in a decompressed map.
    pub(super) fn get(map: &[u8], number: usize) -> Option<Self> {
        let mut entry = Decoder(map.get(number.checked_mul(ENTRY_LEN)?..)?);
        Some(Self {
            distance: u32::from_le_bytes(entry.array().ok()?),
            block: u32::from_le_bytes(entry.array().ok()?),
            offset: u32::from_le_bytes(entry.array().ok()?),
        })
    }

    /// The number of the entry with a distance.
    pub(super) fn find(map: &[u8], distance: u32) -> Option<usize> {
        let (mut low, mut high) = (0, map.len() / ENTRY_LEN);
        while low < high {
            let middle = low.midpoint(high);
            if Self::get(map, middle)?.distance < distance {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (Self::get(map, low)?.distance == distance).then_some(low)
    }
}

#[cfg(test)]
mod tests;
