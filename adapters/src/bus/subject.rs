//! Names of this database as parts of the subject of a message.

use std::fmt::Write as _;

use super::BusMessage;

/// `<prefix>.<domain>.<root>` for the main timeline, and the edition behind it for a branch: who
/// wants the main timeline only asks for `<prefix>.*.*`.
pub(super) fn subject(prefix: &str, message: &BusMessage) -> String {
    let mut subject = String::with_capacity(prefix.len() + message.domain.len() + 40);
    subject.push_str(prefix);
    subject.push('.');
    escape(&message.domain, &mut subject);
    subject.push('.');
    subject.push_str(&root_hex(&message.root));
    if !message.edition.is_empty() {
        subject.push('.');
        escape(&message.edition, &mut subject);
    }
    subject
}

/// A root as people write it.
pub(super) fn root_hex(root: &[u8]) -> String {
    root.iter()
        .fold(String::with_capacity(2 * root.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// One part: what is not a letter, a digit, `-` or `_` becomes `%` and two digits. A dot would
/// part it in two, a wildcard would be one.
fn escape(name: &str, subject: &mut String) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            subject.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(subject, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests;
