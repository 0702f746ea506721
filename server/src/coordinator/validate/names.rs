//! Names in a cover: what they may be, and how people and keys write them.

use std::fmt::Write as _;

use angzarr_proto::v1::Cover;

use super::MAIN;
use crate::coordinator::Error;

const DOMAIN_CHARS: usize = 64;
const EDITION_CHARS: usize = 64;

/// Name of the edition of a cover; empty for main.
pub(in crate::coordinator) fn edition_name(cover: &Cover) -> &str {
    let name = cover
        .edition
        .as_ref()
        .map_or("", |edition| edition.name.as_str());
    if name == MAIN { "" } else { name }
}

/// Root of a cover as people write it.
pub(in crate::coordinator) fn root_hex(cover: &Cover) -> String {
    let root = cover
        .root
        .as_ref()
        .map_or(&[][..], |root| root.value.as_slice());
    root.iter()
        .fold(String::with_capacity(2 * root.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Checks a domain name.
pub(in crate::coordinator) fn domain(field: &str, domain: &str) -> Result<(), Error> {
    let mut chars = domain.chars();
    let starts = chars
        .next()
        .is_some_and(|first| first == '_' || first.is_ascii_lowercase());
    let goes_on = chars.all(|char| {
        char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '_' | '.' | '-')
    });
    if starts && goes_on && domain.len() <= DOMAIN_CHARS {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{field} is {domain:?}: a domain has 1 to {DOMAIN_CHARS} of a-z 0-9 . _ - and begins with \
         a letter or _"
    )))
}

/// Checks the name of an edition.
pub(in crate::coordinator) fn edition_text(field: &str, name: &str) -> Result<(), Error> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= EDITION_CHARS && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{field} is {name:?}: an edition has 1 to {EDITION_CHARS} of A-Z a-z 0-9 . _ -"
    )))
}
