//! Finds frames of a sealed segment by their address.

use bytes::Bytes;

use super::layout::{Directory, MapEntry};
use super::{Sealed, Source};
use crate::error::Result;
use crate::log::Frame;
use crate::log::codec::{BadRecord, Decoder};
use crate::log::frame::{ALIGN, HEADER_LEN, Header, checksum};
use crate::types::Address;

/// Bytes before each frame in a block: length and checksum of its payload, if that is not the one
/// the frame's header describes; else zeros.
pub(super) const PREFIX: usize = 8;

/// Where a reader of a sealed segment is: neighbours by aggregate or by address cost no search.
#[derive(Default)]
pub(crate) struct Lookup {
    /// Frames are what they were when their block was written, whose checksum was right.
    trusting: bool,
    directory: Option<Directory>,
    map: Option<Map>,
    block: Option<Block>,
}

struct Map {
    number: usize,
    first: Address,
    bytes: Bytes,
    /// The entry behind the last one that was used.
    next: usize,
}

struct Block {
    number: u32,
    bytes: Bytes,
    /// Behind the last frame that was read.
    behind: usize,
}

impl Lookup {
    /// A lookup that verifies blocks as they are read from the file, and payloads of frames in
    /// them only if it is not `trusting`. The default is not.
    pub(crate) fn new(trusting: bool) -> Self {
        Self {
            trusting,
            ..Self::default()
        }
    }

    /// The frame at an address.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when there is none, or it is damaged.
    pub(crate) fn frame(
        &mut self,
        sealed: &Sealed,
        source: &Source<'_>,
        address: Address,
    ) -> Result<Frame> {
        let salt = source.header.salt;
        if let Some(block) = &mut self.block
            && block.is_next(address)
            && let Ok(frame) = block.take(block.behind, salt, address, self.trusting)
        {
            return Ok(frame);
        }
        let (entry, trusting) = (self.entry(sealed, source, address)?, self.trusting);
        let block = self.block(sealed, source, entry.block)?;
        block
            .take(entry.offset as usize, salt, address, trusting)
            .map_err(|problem| bad_frame(source, address, problem))
    }

    fn entry(
        &mut self,
        sealed: &Sealed,
        source: &Source<'_>,
        address: Address,
    ) -> Result<MapEntry> {
        let bad = |problem: BadRecord| bad_frame(source, address, problem.0);
        let missing = || bad(BadRecord("no frame begins at this address"));
        let directory = match &mut self.directory {
            Some(directory) => directory,
            none => none.insert(sealed.directory(source)?),
        };
        if let Some(map) = &mut self.map
            && let Some(distance) = distance(map.first, address)
            && let Some(entry) = MapEntry::get(&map.bytes, map.next)
            && entry.distance == distance
        {
            map.next += 1;
            return Ok(entry);
        }
        let number = directory.map_of(address).map_err(bad)?;
        let map = match &mut self.map {
            Some(map) if map.number == number => map,
            slot => {
                let (first, piece) = directory.map(number).map_err(bad)?;
                let bytes = sealed.piece(source, piece)?;
                slot.insert(Map {
                    number,
                    first,
                    bytes,
                    next: 0,
                })
            }
        };
        let distance = distance(map.first, address).ok_or_else(missing)?;
        let found = MapEntry::find(&map.bytes, distance).ok_or_else(missing)?;
        map.next = found + 1;
        MapEntry::get(&map.bytes, found).ok_or_else(missing)
    }

    fn block(&mut self, sealed: &Sealed, source: &Source<'_>, number: u32) -> Result<&mut Block> {
        match &mut self.block {
            Some(block) if block.number == number => {}
            slot => {
                let directory = match &self.directory {
                    Some(directory) => directory,
                    None => &sealed.directory(source)?,
                };
                let piece = directory
                    .block(number as usize)
                    .map_err(|problem| source.corrupt(0, problem.0))?;
                *slot = Some(Block {
                    number,
                    bytes: sealed.piece(source, piece)?,
                    behind: 0,
                });
            }
        }
        self.block
            .as_mut()
            .ok_or_else(|| source.corrupt(0, "a block is missing"))
    }
}

impl Block {
    /// Whether the frame behind the last one has this address.
    fn is_next(&self, address: Address) -> bool {
        let at = self.behind + PREFIX + 8;
        let found = self.bytes.get(at..at + 8);
        found.is_some_and(|found| found == address.get().to_le_bytes())
    }

    /// Verifies and returns the frame at an offset.
    fn take(
        &mut self,
        offset: usize,
        salt: u32,
        address: Address,
        trusting: bool,
    ) -> Result<Frame, &'static str> {
        const SHORT: &str = "a frame goes on beyond the end of its block";
        let mut rest = Decoder(self.bytes.get(offset..).ok_or(SHORT)?);
        let mut number = || rest.array().map(u32::from_le_bytes).map_err(|_| SHORT);
        let (len, crc) = (number()?, number()?);
        let head = rest.array::<HEADER_LEN>().map_err(|_| SHORT)?;
        let header = Header::decode(&head, salt, address)
            .map_err(|_| "a frame header in a block is damaged")?;
        let (len, crc) = match (len, crc) {
            (0, 0) => (header.payload_len, header.payload_crc),
            other => other,
        };
        let start = offset + PREFIX + HEADER_LEN;
        let end = start.checked_add(len as usize).ok_or(SHORT)?;
        if end > self.bytes.len() {
            return Err(SHORT);
        }
        let payload = self.bytes.slice(start..end);
        if !trusting && checksum(salt, &payload) != crc {
            return Err("a frame's payload checksum does not match");
        }
        self.behind = end.next_multiple_of(ALIGN);
        Ok(Frame { header, payload })
    }
}

fn distance(first: Address, address: Address) -> Option<u32> {
    let bytes = address.get().checked_sub(first.get())?;
    u32::try_from(bytes / ALIGN as u64).ok()
}

fn bad_frame(source: &Source<'_>, address: Address, problem: &str) -> crate::Error {
    crate::Error::Corrupt {
        file: format!("log/{}", source.name),
        offset: 0,
        address,
        problem: problem.to_owned(),
    }
}
