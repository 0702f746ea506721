//! Keys of the family [`Cascades`](super::Family::Cascades).

use super::{AggregateId, BadRecord, Decoder, Sequence, Timestamp, put_bytes, put_int, put_uint};

/// Cascade -> how many of its events are pending, and since when.
pub(crate) fn info(id: &str) -> Vec<u8> {
    tagged(1, id)
}

pub(crate) fn encode_info(pending: u64, since: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, pending);
    put_int(&mut out, since.nanos());
    out
}

pub(crate) fn decode_info(value: &[u8]) -> Result<(u64, Timestamp), BadRecord> {
    let mut rest = Decoder(value);
    Ok((rest.uint()?, Timestamp::from_nanos(rest.int()?)))
}

/// Prefix of the pending events of a cascade.
pub(crate) fn participants(id: &str) -> Vec<u8> {
    tagged(2, id)
}

/// A pending event of a cascade.
pub(crate) fn participant(id: &str, aggregate: AggregateId, sequence: Sequence) -> Vec<u8> {
    let mut key = participants(id);
    key.extend_from_slice(&aggregate.at(sequence));
    key
}

/// Aggregate and sequence of a key made by [`participant`].
pub(crate) fn parse_participant(key: &[u8]) -> Result<(AggregateId, Sequence), BadRecord> {
    let at = key
        .len()
        .checked_sub(AggregateId::LEN + 4)
        .ok_or(BadRecord("a key is too short"))?;
    let tail = key.get(at..).unwrap_or_default();
    Ok((AggregateId::parse(tail)?, super::sequence_of(tail)?))
}

/// Prefix of every entry of [`aged`].
pub(crate) const AGED: [u8; 1] = [3];

/// A cascade with pending events, in the order of the oldest of them.
pub(crate) fn aged(since: Timestamp, id: &str) -> Vec<u8> {
    let mut key = AGED.to_vec();
    // Times before 1970 order before those after it.
    let ordered = since.nanos().cast_unsigned() ^ (1 << 63);
    key.extend_from_slice(&ordered.to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

pub(crate) fn parse_aged(key: &[u8]) -> Result<(Timestamp, &str), BadRecord> {
    let mut rest = Decoder(key);
    rest.byte()?;
    let ordered = u64::from_be_bytes(rest.array()?);
    let since = Timestamp::from_nanos((ordered ^ (1 << 63)).cast_signed());
    let id = std::str::from_utf8(rest.0).map_err(|_| BadRecord("a name is not UTF-8"))?;
    Ok((since, id))
}

fn tagged(tag: u8, id: &str) -> Vec<u8> {
    let mut key = vec![tag];
    put_bytes(&mut key, id.as_bytes());
    key
}
