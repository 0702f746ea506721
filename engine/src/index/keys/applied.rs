//! How far the log has been applied: an entry of [`Family::Meta`](super::Family::Meta).

use crate::log::codec::{BadRecord, Decoder, put_int, put_uint};
use crate::log::{LogEnd, Resume};
use crate::types::{Address, Position, Timestamp};

/// The number is that of the form of all entries. An index that has another one is of no use to this
/// version.
pub(crate) const KEY: &[u8] = b"applied 2";

pub(crate) fn encode(resume: Resume) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, resume.last.get());
    put_uint(&mut out, resume.end.address.get());
    put_uint(&mut out, resume.end.position.get());
    put_int(&mut out, resume.end.recorded_at.nanos());
    put_uint(&mut out, resume.end.previous.into());
    out
}

/// Reads [`encode`].
pub(crate) fn decode(value: &[u8]) -> Result<Resume, BadRecord> {
    let mut rest = Decoder(value);
    Ok(Resume {
        last: Address::new(rest.uint()?),
        end: LogEnd {
            address: Address::new(rest.uint()?),
            position: Position::new(rest.uint()?),
            recorded_at: Timestamp::from_nanos(rest.int()?),
            previous: rest.u32()?,
        },
    })
}
