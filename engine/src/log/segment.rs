//! One file of the log.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rand::RngCore;

use super::BlockCache;
use super::frame::{self, HEADER_LEN, Header, Malformed};
use super::sealed::{Sealed, Source};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::types::{Address, Position, Timestamp};

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: u64 = 128;
/// Version that this program writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Oldest version that can read what this program writes.
const OLDEST_READER: u32 = 1;
/// Begins with a byte that is not ASCII and holds both line endings and an end-of-file character,
/// so that a transfer that treats the file as text cannot leave it intact (the idea is PNG's).
const MAGIC: [u8; 16] = *b"\x89ANGZARR\r\n\x1a\nLOG\0";
/// The same for a segment that was rewritten.
const SEALED_MAGIC: [u8; 16] = *b"\x89ANGZARR\r\n\x1a\nSEA\0";
/// Seed of the header's own checksum.
const HEADER_SEED: u32 = 0x5e6d_e47a;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) database_id: [u8; 16],
    /// Address of the first frame.
    pub(crate) base: Address,
    /// Position of the first event.
    pub(crate) position: Position,
    /// Seed of the frames' checksums; never 0.
    pub(crate) salt: u32,
    pub(crate) created_at: Timestamp,
    /// Checksum of the last frame header of the previous segment.
    pub(crate) previous: u32,
}

impl SegmentHeader {
    /// A header for a new segment, with a salt of its own.
    pub(crate) fn new(
        database_id: [u8; 16],
        base: Address,
        position: Position,
        created_at: Timestamp,
        previous: u32,
        random: &mut dyn RngCore,
    ) -> Self {
        let salt = random.next_u32().max(1);
        Self {
            database_id,
            base,
            position,
            salt,
            created_at,
            previous,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_as(&MAGIC)
    }

    /// The header of the segment when it has been rewritten.
    pub(crate) fn encode_sealed(&self) -> Vec<u8> {
        self.encode_as(&SEALED_MAGIC)
    }

    fn encode_as(&self, magic: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(magic);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&OLDEST_READER.to_le_bytes());
        out.extend_from_slice(&self.database_id);
        out.extend_from_slice(&self.base.get().to_le_bytes());
        out.extend_from_slice(&self.position.get().to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&self.created_at.nanos().to_le_bytes());
        out.resize(124, 0);
        let crc = frame::checksum(HEADER_SEED, &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// # Errors
    /// [`Error::Unsupported`] for a file of a newer version, [`Error::Corrupt`] for anything else
    /// that was not written by [`encode_as`](Self::encode_as).
    fn decode_as(name: &str, expected: &[u8; 16], bytes: &[u8]) -> Result<Self> {
        let damaged = |problem: &str| Error::Corrupt {
            file: name.to_owned(),
            offset: 0,
            address: Address::default(),
            problem: problem.to_owned(),
        };
        let bytes: &[u8; 128] = bytes
            .first_chunk()
            .ok_or_else(|| damaged("the file is shorter than a segment header"))?;
        let mut rest = super::codec::Decoder(bytes);
        let mut fields = || -> Result<_, super::codec::BadRecord> {
            let magic: [u8; 16] = rest.array()?;
            let version = u32::from_le_bytes(rest.array()?);
            let oldest_reader = u32::from_le_bytes(rest.array()?);
            let header = Self {
                database_id: rest.array()?,
                base: Address::new(u64::from_le_bytes(rest.array()?)),
                position: Position::new(u64::from_le_bytes(rest.array()?)),
                salt: u32::from_le_bytes(rest.array()?),
                previous: u32::from_le_bytes(rest.array()?),
                created_at: Timestamp::from_nanos(i64::from_le_bytes(rest.array()?)),
            };
            rest.take(124 - 72)?;
            Ok((
                magic,
                version,
                oldest_reader,
                header,
                u32::from_le_bytes(rest.array()?),
            ))
        };
        let (magic, version, oldest_reader, header, crc) =
            fields().map_err(|_| damaged("the segment header is incomplete"))?;
        if magic != *expected {
            return Err(damaged("this is not a segment of an Angzarr log"));
        }
        // Before the checksum: a later version may compute it in another way.
        if oldest_reader > FORMAT_VERSION {
            return Err(Error::Unsupported {
                file: name.to_owned(),
                found: version,
                oldest_reader,
                supported: FORMAT_VERSION,
            });
        }
        let summed = bytes.get(..124).unwrap_or_default();
        if crc != frame::checksum(HEADER_SEED, summed) || header.salt == 0 {
            return Err(damaged("the segment header's checksum does not match"));
        }
        Ok(header)
    }
}

/// A segment that can be read.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How to find its frames if it was rewritten; else they stand behind each other.
    pub(crate) sealed: Option<Sealed>,
}

impl Segment {
    /// Opens a segment and verifies its header.
    pub(crate) fn open(disk: &dyn Disk, name: &str) -> Result<Self> {
        Self::open_as(disk, name, name)
    }

