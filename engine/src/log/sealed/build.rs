//! Writes the file of a sealed segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{BranchBytes, Directory, MapEntry, Piece, Trailer};
use super::lookup::PREFIX;
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::limits;
use crate::log::LogEnd;
use crate::log::frame::{ALIGN, HEADER_LEN, Header, checksum};
use crate::log::segment::{SEGMENT_HEADER, SegmentHeader};
use crate::types::{Address, Domain, Edition};

/// Frames in one map.
const MAP_FRAMES: usize = 1024;
/// Compression level: the next takes up to twice the time for a file smaller by half a percent.
const LEVEL: i32 = 2;
/// Bytes written between two syncs, so that a sync of the log never waits for much more.
const SYNC_STEP: u64 = 1024 * 1024;

/// A frame on its way into a sealed segment.
pub(crate) struct Packed {
    /// Frames are sorted by this.
    pub(crate) cluster: Vec<u8>,
    pub(crate) header: Header,
    pub(crate) payload: bytes::Bytes,
}

/// Writes a file from its beginning to its end. What it wrote counts only after
/// [`finish`](Self::finish), and lasts only under a name that is synced.
pub(crate) struct Builder {
    name: String,
    file: Arc<dyn DiskFile>,
    salt: u32,
    compressor: zstd::bulk::Compressor<'static>,
    /// Bytes written, and how many of them are synced.
    at: u64,
    synced: u64,
    raw: Vec<u8>,
    blocks: Vec<Piece>,
    frames: Vec<(Address, MapEntry)>,
    branches: BTreeMap<(Edition, Domain), (Address, u64)>,
}

impl Builder {
    /// Begins a file with the header of the segment that it will stand for.
    pub(crate) fn new(name: &str, file: Arc<dyn DiskFile>, header: &SegmentHeader) -> Result<Self> {
        file.write_at(&header.encode_sealed(), 0)
            .map_err(Error::io(format!("writing log/{name}")))?;
        let compressor =
            zstd::bulk::Compressor::new(LEVEL).map_err(Error::io("preparing the compression"))?;
        Ok(Self {
            name: name.to_owned(),
            file,
            salt: header.salt,
            compressor,
            at: SEGMENT_HEADER,
            synced: 0,
            raw: Vec::new(),
            blocks: Vec::new(),
            frames: Vec::new(),
            branches: BTreeMap::new(),
        })
    }

    /// Adds the frames of a stretch of the log. `pace` is told how many bytes each block took.
    pub(crate) fn add(
        &mut self,
        mut stretch: Vec<Packed>,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        stretch.sort_by(|a, b| {
            let by_place = a.header.address.cmp(&b.header.address);
            a.cluster.cmp(&b.cluster).then(by_place)
        });
        for frame in stretch {
            let len = PREFIX + HEADER_LEN + frame.payload.len();
            if !self.raw.is_empty() && self.raw.len() + len > limits::BLOCK_BYTES {
                pace(self.raw.len() as u64)?;
                self.end_block()?;
            }
            self.put(&frame)?;
        }
        pace(self.raw.len() as u64)?;
        self.end_block()
    }

    /// Notes that a branch of history has payload in the segment.
    pub(crate) fn count_branch(
        &mut self,
        edition: &Edition,
        domain: &Domain,
        at: Address,
        bytes: u64,
    ) {
        let key = (edition.clone(), domain.clone());
        let entry = self.branches.entry(key).or_insert((at, 0));
        entry.0 = entry.0.min(at);
        entry.1 = entry.1.saturating_add(bytes);
    }

    /// Writes maps, directory and trailer, and syncs the file. Returns its length.
    pub(crate) fn finish(mut self, end: LogEnd) -> Result<u64> {
        self.frames.sort_by_key(|(address, _)| *address);
        let frames = std::mem::take(&mut self.frames);
        let mut maps = Vec::new();
        for chunk in frames.chunks(MAP_FRAMES) {
            let Some((first, _)) = chunk.first() else {
                continue;
            };
            let mut map = Vec::with_capacity(chunk.len() * super::layout::ENTRY_LEN);
            for (address, entry) in chunk {
                let distance = self.narrow(address.get().saturating_sub(first.get()) / 8)?;
                MapEntry { distance, ..*entry }.encode(&mut map);
            }
            maps.push((*first, self.write_piece(&map)?));
        }
        let branches: Vec<_> = std::mem::take(&mut self.branches)
            .into_iter()
            .map(|((edition, domain), (first, bytes))| BranchBytes {
                edition: edition.as_str().to_owned(),
                domain: domain.as_str().to_owned(),
                first,
                bytes,
            })
            .collect();
        let directory = Directory::encode(&self.blocks, &maps, &branches);
        let directory = self.write_piece(&directory)?;
        let trailer = Trailer {
            directory,
            end,
            frames: self.narrow(frames.len() as u64)?,
        };
        self.write(&trailer.encode(self.salt))?;
        self.sync()?;
        Ok(self.at)
    }

    fn put(&mut self, frame: &Packed) -> Result<()> {
        let entry = MapEntry {
            distance: 0,
            block: self.narrow(self.blocks.len() as u64)?,
            offset: self.narrow(self.raw.len() as u64)?,
        };
        self.frames.push((frame.header.address, entry));
        let len = self.narrow(frame.payload.len() as u64)?;
        let crc = checksum(self.salt, &frame.payload);
        // A payload that is whole is described by the frame's own header.
        let whole = len == frame.header.payload_len && crc == frame.header.payload_crc;
        let (len, crc) = if whole { (0, 0) } else { (len, crc) };
        self.raw.extend_from_slice(&len.to_le_bytes());
        self.raw.extend_from_slice(&crc.to_le_bytes());
        self.raw
            .extend_from_slice(&frame.header.to_bytes(self.salt));
        self.raw.extend_from_slice(&frame.payload);
        let padded = self.raw.len().next_multiple_of(ALIGN);
        self.raw.resize(padded, 0);
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.raw);
        let piece = self.write_piece(&raw)?;
        self.blocks.push(piece);
        self.raw = raw;
        self.raw.clear();
        Ok(())
    }

    fn write_piece(&mut self, raw: &[u8]) -> Result<Piece> {
        let stored = self
            .compressor
            .compress(raw)
            .map_err(Error::io(format!("compressing for log/{}", self.name)))?;
        let piece = Piece {
            offset: self.at,
            stored: self.narrow(stored.len() as u64)?,
            raw: self.narrow(raw.len() as u64)?,
            crc: checksum(self.salt, &stored),
        };
        self.write(&stored)?;
        Ok(piece)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_at(bytes, self.at)
            .map_err(Error::io(format!("writing log/{}", self.name)))?;
        self.at += bytes.len() as u64;
        if self.at - self.synced >= SYNC_STEP {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file
            .sync()
            .map_err(Error::io(format!("syncing log/{}", self.name)))?;
        self.synced = self.at;
        Ok(())
    }

    fn narrow(&self, number: u64) -> Result<u32> {
        u32::try_from(number)
            .map_err(|_| Error::invalid(format!("log/{} is too large to be sealed", self.name)))
    }
}
