//! The port over the engine in this process.

mod admin;
mod append;
mod backup;
mod branches;
mod cascades;
mod compose;
mod convert;
mod frames;
mod read;
mod records;
mod short;
mod snapshots;

use std::path::Path;
use std::sync::Arc;

use angzarr_engine::{Engine, Options};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::Cover;

pub use backup::backup_of;

use short::ShortReads;

use super::{BackupStream, EventStore, FrameStream, ReadStream, RecordStream, Result};
use crate::StoreError;

/// Bounds of a request, checked before anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pages in one book.
    pub pages: usize,
    /// Bytes of one payload.
    pub payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pages: 100,
            payload_bytes: 256 * 1024,
        }
    }
}

/// The engine in this process as a store. Clones share the engine.
#[derive(Clone)]
pub struct NativeStore {
    engine: Arc<Engine>,
    limits: Limits,
    short_reads: ShortReads,
}

impl NativeStore {
    /// Opens the engine in a folder. Blocks while the log is brought up to date.
    ///
    /// # Errors
    /// What [`Engine::open`] reports.
    pub fn open(folder: &Path, options: Options, limits: Limits) -> angzarr_engine::Result<Self> {
        Ok(Self::over(Arc::new(Engine::open(folder, options)?), limits))
    }

    /// A store over an engine that is open already. Within a tokio runtime its answers come from
    /// there.
    #[must_use]
    pub fn over(engine: Arc<Engine>, limits: Limits) -> Self {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(engine.deliver_answers());
        }
        Self {
            engine,
            limits,
            short_reads: ShortReads::default(),
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

#[tonic::async_trait]
impl EventStore for NativeStore {
    async fn append(&self, request: pb::AppendRequest) -> Result<pb::AppendResponse> {
        self.append_pages(request).await
    }

    async fn read(&self, request: pb::ReadRequest) -> Result<ReadStream> {
        self.read_pages(request).await
    }

    async fn next_sequence(&self, cover: &Cover) -> Result<u32> {
        let (key, divergence) = convert::key("cover", Some(cover))?;
        Ok(self.engine.aggregate(&key, divergence)?.next().get())
    }

    async fn read_all(&self, request: pb::ReadAllRequest) -> Result<RecordStream> {
        self.records(request, false)
    }

    async fn subscribe(&self, request: pb::ReadAllRequest) -> Result<RecordStream> {
        self.records(request, true)
    }

    async fn record_frames(&self, request: pb::ReadAllRequest, stay: bool) -> Result<FrameStream> {
        self.frames(request, stay)
    }

    async fn list_domains(
        &self,
        request: pb::ListDomainsRequest,
    ) -> Result<pb::ListDomainsResponse> {
        self.domain_page(&request)
    }

    async fn list_editions(
        &self,
        request: pb::ListEditionsRequest,
    ) -> Result<pb::ListEditionsResponse> {
        self.edition_page(&request)
    }

    async fn list_aggregates(
        &self,
        request: pb::ListAggregatesRequest,
    ) -> Result<pb::ListAggregatesResponse> {
        self.blocking(move |store| store.aggregate_page(&request))
            .await
    }

    async fn list_correlated(
        &self,
        request: pb::ListCorrelatedRequest,
    ) -> Result<pb::ListCorrelatedResponse> {
        self.blocking(move |store| store.correlated_page(&request))
            .await
    }

    async fn get_claim(&self, request: pb::GetClaimRequest) -> Result<pb::GetClaimResponse> {
        self.find_claim(&request)
    }

    async fn put_snapshot(
        &self,
        request: pb::PutSnapshotRequest,
    ) -> Result<pb::PutSnapshotResponse> {
        self.store_snapshot(request).await
    }

    async fn get_snapshot(
        &self,
        request: pb::GetSnapshotRequest,
    ) -> Result<pb::GetSnapshotResponse> {
        let store = self.clone();
        let find = move || store.find_snapshot(&request);
        self.short_reads.run(find).await
    }

    async fn list_snapshots(
        &self,
        request: pb::ListSnapshotsRequest,
    ) -> Result<pb::ListSnapshotsResponse> {
        self.blocking(move |store| store.every_snapshot(&request))
            .await
    }

    async fn delete_snapshot(
        &self,
        request: pb::DeleteSnapshotRequest,
    ) -> Result<pb::DeleteSnapshotResponse> {
        self.remove_snapshot(request).await
    }

    async fn fork(&self, request: pb::ForkRequest) -> Result<pb::ForkResponse> {
        self.record_fork(request).await
    }

    async fn list_edition_details(
        &self,
        request: pb::ListEditionDetailsRequest,
    ) -> Result<pb::ListEditionDetailsResponse> {
        self.edition_details_page(&request)
    }

    async fn delete_edition(
        &self,
        request: pb::DeleteEditionRequest,
    ) -> Result<pb::DeleteEditionResponse> {
        self.remove_edition(request).await
    }

    async fn diff(&self, request: pb::DiffRequest) -> Result<Vec<pb::DiffResponse>> {
        self.blocking(move |store| store.branch_diff(&request))
            .await
    }

    async fn commit_cascade(
        &self,
        request: pb::CommitCascadeRequest,
    ) -> Result<pb::SettleCascadeResponse> {
        self.settle(&request.cascade_id, cascades::Settlement::Commit)
            .await
    }

    async fn rollback_cascade(
        &self,
        request: pb::RollbackCascadeRequest,
    ) -> Result<pb::SettleCascadeResponse> {
        self.settle(
            &request.cascade_id,
            cascades::Settlement::Rollback(request.reason),
        )
        .await
    }

    async fn list_stale_cascades(
        &self,
        request: pb::ListStaleCascadesRequest,
    ) -> Result<pb::ListStaleCascadesResponse> {
        self.stale_page(&request)
    }

    async fn list_participants(
        &self,
        request: pb::ListParticipantsRequest,
    ) -> Result<pb::ListParticipantsResponse> {
        self.participant_list(&request)
    }

    async fn get_position(
        &self,
        request: pb::GetPositionRequest,
    ) -> Result<pb::GetPositionResponse> {
        self.find_position(&request)
    }

    async fn put_position(
        &self,
        request: pb::PutPositionRequest,
    ) -> Result<pb::PutPositionResponse> {
        self.store_position(request).await
    }

    async fn stats(&self, _request: pb::StatsRequest) -> Result<pb::StatsResponse> {
        Ok(self.statistics())
    }

    async fn sealing(&self, request: pb::SealingRequest) -> Result<pb::SealingResponse> {
        Ok(self.sealing_state(&request))
    }

    async fn backup(&self, request: pb::BackupRequest) -> Result<BackupStream> {
        let copy = self.blocking(|store| Ok(store.engine.log_copy()?)).await?;
        Ok(backup_of(copy, request))
    }

    async fn seal_segment(
        &self,
        _request: pb::SealSegmentRequest,
    ) -> Result<pb::SealSegmentResponse> {
        let base = self.engine.seal_segment().await?;
        Ok(pb::SealSegmentResponse {
            base_position: base.map(angzarr_engine::Position::get),
        })
    }
}

impl NativeStore {
    /// Runs what reads the disk off the threads that serve requests.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        run_blocking(move || read(store)).await
    }
}

/// Runs what reads the disk off the threads that serve requests.
async fn run_blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(tokio::task::spawn_blocking(read).await)
}

/// What a task that reads the disk found.
fn joined<T>(task: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    task.map_err(|_| StoreError::Unavailable("the server is shutting down".to_owned()))?
}
