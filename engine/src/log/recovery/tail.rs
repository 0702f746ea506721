//! What stands behind the last good frame.

use crate::error::{Error, Result};
use crate::log::Segment;
use crate::log::frame::{ALIGN, HEADER_LEN, Header, MAGIC};
use crate::types::Address;

/// Bytes read or written at a time.
const STEP: usize = 1024 * 1024;

/// What stands behind the last good frame.
pub(super) struct Tail {
    /// The greatest `durable` of any valid frame.
    pub(super) durable: Address,
    /// The last byte that is not zero.
    pub(super) last_byte: Option<Address>,
}

/// Looks at every 8-byte boundary from `from` on for frames and for anything that is not zero.
pub(super) fn examine_tail(segment: &Segment, from: Address, file_end: Address) -> Result<Tail> {
    let mut tail = Tail {
        durable: Address::default(),
        last_byte: None,
    };
    let mut at = from;
    while at < file_end {
        let chunk = segment.read(at, STEP)?;
        if chunk.is_empty() {
            break;
        }
        if let Some(last) = chunk.iter().rposition(|&b| b != 0) {
            tail.last_byte = Some(at.plus(last as u64));
            let mut skip_to = at;
            for (n, bytes) in chunk.chunks(ALIGN).enumerate() {
                let address = at.plus((n * ALIGN) as u64);
                if address < skip_to || !bytes.starts_with(&MAGIC) {
                    continue;
                }
                if let Some(header) = frame_at(segment, address)? {
                    tail.durable = tail.durable.max(header.durable);
                    skip_to = header.end();
                }
            }
        }
        at = at.plus(chunk.len() as u64);
    }
    Ok(tail)
}

fn frame_at(segment: &Segment, address: Address) -> Result<Option<Header>> {
    let head = segment.read(address, HEADER_LEN)?;
    let Some(head) = head.first_chunk() else {
        return Ok(None);
    };
    let Ok(header) = Header::decode(head, segment.header.salt, address) else {
        return Ok(None);
    };
    let len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
    Ok(segment.parse(&segment.read(address, len)?, address).ok())
}

/// Overwrites an unfinished write with zeros. The file keeps its length: it was filled with zeros
/// ahead of use.
pub(super) fn cut(segment: &Segment, from: Address, last_byte: Option<Address>) -> Result<u64> {
    let Some(last) = last_byte else { return Ok(0) };
    let action = || format!("cutting off an unfinished write in log/{}", segment.name);
    let bytes = last.get().saturating_sub(from.get()).saturating_add(1);
    tracing::warn!(
        segment = segment.name,
        offset = segment.offset(from),
        bytes,
        "cut off a write that was never acknowledged"
    );
    let zeros = vec![0; STEP];
    let mut done = 0;
    while done < bytes {
        let step = usize::try_from(bytes - done).map_or(STEP, |rest| rest.min(STEP));
        let piece = zeros.get(..step).unwrap_or(&zeros);
        let offset = segment.offset(from.plus(done));
        segment
            .file
            .write_at(piece, offset)
            .map_err(Error::io(action()))?;
        done += step as u64;
    }
    segment.file.sync().map_err(Error::io(action()))?;
    Ok(bytes)
}

/// Writes what is not known to be synced once more. After a sync that failed the system may hold
/// bytes in memory that it will never write, and yet report that the next sync succeeded.
pub(super) fn write_again(segment: &Segment, from: Address, to: Address) -> Result<()> {
    let mut at = from.max(segment.header.base);
    while at < to {
        let left = usize::try_from(to.get() - at.get()).unwrap_or(usize::MAX);
        let bytes = segment.read(at, left.min(STEP))?;
        if bytes.is_empty() {
            break;
        }
        segment
            .file
            .write_at(&bytes, segment.offset(at))
            .map_err(Error::io(format!("writing log/{} again", segment.name)))?;
        at = at.plus(bytes.len() as u64);
    }
    Ok(())
}

/// Address behind the file's last byte.
pub(super) fn file_end(segment: &Segment) -> Result<Address> {
    let len = segment
        .file
        .size()
        .map_err(Error::io(format!("reading log/{}", segment.name)))?;
    Ok(segment
        .header
        .base
        .plus(len.saturating_sub(crate::log::SEGMENT_HEADER)))
}
