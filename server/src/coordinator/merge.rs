use std::collections::{BTreeMap, BTreeSet};

use angzarr_proto::v1::MergeStrategy;
use prost_types::Any;

use crate::handler::fields::{Fields, Malformed};

/// What is to be done with a command that names the sequence it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Call the handler and store.
    Proceed,
    /// Call the handler, then store only if it changed nothing that had changed meanwhile.
    CompareFields,
    /// Refuse without calling the handler.
    Refuse,
    /// Hand the command to a person and refuse.
    DeadLetter,
}

/// Judges a command decided at `expected` against an aggregate at `next`.
pub(super) const fn judge(strategy: MergeStrategy, expected: u32, next: u32) -> Verdict {
    if expected == next {
        return Verdict::Proceed;
    }
    match strategy {
        MergeStrategy::MergeStrict => Verdict::Refuse,
        // Events that do not exist cannot be compared with.
        MergeStrategy::MergeCommutative if expected > next => Verdict::Refuse,
        MergeStrategy::MergeCommutative => Verdict::CompareFields,
        MergeStrategy::MergeAggregateHandles => Verdict::Proceed,
        MergeStrategy::MergeManual => Verdict::DeadLetter,
    }
}

/// Numbers of the top-level fields that differ between two states. `None` when they cannot be
/// compared: no state, different types, or bytes that are no message.
///
/// Works on the encoded messages, so that no descriptor is needed. Fields encoded in another
/// order count as equal; equal maps encoded in another order count as different, which errs
/// on the side of refusing.
pub(super) fn changed_fields(before: Option<&Any>, after: Option<&Any>) -> Option<BTreeSet<u32>> {
    let (before, after) = (before?, after?);
    if type_name(before) != type_name(after) {
        return None;
    }
    let before = fields(&before.value).ok()?;
    let after = fields(&after.value).ok()?;
    let numbers: BTreeSet<u32> = before.keys().chain(after.keys()).copied().collect();
    Some(
        numbers
            .into_iter()
            .filter(|number| before.get(number) != after.get(number))
            .collect(),
    )
}

fn type_name(state: &Any) -> &str {
    state.type_url.rsplit('/').next().unwrap_or_default()
}

fn fields(message: &[u8]) -> Result<BTreeMap<u32, Vec<u8>>, Malformed> {
    let mut fields: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for field in Fields::of(message) {
        let field = field?;
        fields
            .entry(field.number)
            .or_default()
            .extend_from_slice(field.raw);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests;
