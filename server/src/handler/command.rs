use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    BusinessResponse, CommandBook, EventBook, EventPage, Notification, ReplayResponse,
    RevocationResponse, Snapshot, business_response, event_page, page_header,
};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;

use super::dialect::{book_for_peer, command_for_peer, page_for_peer, pages_for_peer};
use super::messages::{RawFactRequest, RawReplayRequest, contextual_command};
use super::peer::{Method, Peer, PeerSettings};
use super::{Error, RawBook};
use crate::framework;

const SERVICE: &str = "CommandHandlerService";
const HANDLE: Method = Method {
    service: SERVICE,
    name: "Handle",
    mandatory: true,
};
const HANDLE_FACT: Method = Method {
    service: SERVICE,
    name: "HandleFact",
    mandatory: false,
};
const REPLAY: Method = Method {
    service: SERVICE,
    name: "Replay",
    mandatory: false,
};

/// What business code decided about a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// New events, payloads only, and the state after them when the component gave it.
    Events {
        /// Pages with nothing but their payload: the coordinator numbers them.
        pages: Vec<EventPage>,
        /// State after the pages.
        snapshot: Option<Snapshot>,
    },
    /// The component leaves what to do to the framework.
    Revocation(RevocationResponse),
    /// The component passes the matter on.
    Notification(Notification),
}

/// Bounds on what one answer may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerLimits {
    pub(crate) pages: usize,
    pub(crate) payload_bytes: usize,
}

/// The business code of one domain.
#[derive(Debug)]
pub struct CommandHandler {
    peer: Peer,
    limits: AnswerLimits,
}

impl CommandHandler {
    /// Checks the address; the connection is made with the first call.
    pub(crate) fn new(settings: PeerSettings, limits: AnswerLimits) -> Result<Self, String> {
        Ok(Self {
            peer: Peer::new(settings)?,
            limits,
        })
    }

    /// Asks for the events that a command causes after `prior`.
    ///
    /// Pages and a snapshot that only repeat `prior` are left out of the answer.
    ///
    /// # Errors
    /// See [`Error`]. The component's own status comes as [`Error::Refused`].
    pub async fn handle(
        &self,
        prior: &RawBook,
        command: &CommandBook,
        correlation_id: &str,
    ) -> Result<Answer, Error> {
        self.check_sendable(&prior.pages)?;
        let served = self
            .peer
            .call(HANDLE, correlation_id, |dialect| {
                let pages = pages_for_peer(&prior.pages, dialect).unwrap_or_default();
                contextual_command(prior, &pages, &command_for_peer(command, dialect))
            })
            .await?;
        let response =
            BusinessResponse::decode(served.bytes).map_err(|error| self.undecodable(&error))?;
        Ok(match response.result {
            Some(business_response::Result::Events(book)) => {
                self.new_events(book, prior, served.dialect)?
            }
            Some(business_response::Result::Revocation(revocation)) => {
                Answer::Revocation(revocation)
            }
            Some(business_response::Result::Notification(notification)) => {
                Answer::Notification(notification)
            }
            None => Answer::Events {
                pages: Vec::new(),
                snapshot: None,
            },
        })
    }

