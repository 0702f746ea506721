//! One stored event, as the tools show it.

use angzarr_proto::v1::{EventPage, page_header::SequenceType};
use jiff::Timestamp;
use prost::Message;
use serde_json::{Value, json};

use super::{Failure, failure::Exit, payload};
use crate::output::{Ink, Output};

/// One stored event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) sequence: u32,
    pub(super) created_at: Option<Timestamp>,
    pub(super) pending: bool,
    page: EventPage,
}

impl Event {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let page = EventPage::decode(bytes).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the server sent a page that is none: {error}"),
            )
            .next("use a server of the same version as this tool")
        })?;
        let sequence = page
            .header
            .as_ref()
            .and_then(|header| header.sequence_type.as_ref());
        let sequence = match sequence {
            Some(SequenceType::Sequence(sequence)) => *sequence,
            _ => 0,
        };
        let created_at = page
            .created_at
            .as_ref()
            .and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        Ok(Self {
            sequence,
            created_at,
            pending: page.no_commit,
            page,
        })
    }

    /// Short type name and what the payload says.
    pub(super) fn describe(&self) -> (String, String) {
        payload::describe(self.page.payload.as_ref())
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "sequence": self.sequence,
            "created_at": self.created_at.map(|at| at.to_string()),
            "pending": self.pending,
            "cascade_id": self.page.cascade_id,
            "payload": payload::to_json(self.page.payload.as_ref()),
        })
    }
}

/// Time of day with milliseconds, and the date.
pub(super) fn clock(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    )
}

/// `text` cut to what is left of a terminal line after `used` columns; whole when piped.
pub(super) fn fit(output: &Output, text: &str, used: usize) -> String {
    let Some(width) = output.width() else {
        return text.to_owned();
    };
    let room = width.saturating_sub(used).max(8);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room - 1).collect();
    format!("{kept}…")
}

/// The mark before an event: on main, on a branch, or not yet final.
pub(super) fn mark(output: &Output, event: &Event, own_of_branch: bool) -> String {
    if event.pending {
        output.paint(Ink::Warn, "○")
    } else if own_of_branch {
        output.paint(Ink::Branch, "◆")
    } else {
        output.paint(Ink::Good, "●")
    }
}
