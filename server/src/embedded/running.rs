//! A server that runs in this process.

use std::io;

use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient as Commands;
use angzarr_proto::v1::event_query_service_client::EventQueryServiceClient as Queries;
use angzarr_proto::v1::{CommandRequest, Cover, PageHeader, Query, SyncMode, Uuid, page_header};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::message::{Event, Outgoing, events};
use crate::run::{Instance, RunError};

/// Why an embedded server does not do what it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not fit together.
    #[error("{0}")]
    Configuration(String),
    /// The server did not start, or ended.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The operating system refused.
    #[error("{0}")]
    Io(io::Error),
    /// The command or query was refused: by business code, or by the server.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
}

/// A server in this process. Dropping it stops it without waiting; see [`Running::stop`].
pub struct Running {
    urls: Vec<String>,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), RunError>>,
    channel: Channel,
    /// Stops the components, which the server needs until it has stopped.
    components: CancellationToken,
    _sockets: tempfile::TempDir,
}

impl Running {
    pub(super) fn start(
        instance: Instance,
        components: CancellationToken,
        sockets: tempfile::TempDir,
    ) -> Result<Self, Error> {
        let urls = instance.urls().to_vec();
        let url = urls.first().cloned().unwrap_or_default();
        let channel = Endpoint::from_shared(url)
            .map_err(|error| Error::Configuration(error.to_string()))?
            .connect_lazy();
        Ok(Self {
            urls,
            shutdown: instance.shutdown(),
            serving: tokio::spawn(instance.serve()),
            channel,
            components,
            _sockets: sockets,
        })
    }

    /// Where clients of other processes connect.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// A connection to the server, for every service of the protocol.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Sends a command to an aggregate whatever its state, once for each `id`, and returns the
    /// new events. `correlation_id` goes on to everything that the command causes; it may be
    /// empty.
    ///
    /// # Errors
    /// [`Error::Refused`] with the words of business code.
    pub async fn send(
        &self,
        command: Outgoing,
        id: &str,
        correlation_id: &str,
    ) -> Result<Vec<Event>, Error> {
        let mut book = command.into_book(correlation_id);
        for page in &mut book.pages {
            page.header = Some(PageHeader {
                sequence_type: Some(page_header::SequenceType::ExternalDeferred(
                    angzarr_proto::v1::ExternalDeferredSequence {
                        external_id: id.to_owned(),
                        description: String::new(),
                    },
                )),
                sync_mode: None,
            });
        }
        let request = CommandRequest {
            command: Some(book),
            sync_mode: SyncMode::Async.into(),
            ..CommandRequest::default()
        };
        let response = Commands::new(self.channel())
            .handle_command(request)
            .await
            .map_err(|status| Error::Refused(Box::new(status)))?;
        Ok(events(response.into_inner().events))
    }

    /// The events of an aggregate, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn history(&self, domain: &str, root: [u8; 16]) -> Result<Vec<Event>, Error> {
        let query = Query {
            cover: Some(Cover {
                domain: domain.to_owned(),
                root: Some(Uuid {
                    value: root.to_vec(),
                }),
                ..Cover::default()
            }),
            ..Query::default()
        };
        let book = Queries::new(self.channel())
            .get_event_book(query)
            .await
            .map_err(|status| Error::Refused(Box::new(status)))?;
        Ok(events(Some(book.into_inner())))
    }

    /// Finishes what is under way, syncs and closes the store.
    ///
    /// # Errors
    /// [`Error::Run`] when that fails.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.shutdown.cancel();
        let ended = (&mut self.serving).await;
        self.components.cancel();
        match ended {
            Ok(result) => Ok(result?),
            Err(error) => Err(Error::Configuration(format!(
                "the server ended early: {error}"
            ))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.components.cancel();
    }
}
