//! Parts of a cover as people and keys write them.

use std::fmt::Write as _;

use angzarr_proto::v1::Cover;

use super::MAIN;

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
