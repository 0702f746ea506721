use angzarr_proto::Dialect;
use angzarr_proto::v1::{EventPage, UpcastResponse, event_page};
use bytes::Bytes;
use prost::Message;

use super::Error;
use super::dialect::pages_for_peer;
use super::messages::RawUpcastRequest;
use super::peer::{Method, Peer, PeerSettings};

const UPCAST: Method = Method {
    service: "UpcasterService",
    name: "Upcast",
    mandatory: true,
};

/// The component that brings stored events of one domain to their newest form.
#[derive(Debug)]
pub struct Upcaster {
    peer: Peer,
}

impl Upcaster {
    /// Checks the address; the connection is made with the first call.
    pub(crate) fn new(settings: PeerSettings) -> Result<Self, String> {
        Ok(Self {
            peer: Peer::new(settings)?,
        })
    }

    /// The newest form of each event. Headers, times and pending state of the pages stay as
    /// they were stored: the component decides about payloads only.
    ///
    /// # Errors
    /// See [`Error`]; an answer with another number of pages is [`Error::Nonsense`].
    pub async fn upcast(
        &self,
        domain: &str,
        stored: &[Bytes],
        correlation_id: &str,
    ) -> Result<Vec<Bytes>, Error> {
        let unsendable = |_| self.peer.nonsense("a stored page cannot be sent to it");
        pages_for_peer(stored, Dialect::Client03)
            .map(drop)
            .map_err(unsendable)?;
        let served = self
            .peer
            .call(UPCAST, correlation_id, |dialect| {
                let events = pages_for_peer(stored, dialect).unwrap_or_default();
                let request = RawUpcastRequest {
                    domain: domain.to_owned(),
                    events: events.into_owned(),
                };
                request.encode_to_vec().into()
            })
            .await?;
        let response = UpcastResponse::decode(served.bytes)
            .map_err(|error| self.peer.nonsense(error.to_string()))?;
        if response.events.len() != stored.len() {
            return Err(self.peer.nonsense(format!(
                "it has {} pages for the {} it was asked about; an upcaster answers each page \
                 with one",
                response.events.len(),
                stored.len()
            )));
        }
        stored
            .iter()
            .zip(response.events)
            .map(|(page, newest)| self.merge(page, newest))
            .collect()
    }

    fn merge(&self, stored: &Bytes, newest: EventPage) -> Result<Bytes, Error> {
        let mut page = EventPage::decode(stored.clone())
            .map_err(|error| self.peer.nonsense(error.to_string()))?;
        let Some(event_page::Payload::Event(newest)) = newest.payload else {
            return Err(self.peer.nonsense("a page has no event"));
        };
        match &mut page.payload {
            Some(event_page::Payload::Event(event))
                if crate::framework::name(&event.type_url).is_none() =>
            {
                *event = newest;
            }
            // Protocol messages and references are not the component's.
            _ => return Ok(stored.clone()),
        }
        Ok(Bytes::from(page.encode_to_vec()))
    }
}
