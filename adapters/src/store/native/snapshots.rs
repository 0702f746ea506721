//! Snapshots.

use angzarr_engine::{Commit, Control, Sequence, Write};
use angzarr_proto::store::v1 as pb;

use super::{NativeStore, convert};
use crate::StoreError;
use crate::store::Result;

impl NativeStore {
    pub(super) async fn store_snapshot(
        &self,
        request: pb::PutSnapshotRequest,
    ) -> Result<pb::PutSnapshotResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let snapshot = request.snapshot.as_ref();
        let snapshot =
            snapshot.ok_or_else(|| StoreError::Invalid("snapshot is missing".to_owned()))?;
        let write = Write {
            snapshot: Some(convert::snapshot(snapshot)?),
            ..Write::to(key)
        };
        self.engine
            .commit(Commit {
                writes: vec![write],
                ..Commit::default()
            })
            .await?;
        Ok(pb::PutSnapshotResponse {})
    }

    pub(super) fn find_snapshot(
        &self,
        request: &pb::GetSnapshotRequest,
    ) -> Result<pb::GetSnapshotResponse> {
        let (key, divergence) = convert::key("cover", request.cover.as_ref())?;
        let view = self.engine.aggregate(&key, divergence)?;
        let before = request.at_or_below.map_or(view.next(), |last| {
            Sequence::new(last.saturating_add(1)).min(view.next())
        });
        let snapshot = self.engine.snapshot(&view, before, None)?;
        let snapshot = snapshot.map(convert::snapshot_message).transpose()?;
        Ok(pb::GetSnapshotResponse { snapshot })
    }

    pub(super) fn every_snapshot(
        &self,
        request: &pb::ListSnapshotsRequest,
    ) -> Result<pb::ListSnapshotsResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let snapshots = self.engine.snapshots(&key)?;
        let snapshots = snapshots.into_iter().map(convert::snapshot_message);
        Ok(pb::ListSnapshotsResponse {
            snapshots: snapshots.collect::<Result<_>>()?,
        })
    }

    pub(super) async fn remove_snapshot(
        &self,
        request: pb::DeleteSnapshotRequest,
    ) -> Result<pb::DeleteSnapshotResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let sequence = Sequence::new(request.sequence);
        let known = self.engine.snapshots(&key)?;
        if !known.iter().any(|snapshot| snapshot.sequence == sequence) {
            return Ok(pb::DeleteSnapshotResponse { deleted: false });
        }
        self.control(vec![Control::DeleteSnapshot { key, sequence }])
            .await?;
        Ok(pb::DeleteSnapshotResponse { deleted: true })
    }
}
