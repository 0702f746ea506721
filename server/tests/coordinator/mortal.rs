//! A store of a process that dies at a step: before it changes anything, or when it has, before
//! anybody hears of it. And one that somebody else changes between two of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use angzarr_adapters::{BackupStream, EventStore, ReadStream, RecordStream, StoreError};
use angzarr_proto::store::v1 as pb;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// When a process dies.
#[derive(Clone)]
pub(crate) struct Death {
    /// Changes of the store so far.
    steps: Arc<AtomicUsize>,
    /// The change that is the last.
    at: usize,
    /// Whether that one is still made.
    made: bool,
    dead: CancellationToken,
}

impl Death {
    pub(crate) fn at(step: usize, made: bool) -> Self {
        Self {
            steps: Arc::default(),
            at: step,
            made,
            dead: CancellationToken::new(),
        }
    }

    pub(crate) async fn comes(&self) {
        self.dead.cancelled().await;
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.dead.is_cancelled() {
            return Err(StoreError::Unavailable("the process is dead".to_owned()));
        }
        Ok(())
    }

    async fn step<T>(
        &self,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.check()?;
        let last = self.steps.fetch_add(1, Ordering::SeqCst) == self.at;
        if last && !self.made {
            self.dead.cancel();
        }
        self.check()?;
        let changed = change.await;
        if last {
            self.dead.cancel();
        }
        self.check()?;
        changed
    }
}

type Deed = dyn Fn(Arc<dyn EventStore>) -> BoxFuture<'static, ()> + Send + Sync;

/// What somebody else does before one of the calls of a store, whatever that is.
#[derive(Clone)]
pub(crate) struct Interruption {
    /// Calls so far.
    calls: Arc<AtomicUsize>,
    at: usize,
    deed: Arc<Deed>,
    done: CancellationToken,
}

impl Interruption {
    pub(crate) fn at(
        call: usize,
        deed: impl Fn(Arc<dyn EventStore>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            calls: Arc::default(),
            at: call,
            deed: Arc::new(deed),
            done: CancellationToken::new(),
        }
    }

    /// Whether it came, and then when it is over.
    pub(crate) async fn came(&self) -> bool {
        let came = self.calls.load(Ordering::SeqCst) > self.at;
        if came {
            self.done.cancelled().await;
        }
        came
    }

    async fn step(&self, store: &Arc<dyn EventStore>) {
        if self.calls.fetch_add(1, Ordering::SeqCst) == self.at {
            (self.deed)(Arc::clone(store)).await;
            self.done.cancel();
        }
    }
}

pub(crate) struct MortalStore {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) death: Option<Death>,
    pub(crate) interruption: Option<Interruption>,
}

impl MortalStore {
    async fn interrupted(&self) {
        if let Some(interruption) = &self.interruption {
            interruption.step(&self.store).await;
        }
    }

    async fn reading<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.interrupted().await;
        if let Some(death) = &self.death {
            death.check()?;
        }
        read.await
    }

    async fn changing<T>(
        &self,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.interrupted().await;
        match &self.death {
            Some(death) => death.step(change).await,
            None => change.await,
        }
    }
}

macro_rules! mortal {
    (
        reads { $($read:ident($asked:ty) -> $found:ty;)* }
        changes { $($change:ident($request:ty) -> $answer:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl EventStore for MortalStore {
            $(async fn $read(&self, request: $asked) -> Result<$found, StoreError> {
                self.reading(self.store.$read(request)).await
            })*
            $(async fn $change(&self, request: $request) -> Result<$answer, StoreError> {
                self.changing(self.store.$change(request)).await
            })*
        }
    };
}

mortal!(
    reads {
    read(pb::ReadRequest) -> ReadStream;
    read_all(pb::ReadAllRequest) -> RecordStream;
    subscribe(pb::ReadAllRequest) -> RecordStream;
    list_domains(pb::ListDomainsRequest) -> pb::ListDomainsResponse;
    list_editions(pb::ListEditionsRequest) -> pb::ListEditionsResponse;
    list_aggregates(pb::ListAggregatesRequest) -> pb::ListAggregatesResponse;
    list_correlated(pb::ListCorrelatedRequest) -> pb::ListCorrelatedResponse;
    get_claim(pb::GetClaimRequest) -> pb::GetClaimResponse;
    get_snapshot(pb::GetSnapshotRequest) -> pb::GetSnapshotResponse;
    list_snapshots(pb::ListSnapshotsRequest) -> pb::ListSnapshotsResponse;
    list_edition_details(pb::ListEditionDetailsRequest) -> pb::ListEditionDetailsResponse;
    diff(pb::DiffRequest) -> Vec<pb::DiffResponse>;
    list_stale_cascades(pb::ListStaleCascadesRequest) -> pb::ListStaleCascadesResponse;
    list_participants(pb::ListParticipantsRequest) -> pb::ListParticipantsResponse;
    get_position(pb::GetPositionRequest) -> pb::GetPositionResponse;
    stats(pb::StatsRequest) -> pb::StatsResponse;
    sealing(pb::SealingRequest) -> pb::SealingResponse;
    backup(pb::BackupRequest) -> BackupStream;
    }
    changes {
    append(pb::AppendRequest) -> pb::AppendResponse;
    put_snapshot(pb::PutSnapshotRequest) -> pb::PutSnapshotResponse;
    delete_snapshot(pb::DeleteSnapshotRequest) -> pb::DeleteSnapshotResponse;
    fork(pb::ForkRequest) -> pb::ForkResponse;
    delete_edition(pb::DeleteEditionRequest) -> pb::DeleteEditionResponse;
    commit_cascade(pb::CommitCascadeRequest) -> pb::SettleCascadeResponse;
    rollback_cascade(pb::RollbackCascadeRequest) -> pb::SettleCascadeResponse;
    put_position(pb::PutPositionRequest) -> pb::PutPositionResponse;
    seal_segment(pb::SealSegmentRequest) -> pb::SealSegmentResponse;
    }
);