    /// Lets the component replace facts before they are stored. `None`: it has no such method.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn handle_fact(
        &self,
        prior: &RawBook,
        facts: &EventBook,
        correlation_id: &str,
    ) -> Result<Option<(Vec<EventPage>, Option<Snapshot>)>, Error> {
        self.check_sendable(&prior.pages)?;
        let served = self
            .peer
            .call(HANDLE_FACT, correlation_id, |dialect| {
                let mut facts = facts.clone();
                super::dialect::book_for_caller(&mut facts, dialect);
                let request = RawFactRequest {
                    facts: Some(facts),
                    prior_events: Some(book_for_peer(prior, dialect).unwrap_or_default()),
                };
                request.encode_to_vec().into()
            })
            .await;
        let served = match served {
            Err(error) if error.is_unimplemented() => return Ok(None),
            served => served?,
        };
        let book = EventBook::decode(served.bytes).map_err(|error| self.undecodable(&error))?;
        let snapshot = new_snapshot(book.snapshot, prior);
        let pages = self.payloads(book.pages)?;
        Ok(Some((pages, snapshot)))
    }

    /// State of the component after `pages` on top of `snapshot`. `None` when it cannot tell:
    /// it has no such method, refuses, or names no type.
    ///
    /// # Errors
    /// Only when the component is away for now, so that the same call may succeed later.
    pub async fn replay(
        &self,
        snapshot: Option<&Snapshot>,
        pages: &[Bytes],
        correlation_id: &str,
    ) -> Result<Option<Any>, Error> {
        self.check_sendable(pages)?;
        let served = self
            .peer
            .call(REPLAY, correlation_id, |dialect| {
                let events = pages_for_peer(pages, dialect).unwrap_or_default();
                let request = RawReplayRequest {
                    base_snapshot: snapshot.cloned(),
                    events: events.into_owned(),
                };
                request.encode_to_vec().into()
            })
            .await;
        let state = match served {
            Ok(served) => {
                ReplayResponse::decode(served.bytes)
                    .map_err(|error| self.undecodable(&error))?
                    .state
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the handler has no state to compare");
                None
            }
        };
        Ok(state.filter(|state| !state.type_url.is_empty()))
    }

    /// Checks stored pages once, so that translating them for a peer cannot fail.
    fn check_sendable(&self, pages: &[Bytes]) -> Result<(), Error> {
        // The canonical dialect gets the stored bytes as they are.
        if self.peer.dialect() == Some(Dialect::V1) {
            return Ok(());
        }
        pages_for_peer(pages, Dialect::Client03)
            .map(drop)
            .map_err(|error| {
                self.peer
                    .nonsense(format!("a stored page cannot be sent to it: {error}"))
            })
    }

    fn new_events(
        &self,
        book: EventBook,
        prior: &RawBook,
        dialect: Dialect,
    ) -> Result<Answer, Error> {
        let snapshot = new_snapshot(book.snapshot, prior);
        let limit = self.limits.pages.saturating_add(prior.pages.len());
        if book.pages.len() > limit {
            return Err(self.too_many_pages(book.pages.len()));
        }
        let pages = book
            .pages
            .into_iter()
            .filter(|page| !repeats(page, prior, dialect))
            .collect();
        Ok(Answer::Events {
            pages: self.payloads(pages)?,
            snapshot,
        })
    }

    /// Keeps of each page what business code decides: its payload.
    fn payloads(&self, pages: Vec<EventPage>) -> Result<Vec<EventPage>, Error> {
        if pages.len() > self.limits.pages {
            return Err(self.too_many_pages(pages.len()));
        }
        pages
            .into_iter()
            .enumerate()
            .map(|(place, page)| {
                self.check_payload(place, page.payload.as_ref())?;
                Ok(EventPage {
                    payload: page.payload,
                    ..EventPage::default()
                })
            })
            .collect()
    }

    fn check_payload(
        &self,
        place: usize,
        payload: Option<&event_page::Payload>,
    ) -> Result<(), Error> {
        let what = match payload {
            None => "has no event".to_owned(),
            Some(event_page::Payload::External(_)) => {
                "refers to an external payload, which this server does not fetch".to_owned()
            }
            Some(event_page::Payload::Event(any)) if any.type_url.is_empty() => {
                "has an event without a type_url".to_owned()
            }
            Some(event_page::Payload::Event(any))
                if framework::name(&any.type_url) == Some("NoOp") =>
            {
                "holds a NoOp, which is made when pages are read and never stored".to_owned()
            }
            Some(event_page::Payload::Event(any))
                if any.value.len() > self.limits.payload_bytes =>
            {
                format!(
                    "has an event of {} bytes, the limit is {} (limits.payload_bytes)",
                    any.value.len(),
                    self.limits.payload_bytes
                )
            }
            Some(event_page::Payload::Event(_)) => return Ok(()),
        };
        Err(self.peer.nonsense(format!("page {place} {what}")))
    }

    fn too_many_pages(&self, count: usize) -> Error {
        self.peer.nonsense(format!(
            "it has {count} pages, the limit is {} (limits.pages_per_book)",
            self.limits.pages
        ))
    }

    fn undecodable(&self, error: &prost::DecodeError) -> Error {
        self.peer.nonsense(error.to_string())
    }
}

/// Some clients answer with the book they were given, the new pages at its end. Such a page has
/// a known number and is what was sent to the last field; a handler that merely numbers its new
/// pages from 0 does not repeat `created_at`.
fn repeats(page: &EventPage, prior: &RawBook, dialect: Dialect) -> bool {
    let Some(page_header::SequenceType::Sequence(sequence)) = page
        .header
        .as_ref()
        .and_then(|header| header.sequence_type.as_ref())
    else {
        return false;
    };
    sent_page(*sequence, prior, dialect).is_some_and(|sent| sent == *page)
}

fn sent_page(sequence: u32, prior: &RawBook, dialect: Dialect) -> Option<EventPage> {
    let behind = usize::try_from(prior.next_sequence.checked_sub(sequence)?).ok()?;
    let place = prior.pages.len().checked_sub(behind)?;
    let sent = page_for_peer(prior.pages.get(place)?, dialect).ok()?;
    EventPage::decode(sent).ok()
}

/// A snapshot that is not the one that was sent.
fn new_snapshot(returned: Option<Snapshot>, prior: &RawBook) -> Option<Snapshot> {
    returned
        .filter(|snapshot| snapshot.state.is_some() && prior.snapshot.as_ref() != Some(snapshot))
}
