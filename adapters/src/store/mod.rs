use std::pin::Pin;

use angzarr_proto::frame;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, SequenceRange};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

use crate::StoreError;

pub(crate) mod native;
pub(crate) mod remote;

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Chunks of one aggregate. The first carries cover, next sequence and snapshot.
pub type ReadStream = Pin<Box<dyn Stream<Item = Result<pb::ReadResponse>> + Send>>;

/// Committed events of the whole store in position order, with progress marks between.
pub type RecordStream = Pin<Box<dyn Stream<Item = Result<pb::ReadAllResponse>> + Send>>;

/// The same as gRPC sends it: messages behind each other, each behind a byte 0 and its length. An
/// item holds any number of them.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The log as files: a plan, then their content.
pub type BackupStream = Pin<Box<dyn Stream<Item = Result<pb::BackupResponse>> + Send>>;

/// A database of events, as a coordinator, a service or a tool sees it.
///
/// Each method does what the RPC of the same name in `angzarr.store.v1` documents. Every
/// implementation passes the contract suite.
#[tonic::async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends to one or several aggregates, all or nothing. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an expectation does not hold, [`StoreError::Invalid`] and
    /// [`StoreError::TooLarge`] for requests that can never succeed, [`StoreError::Poisoned`]
    /// after a failed write. Nothing is stored in any of these cases but the last, whose
    /// outcome is unknown.
    async fn append(&self, request: pb::AppendRequest) -> Result<pb::AppendResponse>;

    /// Reads one aggregate on one timeline. An unknown aggregate is empty, not an error.
    async fn read(&self, request: pb::ReadRequest) -> Result<ReadStream>;
    /// The sequence that the next event of an aggregate gets: 0 for an unknown one.
    async fn next_sequence(&self, cover: &Cover) -> Result<u32> {
        // One page is read for the sake of what comes with it.
        let first = SequenceRange {
            lower: 0,
            upper: Some(0),
        };
        let request = pb::ReadRequest {
            cover: Some(Cover {
                domain: cover.domain.clone(),
                root: cover.root.clone(),
                edition: cover.edition.clone(),
                ..Cover::default()
            }),
            selection: Some(pb::read_request::Selection::Range(first)),
            ..pb::ReadRequest::default()
        };
        let mut chunks = self.read(request).await?;
        let answer = chunks.next().await.transpose()?;
        Ok(answer.map_or(0, |answer| answer.next_sequence))
    }
    /// Reads the whole store up to what is committed now.
    async fn read_all(&self, request: pb::ReadAllRequest) -> Result<RecordStream>;
    /// Reads the whole store and goes on with what is committed later.
    async fn subscribe(&self, request: pb::ReadAllRequest) -> Result<RecordStream>;
    /// The answers of `read_all`, or of `subscribe` if the reader stays, for a server that passes
    /// them on. A store that has them in that form need not make messages of them.
    async fn record_frames(&self, request: pb::ReadAllRequest, stay: bool) -> Result<FrameStream> {
        let records = if stay {
            self.subscribe(request).await?
        } else {
            self.read_all(request).await?
        };
        Ok(records.map_ok(|record| frame(&record)).boxed())
    }

    /// Domains with events, in name order.
    async fn list_domains(
        &self,
        request: pb::ListDomainsRequest,
    ) -> Result<pb::ListDomainsResponse>;
    /// Names of branches, in name order.
    async fn list_editions(
        &self,
        request: pb::ListEditionsRequest,
    ) -> Result<pb::ListEditionsResponse>;
    /// Aggregates with events of their own on a timeline, in root order.
    async fn list_aggregates(
        &self,
        request: pb::ListAggregatesRequest,
    ) -> Result<pb::ListAggregatesResponse>;
    /// Aggregates that hold events of a correlation id, in the order of their first such event.
    async fn list_correlated(
        &self,
        request: pb::ListCorrelatedRequest,
    ) -> Result<pb::ListCorrelatedResponse>;
    /// What an idempotency key already stands for.
    async fn get_claim(&self, request: pb::GetClaimRequest) -> Result<pb::GetClaimResponse>;

    /// Stores a snapshot of an existing sequence.
    async fn put_snapshot(
        &self,
        request: pb::PutSnapshotRequest,
    ) -> Result<pb::PutSnapshotResponse>;
    /// The newest snapshot, or the newest at or below a sequence.
    async fn get_snapshot(
        &self,
        request: pb::GetSnapshotRequest,
    ) -> Result<pb::GetSnapshotResponse>;
    /// Every snapshot of an aggregate, oldest first.
    async fn list_snapshots(
        &self,
        request: pb::ListSnapshotsRequest,
    ) -> Result<pb::ListSnapshotsResponse>;
    /// Deletes one snapshot; [`StoreError::Refused`] for the newest.
    async fn delete_snapshot(
        &self,
        request: pb::DeleteSnapshotRequest,
    ) -> Result<pb::DeleteSnapshotResponse>;

    /// Records where a branch leaves main.
    async fn fork(&self, request: pb::ForkRequest) -> Result<pb::ForkResponse>;
    /// Branches with their divergences and event counts, in name order.
    async fn list_edition_details(
        &self,
        request: pb::ListEditionDetailsRequest,
    ) -> Result<pb::ListEditionDetailsResponse>;
    /// Removes a branch's events; [`StoreError::Refused`] for main.
    async fn delete_edition(
        &self,
        request: pb::DeleteEditionRequest,
    ) -> Result<pb::DeleteEditionResponse>;
    /// Aggregates that have events of their own on a branch.
    async fn diff(&self, request: pb::DiffRequest) -> Result<Vec<pb::DiffResponse>>;

    /// Makes every pending event of a cascade final, in one commit.
    async fn commit_cascade(
        &self,
        request: pb::CommitCascadeRequest,
    ) -> Result<pb::SettleCascadeResponse>;
    /// Voids every pending event of a cascade, in one commit.
    async fn rollback_cascade(
        &self,
        request: pb::RollbackCascadeRequest,
    ) -> Result<pb::SettleCascadeResponse>;
    /// Cascades pending for longer than a duration, oldest first.
    async fn list_stale_cascades(
        &self,
        request: pb::ListStaleCascadesRequest,
    ) -> Result<pb::ListStaleCascadesResponse>;
    /// Aggregates with pending events of a cascade.
    async fn list_participants(
        &self,
        request: pb::ListParticipantsRequest,
    ) -> Result<pb::ListParticipantsResponse>;

    /// A consumer's checkpoint; 0 when it has none.
    async fn get_position(
        &self,
        request: pb::GetPositionRequest,
    ) -> Result<pb::GetPositionResponse>;
    /// Moves a consumer's checkpoint forward.
    async fn put_position(
        &self,
        request: pb::PutPositionRequest,
    ) -> Result<pb::PutPositionResponse>;

    /// Size, position and health of the store.
    async fn stats(&self, request: pb::StatsRequest) -> Result<pb::StatsResponse>;
    /// Ends the segment being written.
    async fn seal_segment(
        &self,
        request: pb::SealSegmentRequest,
    ) -> Result<pb::SealSegmentResponse>;
    /// How the rewriting of ended segments goes; holds it up or lets it go on.
    async fn sealing(&self, request: pb::SealingRequest) -> Result<pb::SealingResponse>;

    /// The log as files, up to what is committed now. [`StoreError::Unsupported`] for a store
    /// that has no such files.
    async fn backup(&self, request: pb::BackupRequest) -> Result<BackupStream>;
}
