mod framed;

use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_adapters::status::to_refusal;
use angzarr_proto::store::v1 as pb;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pb::admin_server::{Admin, AdminServer};
use pb::append_stream_response::Outcome;
use pb::cascades_server::{Cascades, CascadesServer};
use pb::editions_server::{Editions, EditionsServer};
use pb::event_store_server::EventStore as EventStoreRpc;
use pb::positions_server::{Positions, PositionsServer};
use pb::snapshots_server::{Snapshots, SnapshotsServer};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::framed::Framed;
use super::Answers;
use super::message_limit::rephrase_status;
use crate::grpc::GrpcServer;
use crate::telemetry::describe;

/// Appends of one stream that may be in flight at a time. The client waits when they are not
/// answered: a stream's share of memory is this many requests.
const APPENDS_IN_FLIGHT: usize = 256;

/// The database protocol over any store.
#[derive(Clone)]
pub struct StoreService {
    store: Arc<dyn EventStore>,
    shutdown: CancellationToken,
}

impl StoreService {
    /// Serves a store until `shutdown` ends the subscriptions.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, shutdown: CancellationToken) -> Self {
        Self { store, shutdown }
    }

    /// What is subscribed to, until the server shuts down.
    fn until_shutdown<T: Send + 'static>(
        &self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Answers<T> {
        let goodbye = Status::unavailable(
            "the server is shutting down: subscribe again after the last position you received",
        );
        answers
            .take_until(self.shutdown.clone().cancelled_owned())
            .chain(stream::once(async { Err(goodbye) }))
            .boxed()
    }

    /// Adds the six services of `angzarr.store.v1` to a server.
    #[must_use]
    pub fn add_to(self, server: GrpcServer) -> GrpcServer {
        let max = server.message_bytes_max();
        server
            .add_service(Framed::new(self.clone(), max))
            .add_service(SnapshotsServer::new(self.clone()).max_decoding_message_size(max))
            .add_service(EditionsServer::new(self.clone()).max_decoding_message_size(max))
            .add_service(CascadesServer::new(self.clone()).max_decoding_message_size(max))
            .add_service(PositionsServer::new(self.clone()).max_decoding_message_size(max))
            .add_service(AdminServer::new(self).max_decoding_message_size(max))
    }
}

/// Implements a service trait: the unary methods as listed, which do nothing but pass on, and
/// whatever else is given. It covers the whole `impl` because the attribute above an `impl`
/// does not see what a macro inside it would write.
macro_rules! service {
    ($service:ident {
        $($rpc:ident($request:ident) -> $answer:ident = $method:ident;)*
    } $($more:tt)*) => {
        #[tonic::async_trait]
        impl $service for StoreService {
            $(async fn $rpc(
                &self,
                request: Request<pb::$request>,
            ) -> Result<Response<pb::$answer>, Status> {
                Ok(Response::new(self.store.$method(request.into_inner()).await?))
            })*
            $($more)*
        }
    };
}

service!(EventStoreRpc {
    append(AppendRequest) -> AppendResponse = append;
    list_domains(ListDomainsRequest) -> ListDomainsResponse = list_domains;
    list_editions(ListEditionsRequest) -> ListEditionsResponse = list_editions;
    list_aggregates(ListAggregatesRequest) -> ListAggregatesResponse = list_aggregates;
    list_correlated(ListCorrelatedRequest) -> ListCorrelatedResponse = list_correlated;
    get_claim(GetClaimRequest) -> GetClaimResponse = get_claim;
}
    type AppendStreamStream = Answers<pb::AppendStreamResponse>;
    type ReadStream = Answers<pb::ReadResponse>;
    type ReadAllStream = Answers<pb::ReadAllResponse>;
    type SubscribeStream = Answers<pb::ReadAllResponse>;

    async fn append_stream(
        &self,
        requests: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let store = Arc::clone(&self.store);
        let answers = requests
            .into_inner()
            // Requests reach the store in the order in which they are first polled. The runtime's
            // budget would turn some away at that moment and wake them in another order.
            .map(move |request| unconstrained(append_one(Arc::clone(&store), request)))
            .buffered(APPENDS_IN_FLIGHT);
        Ok(Response::new(answers.boxed()))
    }

    async fn read(
        &self,
        request: Request<pb::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        describe(request.get_ref().cover.as_ref());
        let chunks = self.store.read(request.into_inner()).await?;
        Ok(Response::new(chunks.map_err(Status::from).boxed()))
    }

    async fn read_all(
        &self,
        request: Request<pb::ReadAllRequest>,
    ) -> Result<Response<Self::ReadAllStream>, Status> {
        let records = self.store.read_all(request.into_inner()).await?;
        Ok(Response::new(records.map_err(Status::from).boxed()))
    }

    async fn subscribe(
        &self,
        request: Request<pb::ReadAllRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let records = self.store.subscribe(request.into_inner()).await?;
        Ok(Response::new(self.until_shutdown(records.map_err(Status::from))))
    }
);

service!(Snapshots {
    put(PutSnapshotRequest) -> PutSnapshotResponse = put_snapshot;
    get(GetSnapshotRequest) -> GetSnapshotResponse = get_snapshot;
    list(ListSnapshotsRequest) -> ListSnapshotsResponse = list_snapshots;
    delete(DeleteSnapshotRequest) -> DeleteSnapshotResponse = delete_snapshot;
});

service!(Cascades {
    commit(CommitCascadeRequest) -> SettleCascadeResponse = commit_cascade;
    rollback(RollbackCascadeRequest) -> SettleCascadeResponse = rollback_cascade;
    list_stale(ListStaleCascadesRequest) -> ListStaleCascadesResponse = list_stale_cascades;
    list_participants(ListParticipantsRequest) -> ListParticipantsResponse = list_participants;
});

service!(Positions {
    get(GetPositionRequest) -> GetPositionResponse = get_position;
    put(PutPositionRequest) -> PutPositionResponse = put_position;
});

service!(Admin {
    stats(StatsRequest) -> StatsResponse = stats;
    seal_segment(SealSegmentRequest) -> SealSegmentResponse = seal_segment;
    sealing(SealingRequest) -> SealingResponse = sealing;
}
    type BackupStream = Answers<pb::BackupResponse>;

    async fn backup(
        &self,
        request: Request<pb::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let parts = self.store.backup(request.into_inner()).await?;
        Ok(Response::new(parts.map_err(Status::from).boxed()))
    }
);

service!(Editions {
    fork(ForkRequest) -> ForkResponse = fork;
    list(ListEditionDetailsRequest) -> ListEditionDetailsResponse = list_edition_details;
    delete(DeleteEditionRequest) -> DeleteEditionResponse = delete_edition;
}
    type DiffStream = Answers<pb::DiffResponse>;

    async fn diff(
        &self,
        request: Request<pb::DiffRequest>,
    ) -> Result<Response<Self::DiffStream>, Status> {
        let differences = self.store.diff(request.into_inner()).await?;
        Ok(Response::new(stream::iter(differences.into_iter().map(Ok)).boxed()))
    }
);

/// A refused append is an answer; a request that cannot be decoded ends the stream.
async fn append_one(
    store: Arc<dyn EventStore>,
    request: Result<pb::AppendRequest, Status>,
) -> Result<pb::AppendStreamResponse, Status> {
    let request = request.map_err(rephrase_status)?;
    let outcome = match store.append(request).await {
        Ok(appended) => Outcome::Appended(appended),
        Err(error) => Outcome::Refusal(to_refusal(error)),
    };
    Ok(pb::AppendStreamResponse {
        outcome: Some(outcome),
    })
}

#[cfg(test)]
mod tests;
