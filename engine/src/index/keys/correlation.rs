//! Keys of the family [`Correlations`](super::Family::Correlations).

use super::{AggregateId, BadRecord, Position, put_bytes};

/// Correlation id and aggregate -> nothing: the aggregate is listed.
pub(crate) fn member(id: &str, aggregate: AggregateId) -> Vec<u8> {
    let mut key = vec![1];
    put_bytes(&mut key, id.as_bytes());
    key.extend_from_slice(&aggregate.key());
    key
}

/// Prefix of the aggregates of a correlation id.
pub(crate) fn ordered_prefix(id: &str) -> Vec<u8> {
    let mut key = vec![2];
    put_bytes(&mut key, id.as_bytes());
    key
}

/// Correlation id and position of an aggregate's first event of it -> aggregate.
pub(crate) fn ordered(id: &str, position: Position) -> Vec<u8> {
    let mut key = ordered_prefix(id);
    key.extend_from_slice(&position.get().to_be_bytes());
    key
}

/// The position of a key made by [`ordered`].
pub(crate) fn position_of(key: &[u8]) -> Result<Position, BadRecord> {
    let bytes = key.last_chunk().ok_or(BadRecord("a key is too short"))?;
    Ok(Position::new(u64::from_be_bytes(*bytes)))
}
