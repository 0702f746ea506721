//! A store whose operations are timed and counted.

use std::sync::Arc;

use angzarr_adapters::{
    BackupStream, EventStore, FrameStream, ReadStream, RecordStream, StoreError,
};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::Cover;
use futures::StreamExt;

use super::metrics;

/// Where dead letters of a domain are kept.
const DEAD_LETTERS: &str = "angzarr.dlq.";

/// Passes everything on to another store.
pub struct MeteredStore(Arc<dyn EventStore>);

impl MeteredStore {
    /// Times and counts what `store` does.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self(store)
    }
}

impl std::fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeteredStore").finish_non_exhaustive()
    }
}

/// Implements the trait: the methods as listed, which are timed and passed on, and whatever else
/// is given.
macro_rules! metered {
    ($($method:ident($request:ty) -> $answer:ty;)* { $($more:tt)* }) => {
        #[tonic::async_trait]
        impl EventStore for MeteredStore {
            $(async fn $method(&self, request: $request) -> Result<$answer, StoreError> {
                metrics::storage(stringify!($method), self.0.$method(request)).await
            })*
            $($more)*
        }
    };
}

metered!(
    read_all(pb::ReadAllRequest) -> RecordStream;
    subscribe(pb::ReadAllRequest) -> RecordStream;
    list_domains(pb::ListDomainsRequest) -> pb::ListDomainsResponse;
    list_editions(pb::ListEditionsRequest) -> pb::ListEditionsResponse;
    list_aggregates(pb::ListAggregatesRequest) -> pb::ListAggregatesResponse;
    list_correlated(pb::ListCorrelatedRequest) -> pb::ListCorrelatedResponse;
    get_claim(pb::GetClaimRequest) -> pb::GetClaimResponse;
    get_snapshot(pb::GetSnapshotRequest) -> pb::GetSnapshotResponse;
    list_snapshots(pb::ListSnapshotsRequest) -> pb::ListSnapshotsResponse;
    delete_snapshot(pb::DeleteSnapshotRequest) -> pb::DeleteSnapshotResponse;
    fork(pb::ForkRequest) -> pb::ForkResponse;
    list_edition_details(pb::ListEditionDetailsRequest) -> pb::ListEditionDetailsResponse;
    delete_edition(pb::DeleteEditionRequest) -> pb::DeleteEditionResponse;
    diff(pb::DiffRequest) -> Vec<pb::DiffResponse>;
    commit_cascade(pb::CommitCascadeRequest) -> pb::SettleCascadeResponse;
    rollback_cascade(pb::RollbackCascadeRequest) -> pb::SettleCascadeResponse;
    list_stale_cascades(pb::ListStaleCascadesRequest) -> pb::ListStaleCascadesResponse;
    list_participants(pb::ListParticipantsRequest) -> pb::ListParticipantsResponse;
    get_position(pb::GetPositionRequest) -> pb::GetPositionResponse;
    put_position(pb::PutPositionRequest) -> pb::PutPositionResponse;
    stats(pb::StatsRequest) -> pb::StatsResponse;
    seal_segment(pb::SealSegmentRequest) -> pb::SealSegmentResponse;
    sealing(pb::SealingRequest) -> pb::SealingResponse;
    {
        async fn append(
            &self,
            request: pb::AppendRequest,
        ) -> Result<pb::AppendResponse, StoreError> {
            let writes: Vec<Written> = request.writes.iter().map(Written::of).collect();
            let appended = metrics::storage("append", self.0.append(request)).await?;
            for (written, result) in writes.iter().zip(&appended.results) {
                if !result.duplicate {
                    written.count();
                }
            }
            Ok(appended)
        }

        async fn read(&self, request: pb::ReadRequest) -> Result<ReadStream, StoreError> {
            let domain = domain(request.cover.as_ref());
            let chunks = metrics::storage("read", self.0.read(request)).await?;
            Ok(chunks
                .inspect(move |chunk| {
                    if let Ok(chunk) = chunk {
                        metrics::loaded(&domain, count(chunk.pages.len()));
                    }
                })
                .boxed())
        }

        async fn record_frames(
            &self,
            request: pb::ReadAllRequest,
            stay: bool,
        ) -> Result<FrameStream, StoreError> {
            let operation = if stay { "subscribe" } else { "read_all" };
            metrics::storage(operation, self.0.record_frames(request, stay)).await
        }

        async fn next_sequence(&self, cover: &Cover) -> Result<u32, StoreError> {
            self.0.next_sequence(cover).await
        }

        async fn backup(&self, request: pb::BackupRequest) -> Result<BackupStream, StoreError> {
            metrics::storage("backup", self.0.backup(request)).await
        }

        async fn put_snapshot(
            &self,
            request: pb::PutSnapshotRequest,
        ) -> Result<pb::PutSnapshotResponse, StoreError> {
            let domain = domain(request.cover.as_ref());
            let put = metrics::storage("put_snapshot", self.0.put_snapshot(request)).await?;
            metrics::snapshot(&domain);
            Ok(put)
        }
    }
);

/// What one write adds when it is stored.
struct Written {
    domain: String,
    events: u64,
    snapshot: bool,
}

impl Written {
    fn of(write: &pb::AggregateAppend) -> Self {
        Self {
            domain: domain(write.cover.as_ref()),
            events: count(write.pages.len()),
            snapshot: write.snapshot.is_some(),
        }
    }

    fn count(&self) {
        metrics::stored(&self.domain, self.events);
        if self.snapshot {
            metrics::snapshot(&self.domain);
        }
        if let Some(domain) = self.domain.strip_prefix(DEAD_LETTERS) {
            metrics::dead_letters(domain, self.events);
        }
    }
}

fn domain(cover: Option<&Cover>) -> String {
    cover.map_or_else(String::new, |cover| cover.domain.clone())
}

fn count(pages: usize) -> u64 {
    u64::try_from(pages).unwrap_or(u64::MAX)
}
