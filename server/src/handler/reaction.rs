//! Sagas, process managers and projectors: business code that reacts to events.

use std::collections::BTreeMap;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{
    CascadeErrorMode, ProcessManagerHandleResponse, Projection, SagaResponse, SyncMode,
};
use prost::Message;

use super::dialect::{book_for_peer, pages_for_peer};
use super::messages::{RawProcessManagerRequest, RawSagaRequest};
use super::peer::{Method, Peer, PeerSettings};
use super::{Error, RawBook};

const PROJECT: Method = mandatory("ProjectorService", "Handle");
const PROJECT_SPECULATIVELY: Method = mandatory("ProjectorService", "HandleSpeculative");
const SAGA: Method = mandatory("SagaService", "Handle");
const PROCESS: Method = mandatory("ProcessManagerService", "Handle");

const fn mandatory(service: &'static str, name: &'static str) -> Method {
    Method {
        service,
        name,
        mandatory: true,
    }
}

/// How a reaction was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReactionMode {
    /// Of the request that waits for the reaction, if one does.
    pub sync: SyncMode,
    /// What a failure means to it.
    pub errors: CascadeErrorMode,
}

/// A component that reacts to events.
#[derive(Debug)]
pub struct Reactor {
    peer: Peer,
}

impl Reactor {
    /// Checks the address; the connection is made with the first call.
    pub(crate) fn new(settings: PeerSettings) -> Result<Self, String> {
        Ok(Self {
            peer: Peer::new(settings)?,
        })
    }

    /// Hands new events to a projector.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn project(&self, book: &RawBook) -> Result<Projection, Error> {
        self.project_by(PROJECT, book).await
    }

    /// Asks a projector what it would make of events, without effects.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn project_speculatively(&self, book: &RawBook) -> Result<Projection, Error> {
        self.project_by(PROJECT_SPECULATIVELY, book).await
    }

    /// Asks a saga what an event causes elsewhere.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn translate(
        &self,
        source: &RawBook,
        destinations: &BTreeMap<String, u32>,
        mode: ReactionMode,
    ) -> Result<SagaResponse, Error> {
        self.check_sendable(source)?;
        let served = self
            .peer
            .call(SAGA, correlation(source), |dialect| {
                let request = RawSagaRequest {
                    source: Some(sendable(source, dialect)),
                    sync_mode: sync_mode_for(mode.sync, dialect).into(),
                    cascade_error_mode: mode.errors.into(),
                    destination_sequences: destinations.clone(),
                };
                request.encode_to_vec().into()
            })
            .await?;
        self.decoded(SagaResponse::decode(served.bytes))
    }

    /// Asks a process manager what an event means to its process.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn process(
        &self,
        trigger: &RawBook,
        state: &RawBook,
        destinations: &BTreeMap<String, u32>,
    ) -> Result<ProcessManagerHandleResponse, Error> {
        self.check_sendable(trigger)?;
        self.check_sendable(state)?;
        let served = self
            .peer
            .call(PROCESS, correlation(trigger), |dialect| {
                let request = RawProcessManagerRequest {
                    trigger: Some(sendable(trigger, dialect)),
                    process_state: Some(sendable(state, dialect)),
                    destination_sequences: destinations.clone(),
                };
                request.encode_to_vec().into()
            })
            .await?;
        self.decoded(ProcessManagerHandleResponse::decode(served.bytes))
    }

    /// An answer that came but cannot be used.
    pub(crate) fn nonsense(&self, what: impl Into<String>) -> Error {
        self.peer.nonsense(what)
    }

    async fn project_by(&self, method: Method, book: &RawBook) -> Result<Projection, Error> {
        self.check_sendable(book)?;
        let served = self
            .peer
            .call(method, correlation(book), |dialect| {
                sendable(book, dialect).encode_to_vec().into()
            })
            .await?;
        self.decoded(Projection::decode(served.bytes))
    }

    /// Checks stored pages once, so that translating them for the peer cannot fail.
    fn check_sendable(&self, book: &RawBook) -> Result<(), Error> {
        pages_for_peer(&book.pages, Dialect::Client03)
            .map(drop)
            .map_err(|error| {
                self.peer
                    .nonsense(format!("a stored page cannot be sent to it: {error}"))
            })
    }

    fn decoded<M>(&self, answer: Result<M, prost::DecodeError>) -> Result<M, Error> {
        answer.map_err(|error| self.peer.nonsense(error.to_string()))
    }
}

fn sendable(book: &RawBook, dialect: Dialect) -> RawBook {
    book_for_peer(book, dialect).unwrap_or_default()
}

fn correlation(book: &RawBook) -> &str {
    book.cover
        .as_ref()
        .map_or("", |cover| cover.correlation_id.as_str())
}

/// The oldest dialect knows the first three modes only.
fn sync_mode_for(mode: SyncMode, dialect: Dialect) -> SyncMode {
    match (dialect, mode) {
        (Dialect::Client03, SyncMode::Decision | SyncMode::Isolated) => SyncMode::Async,
        _ => mode,
    }
}
