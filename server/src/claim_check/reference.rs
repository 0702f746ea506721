//! Pages that hold a reference in place of an event.

use angzarr_proto::v1::{EventPage, PayloadReference, event_page};
use bytes::Bytes;
use prost::Message;

use crate::handler::fields::{Fields, Value};

/// Number of the field `external` of a page.
const EXTERNAL: u32 = 4;

/// The page and its reference, if it holds one. Others are not decoded.
pub(super) fn of(page: &Bytes) -> Option<(EventPage, PayloadReference)> {
    let external = Fields::of(page).any(|field| {
        field.is_ok_and(|field| field.number == EXTERNAL && matches!(field.value, Value::Bytes(_)))
    });
    if !external {
        return None;
    }
    let mut page = EventPage::decode(page.clone()).ok()?;
    match page.payload.take() {
        Some(event_page::Payload::External(reference)) => Some((page, reference)),
        _ => None,
    }
}