    /// Opens the segment `name` that is not named so yet.
    pub(crate) fn open_as(disk: &dyn Disk, file_name: &str, name: &str) -> Result<Self> {
        let sealed = name.ends_with(SEALED);
        let magic = if sealed { &SEALED_MAGIC } else { &MAGIC };
        let file = disk
            .open(file_name)
            .map_err(Error::io(format!("opening log/{file_name}")))?;
        let mut bytes = [0; 128];
        let n = file
            .read_at(&mut bytes, 0)
            .map_err(Error::io(format!("reading log/{file_name}")))?;
        let read = bytes.get(..n).unwrap_or_default();
        let header = SegmentHeader::decode_as(name, magic, read)?;
        if parse_segment_name(name) != Some(header.base) {
            return Err(Error::Corrupt {
                file: name.to_owned(),
                offset: 0,
                address: header.base,
                problem: format!("the segment says that it begins at {}", header.base),
            });
        }
        let sealed = sealed
            .then(|| Sealed::open(name, &header, &*file))
            .transpose()?;
        Ok(Self {
            name: name.to_owned(),
            header,
            file,
            sealed,
        })
    }

    /// Bytes of the file; 0 if the system does not say.
    pub(crate) fn disk_bytes(&self) -> u64 {
        match &self.sealed {
            Some(sealed) => sealed.file_bytes,
            None => self.file.size().unwrap_or(0),
        }
    }

    /// What the reader of a rewritten segment needs to know of it.
    pub(crate) fn source<'a>(&'a self, cache: &'a BlockCache) -> Source<'a> {
        Source {
            name: &self.name,
            header: &self.header,
            file: &*self.file,
            cache,
        }
    }

    /// Where in the file an address of this segment is.
    pub(crate) fn offset(&self, address: Address) -> u64 {
        SEGMENT_HEADER + address.get().saturating_sub(self.header.base.get())
    }

    /// Reads up to `len` bytes from an address on; fewer at the end of the file.
    pub(crate) fn read(&self, address: Address, len: usize) -> Result<Bytes> {
        let mut buffer = BytesMut::new();
        self.read_into(&mut buffer, address, len)?;
        Ok(buffer.freeze())
    }

    /// The same into memory that is there, in place of what it holds.
    pub(crate) fn read_into(
        &self,
        buffer: &mut BytesMut,
        address: Address,
        len: usize,
    ) -> Result<()> {
        buffer.resize(len, 0);
        let n = self
            .file
            .read_at(buffer, self.offset(address))
            .map_err(|source| Error::io(format!("reading {}", self.name))(source))?;
        buffer.truncate(n);
        Ok(())
    }

    /// Verifies the frame that `bytes`, read at `address`, begin with.
    pub(crate) fn parse(&self, bytes: &[u8], address: Address) -> Result<Header, Malformed> {
        let head = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(Malformed::Incomplete)?;
        let header = Header::decode(head, self.header.salt, address)?;
        frame::check_payload(&header, self.header.salt, bytes)?;
        Ok(header)
    }

    /// The error for bad bytes at an address.
    pub(crate) fn corrupt(&self, address: Address, problem: impl ToString) -> Error {
        Error::Corrupt {
            file: format!("log/{}", self.name),
            offset: self.offset(address),
            address,
            problem: problem.to_string(),
        }
    }
}

/// Ends the names of segments as they were written.
const PLAIN: &str = ".seg";
/// Ends the names of segments that were rewritten.
pub(crate) const SEALED: &str = ".segz";

/// File name of the segment that begins at an address. Named by address rather than by position,
/// because a segment that holds only snapshots and checkpoints shares its first position with the
/// next one.
pub(crate) fn segment_name(base: Address) -> String {
    format!("{:020}{PLAIN}", base.get())
}

/// The same when it has been rewritten.
pub(crate) fn sealed_name(base: Address) -> String {
    format!("{:020}{SEALED}", base.get())
}

/// The address in a segment's file name, if it is one.
pub(crate) fn parse_segment_name(name: &str) -> Option<Address> {
    let digits = name
        .strip_suffix(SEALED)
        .or_else(|| name.strip_suffix(PLAIN))?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Address::new)
}
