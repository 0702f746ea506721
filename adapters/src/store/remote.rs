use std::time::Duration;

use angzarr_proto::store::v1 as pb;
use futures::{StreamExt, TryStreamExt};
use pb::admin_client::AdminClient;
use pb::cascades_client::CascadesClient;
use pb::editions_client::EditionsClient;
use pb::event_store_client::EventStoreClient;
use pb::positions_client::PositionsClient;
use pb::snapshots_client::SnapshotsClient;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{BackupStream, EventStore, ReadStream, RecordStream, Result};
use crate::StoreError;

/// Longest wait for the answer of a call that is not a stream.
const UNARY_DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Largest answer accepted, in bytes. A server refuses requests above 10 MiB, and an answer
/// holds what one request stored plus headers, so four times that is never met by chance.
const ANSWER_BYTES_MAX: usize = 40 * 1024 * 1024;

/// A silent connection is probed this often, so that a vanished server is noticed by streams too.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// HTTP/2 windows, in bytes: wide enough that a bulk read does not wait for its own credit.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Largest HTTP/2 frame taken, in bytes: fewer system calls for a bulk read.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// How a server elsewhere is trusted. All in PEM.
#[derive(Debug, Clone)]
pub struct RemoteTls {
    /// Authority that signed its certificate.
    pub ca: Vec<u8>,
    /// Name in its certificate, when it differs from that of the address.
    pub server_name: Option<String>,
    /// Certificate and private key to show to it.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl RemoteTls {
    fn config(self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.ca));
        if let Some(name) = self.server_name {
            config = config.domain_name(name);
        }
        match self.identity {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }
}

/// The store of another process, spoken to over `angzarr.store.v1`.
///
/// Cheap to clone; clones share one connection, which is made when first needed and again
/// when it was lost. A call in flight when the connection breaks fails with
/// [`StoreError::Unavailable`]: its outcome is unknown.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    events: EventStoreClient<Channel>,
    snapshots: SnapshotsClient<Channel>,
    editions: EditionsClient<Channel>,
    cascades: CascadesClient<Channel>,
    positions: PositionsClient<Channel>,
    admin: AdminClient<Channel>,
}

impl RemoteStore {
    /// Makes a store of the server at `url` (`http://host:port` or `unix:/path`) without
    /// waiting for it. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the text is not such an address.
    pub fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, None)
    }

    /// The same for a server that speaks TLS: `https://host:port`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the text is not such an address, or the certificates are
    /// none.
    pub fn connect_with(url: &str, tls: Option<RemoteTls>) -> Result<Self> {
        Ok(Self::over(channel(url, tls)?))
    }

    /// Makes a store of an existing channel.
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        Self {
            events: EventStoreClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            snapshots: SnapshotsClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            editions: EditionsClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            cascades: CascadesClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            positions: PositionsClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            admin: AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        }
    }
}

/// A channel to the server at `url`, opened with the first call. See [`RemoteStore::connect_with`].
///
/// # Errors
/// [`StoreError::Invalid`]
pub fn channel(url: &str, tls: Option<RemoteTls>) -> Result<Channel> {
    let schemes: &[&str] = match tls {
        Some(_) => &["https://"],
        None => &["http://", "unix:"],
    };
    let scheme_known = schemes.iter().any(|scheme| url.starts_with(scheme));
    let endpoint = Endpoint::from_shared(url.to_owned())
        .ok()
        .filter(|_| scheme_known);
    let mut endpoint = endpoint.ok_or_else(|| {
        let forms = match tls {
            Some(_) => "https://host:port",
            None => "http://host:port or unix:/path",
        };
        StoreError::Invalid(format!(
            "store url {url:?} is not an address: write {forms}"
        ))
    })?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.config()).map_err(|error| {
            StoreError::Invalid(format!(
                "the certificates for {url} cannot be used: {error}"
            ))
        })?;
    }
    let endpoint = endpoint
        .connect_timeout(CONNECT_DEADLINE)
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
}

