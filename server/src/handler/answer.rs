//! What the business code within this crate answers.

use angzarr_proto::v1::{BusinessResponse, EventBook, EventPage, business_response, event_page};
use prost_types::Any;

/// A decision on one event.
pub(crate) fn one_event(event: Any) -> BusinessResponse {
    let page = EventPage {
        payload: Some(event_page::Payload::Event(event)),
        ..EventPage::default()
    };
    let events = EventBook {
        pages: vec![page],
        ..EventBook::default()
    };
    BusinessResponse {
        result: Some(business_response::Result::Events(events)),
    }
}
