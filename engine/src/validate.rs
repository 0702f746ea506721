//! What can be said of a commit without knowing the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::event::{Commit, Control, Write};
use crate::limits;
use crate::log::frame::HEADER_LEN;

/// Bytes that a record takes beside names and payloads, at most.
const RECORD_COST: usize = 64;

/// Checks a commit and returns an upper bound of the bytes it takes in the log.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::TooLarge`], naming the field and the limit.
pub(crate) fn commit(commit: &Commit) -> Result<usize> {
    let parts = commit.writes.len() + commit.conditions.len();
    if parts > limits::COMMIT_WRITES_MAX {
        return Err(Error::TooLarge {
            what: "the number of aggregates in one commit",
            actual: parts as u64,
            limit: limits::COMMIT_WRITES_MAX as u64,
        });
    }
    let mut keys = BTreeSet::new();
    let mut bytes = HEADER_LEN * 2 + RECORD_COST * (1 + commit.controls.len()) * 4;
    for write in &commit.writes {
        if !keys.insert(&write.key) {
            return Err(Error::invalid(format!(
                "the commit writes {} twice",
                write.key
            )));
        }
        bytes = bytes.saturating_add(write_bytes(write)?);
    }
    for condition in &commit.conditions {
        if !keys.insert(&condition.key) {
            return Err(Error::invalid(format!(
                "the commit names {} twice; state its expectation with its write",
                condition.key
            )));
        }
    }
    check_divergences(commit)?;
    if bytes > limits::PAYLOAD_MAX as usize {
        return Err(Error::TooLarge {
            what: "the commit's size in bytes",
            actual: bytes as u64,
            limit: limits::PAYLOAD_MAX.into(),
        });
    }
    Ok(bytes)
}

/// A branch leaves main at one place in each domain.
fn check_divergences(commit: &Commit) -> Result<()> {
    let writes = commit.writes.iter().filter_map(|write| {
        let place = (&write.key.edition, &write.key.domain);
        Some((place, write.divergence?))
    });
    let controls = commit.controls.iter().filter_map(|control| match control {
        Control::Fork {
            edition,
            domain,
            divergence,
        } => Some(((edition, domain), (*divergence)?)),
        _ => None,
    });
    let mut given = BTreeMap::new();
    for ((edition, domain), at) in writes.chain(controls) {
        let other = *given.entry((edition, domain)).or_insert(at);
        if other != at {
            return Err(Error::invalid(format!(
                "the commit has edition {edition} leave main at {other} and at {at} in domain \
                 {domain}; name one divergence"
            )));
        }
    }
    Ok(())
}

fn write_bytes(write: &Write) -> Result<usize> {
    let names = limits::INTERNAL_DOMAIN_MAX + limits::EDITION_MAX + 16 + RECORD_COST;
    let mut bytes = names + limits::CORRELATION_MAX + limits::CASCADE_MAX + write.ext.len();
    for page in &write.pages {
        let end = u64::from(page.type_name.start) + u64::from(page.type_name.len);
        if end > page.body.len() as u64 {
            return Err(Error::invalid(
                "a page's type name must lie within its body",
            ));
        }
        bytes = bytes
            .saturating_add(page.body.len())
            .saturating_add(RECORD_COST);
    }
    if let Some(claim) = &write.claim {
        let len = claim.kind.len() + claim.key.len();
        if len > limits::CLAIM_MAX {
            return Err(Error::TooLarge {
                what: "the length of an idempotency key",
                actual: len as u64,
                limit: limits::CLAIM_MAX as u64,
            });
        }
        bytes = bytes.saturating_add(names + len);
    }
    if let Some(snapshot) = &write.snapshot {
        bytes = bytes.saturating_add(names + snapshot.state.len());
    }
    for settle in &write.settles {
        bytes = bytes.saturating_add(names + 5 * settle.sequences.len());
    }
    Ok(bytes)
}
