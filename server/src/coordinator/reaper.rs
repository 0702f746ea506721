//! Revokes cascades that nobody settles.

use std::sync::Arc;
use std::time::Duration;

use angzarr_proto::store::v1::{ListStaleCascadesRequest, RollbackCascadeRequest};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Coordinator, Error};

/// Reason written into the revocations.
const REASON: &str = "timeout";
const PAGE: u32 = 100;

impl Coordinator {
    /// Looks for cascades that were pending for too long, again and again, until the shutdown.
    pub(super) async fn reap(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = interval(self.settings.cascade_check);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.revoke_stale(self.settings.cascade_timeout).await {
                tracing::warn!(%error, "stale cascades could not be revoked, tries again");
            }
        }
    }

    /// Revokes every cascade that is pending for longer than that, each in one commit.
    async fn revoke_stale(&self, older_than: Duration) -> Result<(), Error> {
        let mut page_token = String::new();
        loop {
            let request = ListStaleCascadesRequest {
                older_than: prost_types::Duration::try_from(older_than).ok(),
                page_size: PAGE,
                page_token,
            };
            let stale = self.store.list_stale_cascades(request).await?;
            for cascade in stale.cascades {
                let cascade_id = cascade.cascade_id;
                let request = RollbackCascadeRequest {
                    cascade_id: cascade_id.clone(),
                    reason: REASON.to_owned(),
                };
                let settled = self.store.rollback_cascade(request).await?;
                tracing::warn!(
                    cascade_id,
                    participants = settled.participants.len(),
                    "nobody settled the cascade in time: it is revoked"
                );
            }
            page_token = stale.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }
}
