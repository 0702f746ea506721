//! Events and commands as functions see them.

use angzarr_proto::v1::{
    CommandBook, CommandPage, Cover, EventBook, Uuid, command_page, event_page, page_header,
};
use prost::Name;
use prost_types::Any;

use crate::framework::TYPE_URL_PREFIX;

/// An event of an aggregate.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The aggregate's domain.
    pub domain: String,
    /// The 16 bytes that identify the aggregate.
    pub root: [u8; 16],
    /// Its number in the aggregate, from 0.
    pub sequence: u32,
    /// Empty if it has none.
    pub correlation_id: String,
    /// What happened.
    pub payload: Any,
}

impl Event {
    /// The payload, if it is of this type.
    #[must_use]
    pub fn as_a<M: Name + Default>(&self) -> Option<M> {
        decode(&self.payload)
    }
}

/// A command on its way to an aggregate.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The aggregate's domain.
    pub domain: String,
    /// The 16 bytes that identify the aggregate.
    pub root: [u8; 16],
    /// What is to be done.
    pub payload: Any,
}

impl Outgoing {
    /// A command to an aggregate.
    #[must_use]
    pub fn new(domain: &str, root: [u8; 16], command: &impl Name) -> Self {
        Self {
            domain: domain.to_owned(),
            root,
            payload: pack(command),
        }
    }

    pub(super) fn into_book(self, correlation_id: &str) -> CommandBook {
        CommandBook {
            cover: Some(Cover {
                domain: self.domain,
                root: Some(Uuid {
                    value: self.root.to_vec(),
                }),
                correlation_id: correlation_id.to_owned(),
                ..Cover::default()
            }),
            pages: vec![CommandPage {
                payload: Some(command_page::Payload::Command(self.payload)),
                ..CommandPage::default()
            }],
        }
    }
}

/// A message as an event or a command.
#[must_use]
pub fn pack(message: &impl Name) -> Any {
    Any {
        type_url: format!("{TYPE_URL_PREFIX}{}", full_name(message)),
        value: message.encode_to_vec(),
    }
}

/// The message in an event or a command, if it is of this type.
#[must_use]
pub fn decode<M: Name + Default>(any: &Any) -> Option<M> {
    let name = any.type_url.rsplit('/').next()?;
    (name == M::full_name()).then_some(())?;
    M::decode(any.value.as_slice()).ok()
}

fn full_name<M: Name>(_: &M) -> String {
    M::full_name()
}

/// The events of a book, oldest first. Placeholders for what is not there any more are left out.
pub(super) fn events(book: Option<EventBook>) -> Vec<Event> {
    let Some(book) = book else {
        return Vec::new();
    };
    let cover = book.cover.unwrap_or_default();
    let root = cover.root.unwrap_or_default().value;
    let root = root.first_chunk().copied().unwrap_or_default();
    book.pages
        .into_iter()
        .filter_map(|page| {
            let Some(event_page::Payload::Event(payload)) = page.payload else {
                return None;
            };
            if crate::framework::steers(&payload.type_url) {
                return None;
            }
            let sequence = match page.header.and_then(|header| header.sequence_type) {
                Some(page_header::SequenceType::Sequence(sequence)) => sequence,
                _ => 0,
            };
            Some(Event {
                domain: cover.domain.clone(),
                root,
                sequence,
                correlation_id: cover.correlation_id.clone(),
                payload,
            })
        })
        .collect()
}
