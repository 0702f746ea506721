//! A segment that was rewritten: the same frames at the same addresses, gathered by aggregate and
//! compressed.
//!
//! The frames of a stretch of the log stand in blocks, sorted by aggregate, so that replaying one
//! reads few of them; each block is compressed on its own. Maps say for each frame's address
//! which block it is in and where. A directory at the end of the file names blocks and maps.
//! Every frame keeps its header, and with it its position and its link to the frame before it;
//! its payload may have become shorter.

mod build;
#[cfg(feature = "fuzz")]
mod hostile;
mod layout;
mod lookup;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub(crate) use build::{Builder, Packed};
#[cfg(feature = "fuzz")]
pub(crate) use hostile::hostile;
use layout::{Directory, Piece, TRAILER_LEN, Trailer};
pub(crate) use lookup::Lookup;
use zstd::bulk::Decompressor;

use super::segment::{SEGMENT_HEADER, SegmentHeader};
use super::{BlockCache, LogEnd, Segment};
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::limits;
use crate::types::Address;

/// What is kept in memory of a rewritten segment; the rest is read when it is needed.
pub(crate) struct Sealed {
    /// Tells its blocks in the cache from those of other files, older ones of the same name too.
    id: u64,
    trailer: Trailer,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
}

impl Sealed {
    /// Reads what stands at the end of the file.
    pub(crate) fn open(name: &str, header: &SegmentHeader, file: &dyn DiskFile) -> Result<Self> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let file_bytes = file
            .size()
            .map_err(Error::io(format!("reading log/{name}")))?;
        let damaged = |problem: &str| corrupt(name, header.base, file_bytes, problem);
        let at = file_bytes
            .checked_sub(TRAILER_LEN as u64)
            .filter(|at| *at >= SEGMENT_HEADER)
            .ok_or_else(|| damaged("the file is shorter than a sealed segment"))?;
        let mut bytes = [0; TRAILER_LEN];
        let n = file
            .read_at(&mut bytes, at)
            .map_err(Error::io(format!("reading log/{name}")))?;
        if n != TRAILER_LEN {
            return Err(damaged("the file ends early"));
        }
        let trailer = Trailer::decode(&bytes, header.salt)
            .map_err(|problem| corrupt(name, header.base, at, problem.0))?;
        if trailer.end.address < header.base || trailer.directory.end() > at {
            return Err(damaged("the trailer contradicts the file"));
        }
        Ok(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            trailer,
            file_bytes,
        })
    }

    /// Where the segment's frames end.
    pub(crate) fn end(&self) -> LogEnd {
        self.trailer.end
    }

    /// Bytes of payload that each branch of history has in the segment.
    pub(crate) fn branches(&self, source: &Source<'_>) -> Result<Vec<layout::BranchBytes>> {
        let directory = self.directory(source)?;
        directory
            .branches()
            .map_err(|problem| source.corrupt(self.trailer.directory.offset, problem.0))
    }

    fn directory(&self, source: &Source<'_>) -> Result<Directory> {
        let piece = self.trailer.directory;
        let bytes = self.piece(source, piece)?;
        Directory::decode(bytes).map_err(|problem| source.corrupt(piece.offset, problem.0))
    }

    /// Reads, verifies and decompresses a piece of the file, unless the cache holds it.
    fn piece(&self, source: &Source<'_>, piece: Piece) -> Result<Bytes> {
        let key = (self.id, piece.offset);
        if let Some(bytes) = source.cache.get(key) {
            return Ok(bytes);
        }
        let bytes = self.read_piece(source, piece)?;
        source.cache.insert(key, bytes.clone());
        Ok(bytes)
    }

    fn read_piece(&self, source: &Source<'_>, piece: Piece) -> Result<Bytes> {
        let damaged = |problem| source.corrupt(piece.offset, problem);
        if piece.raw as usize > limits::BLOCK_MAX
            || piece.end() > self.file_bytes
            || piece.stored as usize > zstd::zstd_safe::compress_bound(piece.raw as usize)
        {
            return Err(damaged("a block's length is beyond the limit"));
        }
        let mut stored = vec![0; piece.stored as usize];
        let n = source
            .file
            .read_at(&mut stored, piece.offset)
            .map_err(Error::io(format!("reading log/{}", source.name)))?;
        if n != stored.len() {
            return Err(damaged("a block goes on beyond the end of the file"));
        }
        if super::frame::checksum(source.header.salt, &stored) != piece.crc {
            return Err(damaged("a block's checksum does not match"));
        }
        let raw = decompress(&stored, piece.raw as usize)
            .map_err(|_| damaged("a block cannot be decompressed"))?;
        if raw.len() != piece.raw as usize {
            return Err(damaged(
                "a block has another length than the directory says",
            ));
        }
        Ok(raw.into())
    }
}

/// Verifies every frame of a rewritten segment, and that they follow each other to its end.
///
/// # Errors
/// [`Error::Corrupt`] with the first damage.
pub(crate) fn check(segment: &Arc<Segment>) -> Result<()> {
    let Some(sealed) = &segment.sealed else {
        return Ok(());
    };
    let cache = BlockCache::new(2 * usize::try_from(limits::STRETCH_BYTES).unwrap_or(usize::MAX));
    let source = segment.source(&cache);
    let mut lookup = Lookup::default();
    let mut end = super::recovery::start_of(segment);
    let mut frames = 0u32;
    while end.address < sealed.end().address {
        let frame = lookup.frame(sealed, &source, end.address)?;
        let header = frame.header;
        if header.previous != end.previous || header.position != end.position {
            return Err(segment.corrupt(end.address, super::frame::Malformed::Chain));
        }
        for record in super::record::records(&frame.payload, header.recorded_at) {
            record.map_err(|problem| segment.corrupt(header.address, problem))?;
        }
        end = LogEnd::behind(&header);
        frames = frames.saturating_add(1);
    }
    if end != sealed.end() || frames != sealed.trailer.frames {
        return Err(segment.corrupt(end.address, "the trailer names another end"));
    }
    Ok(())
}

/// Decompresses with a context of this thread: setting one up costs as much as a small block.
fn decompress(stored: &[u8], len: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            none => none.insert(Decompressor::new()?),
        };
        context.decompress(stored, len)
    })
}

/// Where the bytes of a rewritten segment come from.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) header: &'a SegmentHeader,
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) cache: &'a BlockCache,
}

impl Source<'_> {
    fn corrupt(&self, offset: u64, problem: &str) -> Error {
        corrupt(self.name, self.header.base, offset, problem)
    }
}

fn corrupt(name: &str, base: Address, offset: u64, problem: &str) -> Error {
    Error::Corrupt {
        file: format!("log/{name}"),
        offset,
        address: base,
        problem: problem.to_owned(),
    }
}
