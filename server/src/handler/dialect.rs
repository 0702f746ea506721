use std::borrow::Cow;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    CommandBook, CommandPage, EventBook, EventPage, Notification, command_page, event_page,
};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;

use super::RawBook;
use super::fields::{Malformed, PageOutline, with_field_6};
use crate::framework;

/// Brings a book that goes out to a caller into the caller's dialect.
pub fn book_for_caller(book: &mut EventBook, dialect: Dialect) {
    if dialect == Dialect::V1 {
        return;
    }
    for page in &mut book.pages {
        translate_page(page, dialect);
    }
}

/// Brings a notification that goes out to a caller into the caller's dialect.
pub fn notification_for_caller(notification: &mut Notification, dialect: Dialect) {
    if let Some(payload) = &mut notification.payload {
        translate_any(payload, dialect);
    }
}

/// Type URL of a protocol message as the caller knows it.
#[must_use]
pub fn type_url_for_caller(name: &str, dialect: Dialect) -> String {
    framework::type_url(name, dialect)
}

/// Brings the prior events of an aggregate into a handler's dialect.
pub(super) fn book_for_peer(book: &RawBook, dialect: Dialect) -> Result<RawBook, Malformed> {
    Ok(RawBook {
        cover: book.cover.clone(),
        snapshot: book.snapshot.clone(),
        pages: pages_for_peer(&book.pages, dialect)?.into_owned(),
        next_sequence: book.next_sequence,
    })
}

pub(super) fn pages_for_peer(
    pages: &[Bytes],
    dialect: Dialect,
) -> Result<Cow<'_, [Bytes]>, Malformed> {
    if dialect == Dialect::V1 {
        return Ok(Cow::Borrowed(pages));
    }
    pages
        .iter()
        .map(|page| page_for_peer(page, dialect))
        .collect()
}

/// Brings a command into a handler's dialect, whatever dialect it came in.
pub(super) fn command_for_peer(command: &CommandBook, dialect: Dialect) -> Cow<'_, CommandBook> {
    let named = command.pages.iter().any(|page| match &page.payload {
        Some(command_page::Payload::Command(any)) => framework::name(&any.type_url).is_some(),
        _ => false,
    });
    if !named {
        return Cow::Borrowed(command);
    }
    let mut command = command.clone();
    for page in &mut command.pages {
        if let CommandPage {
            payload: Some(command_page::Payload::Command(any)),
            ..
        } = page
        {
            translate_any(any, dialect);
        }
    }
    Cow::Owned(command)
}

pub(super) fn page_for_peer(page: &Bytes, dialect: Dialect) -> Result<Bytes, Malformed> {
    let outline = PageOutline::of(page)?;
    if framework::name(outline.type_url).is_some() {
        let mut decoded = EventPage::decode(page.clone()).map_err(|_| Malformed)?;
        translate_page(&mut decoded, dialect);
        return Ok(Bytes::from(decoded.encode_to_vec()));
    }
    Ok(match dialect {
        Dialect::Client03 => with_field_6(page, !outline.no_commit),
        Dialect::V1 | Dialect::Client05 => page.clone(),
    })
}

fn translate_page(page: &mut EventPage, dialect: Dialect) {
    if let Some(event_page::Payload::Event(any)) = &mut page.payload {
        translate_any(any, dialect);
    }
    // In this dialect the field is called `committed`.
    if dialect == Dialect::Client03 {
        page.no_commit = !page.no_commit;
    }
}

/// Renames a protocol message into the package of `dialect`, and what a notification carries.
fn translate_any(any: &mut Any, dialect: Dialect) {
    let Some(name) = framework::name(&any.type_url) else {
        return;
    };
    if name == "Notification"
        && let Ok(mut notification) = Notification::decode(any.value.as_slice())
    {
        notification_for_caller(&mut notification, dialect);
        any.value = notification.encode_to_vec();
    }
    any.type_url = framework::type_url(name, dialect);
}

#[cfg(test)]
mod tests;