/// Implements the port: the unary calls as listed, and the streams, which differ in nothing
/// but their types. It covers the whole `impl` because the attribute above an `impl` does not
/// see what a macro inside it would write.
macro_rules! unary {
    ($($method:ident($request:ident) -> $answer:ident = $client:ident.$rpc:ident;)*) => {
        #[tonic::async_trait]
        impl EventStore for RemoteStore {
            $(async fn $method(&self, request: pb::$request) -> Result<pb::$answer> {
                let answer = self.$client.clone().$rpc(with_deadline(request)).await?;
                Ok(answer.into_inner())
            })*

            async fn read(&self, request: pb::ReadRequest) -> Result<ReadStream> {
                let answers = self.events.clone().read(request).await?.into_inner();
                Ok(answers.map_err(StoreError::from).boxed())
            }

            async fn read_all(&self, request: pb::ReadAllRequest) -> Result<RecordStream> {
                let answers = self.events.clone().read_all(request).await?.into_inner();
                Ok(answers.map_err(StoreError::from).boxed())
            }

            async fn subscribe(&self, request: pb::ReadAllRequest) -> Result<RecordStream> {
                let answers = self.events.clone().subscribe(request).await?.into_inner();
                Ok(answers.map_err(StoreError::from).boxed())
            }

            async fn backup(&self, request: pb::BackupRequest) -> Result<BackupStream> {
                let answers = self.admin.clone().backup(request).await?.into_inner();
                Ok(answers.map_err(StoreError::from).boxed())
            }

            async fn diff(&self, request: pb::DiffRequest) -> Result<Vec<pb::DiffResponse>> {
                let answers = self.editions.clone().diff(request).await?.into_inner();
                answers.map_err(StoreError::from).try_collect().await
            }
        }
    };
}

unary! {
    append(AppendRequest) -> AppendResponse = events.append;
    list_domains(ListDomainsRequest) -> ListDomainsResponse = events.list_domains;
    list_editions(ListEditionsRequest) -> ListEditionsResponse = events.list_editions;
    list_aggregates(ListAggregatesRequest) -> ListAggregatesResponse = events.list_aggregates;
    list_correlated(ListCorrelatedRequest) -> ListCorrelatedResponse = events.list_correlated;
    get_claim(GetClaimRequest) -> GetClaimResponse = events.get_claim;
    put_snapshot(PutSnapshotRequest) -> PutSnapshotResponse = snapshots.put;
    get_snapshot(GetSnapshotRequest) -> GetSnapshotResponse = snapshots.get;
    list_snapshots(ListSnapshotsRequest) -> ListSnapshotsResponse = snapshots.list;
    delete_snapshot(DeleteSnapshotRequest) -> DeleteSnapshotResponse = snapshots.delete;
    fork(ForkRequest) -> ForkResponse = editions.fork;
    list_edition_details(ListEditionDetailsRequest) -> ListEditionDetailsResponse = editions.list;
    delete_edition(DeleteEditionRequest) -> DeleteEditionResponse = editions.delete;
    commit_cascade(CommitCascadeRequest) -> SettleCascadeResponse = cascades.commit;
    rollback_cascade(RollbackCascadeRequest) -> SettleCascadeResponse = cascades.rollback;
    list_stale_cascades(ListStaleCascadesRequest) -> ListStaleCascadesResponse
        = cascades.list_stale;
    list_participants(ListParticipantsRequest) -> ListParticipantsResponse
        = cascades.list_participants;
    get_position(GetPositionRequest) -> GetPositionResponse = positions.get;
    put_position(PutPositionRequest) -> PutPositionResponse = positions.put;
    stats(StatsRequest) -> StatsResponse = admin.stats;
    seal_segment(SealSegmentRequest) -> SealSegmentResponse = admin.seal_segment;
    sealing(SealingRequest) -> SealingResponse = admin.sealing;
}

fn with_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(UNARY_DEADLINE);
    request
}

#[cfg(test)]
mod tests;
