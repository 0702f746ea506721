//! The shop's side of the protocol: commands in, books out, and a memory of every answer.

use std::{collections::BTreeMap, path::Path};

use angzarr_proto::{
    store::v1::{
        ForkRequest, StatsRequest, admin_client::AdminClient, editions_client::EditionsClient,
    },
    v1::{
        CommandBook, CommandPage, CommandRequest, Cover, DomainDivergence, Edition, EventBook,
        EventPage, MergeStrategy, PageHeader, Query,
        command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient,
        command_page, event_query_service_client::EventQueryServiceClient,
        page_header::SequenceType,
    },
};
use prost_types::Any;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use super::Trouble;

/// One aggregate on one timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) domain: &'static str,
    /// What people call it; its root follows from it.
    pub(super) name: &'static str,
    /// `None` is main.
    pub(super) branch: Option<&'static str>,
}

impl Place {
    pub(super) fn on(&self, branch: &'static str) -> Self {
        Self {
            branch: Some(branch),
            ..self.clone()
        }
    }

    fn cover(&self) -> Cover {
        let name = format!("{}/{}", self.domain, self.name);
        let root = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        Cover {
            domain: self.domain.to_owned(),
            root: Some(angzarr_proto::v1::Uuid {
                value: root.as_bytes().to_vec(),
            }),
            edition: self.branch.map(|name| Edition {
                name: name.to_owned(),
                divergences: Vec::new(),
            }),
            ..Cover::default()
        }
    }
}

/// A connection to the server, and every event it ever acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    commands: CommandHandlerCoordinatorServiceClient<Channel>,
    queries: EventQueryServiceClient<Channel>,
    editions: EditionsClient<Channel>,
    admin: AdminClient<Channel>,
    acknowledged: BTreeMap<Place, Vec<EventPage>>,
}

impl Shop {
    pub(super) async fn connect(socket: &Path) -> Result<Self, Trouble> {
        let channel = channel(socket).await?;
        Ok(Self::over(channel, BTreeMap::new()))
    }

    /// The same shop, after its server was replaced.
    pub(super) async fn reconnect(&mut self, socket: &Path) -> Result<(), Trouble> {
        let acknowledged = std::mem::take(&mut self.acknowledged);
        *self = Self::over(channel(socket).await?, acknowledged);
        Ok(())
    }

    fn over(channel: Channel, acknowledged: BTreeMap<Place, Vec<EventPage>>) -> Self {
        Self {
            commands: CommandHandlerCoordinatorServiceClient::new(channel.clone()),
            queries: EventQueryServiceClient::new(channel.clone()),
            editions: EditionsClient::new(channel.clone()),
            admin: AdminClient::new(channel),
            acknowledged,
        }
    }

    /// Sends a command that is meant for exactly this state of the aggregate.
    pub(super) async fn command(
        &mut self,
        place: &Place,
        expected: u32,
        command: Any,
    ) -> Result<EventPage, Status> {
        let sequence_type = Some(SequenceType::Sequence(expected));
        let page = CommandPage {
            header: Some(PageHeader {
                sequence_type,
                ..PageHeader::default()
            }),
            merge_strategy: MergeStrategy::MergeStrict.into(),
            payload: Some(command_page::Payload::Command(command)),
        };
        let book = CommandBook {
            cover: Some(place.cover()),
            pages: vec![page],
        };
        let request = CommandRequest {
            command: Some(book),
            ..CommandRequest::default()
        };
        let answer = self.commands.handle_command(request).await?.into_inner();
        let pages = answer.events.map(|book| book.pages).unwrap_or_default();
        let [page] = <[EventPage; 1]>::try_from(pages).map_err(|pages| {
            Status::internal(format!(
                "{} events in the answer instead of one",
                pages.len()
            ))
        })?;
        self.remember(place, page.clone());
        Ok(page)
    }

    /// Counts an event as acknowledged.
    pub(super) fn remember(&mut self, place: &Place, page: EventPage) {
        self.acknowledged
            .entry(place.clone())
            .or_default()
            .push(page);
    }

    #[cfg(test)]
    pub(super) fn forget_last(&mut self, place: &Place) {
        self.acknowledged.entry(place.clone()).or_default().pop();
    }

    /// The book of an aggregate, as the query service gives it.
    pub(super) async fn book(&mut self, place: &Place) -> Result<EventBook, Trouble> {
        let query = Query {
            cover: Some(place.cover()),
            selection: None,
        };
        let answer = self.queries.get_event_book(query).await;
        Ok(answer.map_err(Trouble::call("GetEventBook"))?.into_inner())
    }

    /// What the server promises with an answer.
    pub(super) async fn durability(&mut self) -> Result<String, Trouble> {
        let answer = self.admin.stats(StatsRequest {}).await;
        Ok(answer
            .map_err(Trouble::call("Stats"))?
            .into_inner()
            .durability)
    }

    /// Makes a branch that inherits, in each domain, the events below a sequence.
    pub(super) async fn fork(
        &mut self,
        name: &str,
        divergences: &[(&str, u32)],
    ) -> Result<(), Trouble> {
        let divergence = |(domain, sequence): &(&str, u32)| DomainDivergence {
            domain: (*domain).to_owned(),
            sequence: *sequence,
        };
        let edition = Edition {
            name: name.to_owned(),
            divergences: divergences.iter().map(divergence).collect(),
        };
        let request = ForkRequest {
            edition: Some(edition),
        };
        self.editions
            .fork(request)
            .await
            .map_err(Trouble::call("Fork"))?;
        Ok(())
    }

    /// Reads everything back and holds it against what was acknowledged, event by event.
    /// Returns the number of events that were stored.
    pub(super) async fn check_everything(
        &mut self,
        divergences: &[(&str, u32)],
    ) -> Result<usize, Trouble> {
        let acknowledged = self.acknowledged.clone();
        for (place, own) in &acknowledged {
            let mut expected: Vec<EventPage> = Vec::new();
            if place.branch.is_some() {
                let main = Place {
                    branch: None,
                    ..place.clone()
                };
                let below = divergences
                    .iter()
                    .find(|(domain, _)| *domain == place.domain);
                let below = below.and_then(|(_, sequence)| usize::try_from(*sequence).ok());
                let inherited = acknowledged.get(&main).into_iter().flatten();
                expected.extend(inherited.take(below.unwrap_or(usize::MAX)).cloned());
            }
            expected.extend(own.iter().cloned());
            let book = self.book(place).await?;
            if book.pages != expected {
                return Err(Trouble::wrong(format!(
                    "{} {}: {} events were read, not the {} that were acknowledged",
                    place.domain,
                    place.name,
                    book.pages.len(),
                    expected.len()
                )));
            }
        }
        Ok(acknowledged.values().map(Vec::len).sum())
    }
}

/// The sequence of a stored event.
pub(super) fn sequence(page: &EventPage) -> Option<u32> {
    match page.header.as_ref()?.sequence_type.as_ref()? {
        SequenceType::Sequence(sequence) => Some(*sequence),
        _ => None,
    }
}

async fn channel(socket: &Path) -> Result<Channel, Trouble> {
    let uri = format!("unix:{}", socket.display());
    let endpoint = Endpoint::from_shared(uri).map_err(Trouble::transport)?;
    endpoint.connect().await.map_err(Trouble::transport)
}
