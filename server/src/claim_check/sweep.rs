//! Removing objects that no stored event refers to.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use angzarr_adapters::{EventStore, StoreError};
use angzarr_proto::store::v1::{ReadAllRequest, read_all_response};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio_util::sync::CancellationToken;

use super::{ClaimCheck, reference};

impl ClaimCheck {
    /// Removes, each time `every` has passed, what nothing has referred to for `retention`, until
    /// `shutdown` is cancelled.
    pub async fn keep_swept(
        &self,
        store: &dyn EventStore,
        retention: Duration,
        every: Duration,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let swept = tokio::select! {
                () = shutdown.cancelled() => return,
                swept = self.sweep(store, retention) => swept,
            };
            match swept {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed payloads without an event"),
                Err(error) => tracing::warn!(%error, "payloads were not swept"),
            }
        }
    }

    /// Removes objects that were written longer than `retention` ago and that no stored event
    /// refers to, whatever its timeline and whether it is pending. Gives how many.
    ///
    /// Reads the whole store, when there are objects so old.
    ///
    /// # Errors
    /// Those of reading the store; [`StoreError::Unavailable`] when the object store fails.
    pub async fn sweep(
        &self,
        store: &dyn EventStore,
        retention: Duration,
    ) -> Result<usize, StoreError> {
        let mut old = self.older_than(retention).await?;
        if old.is_empty() {
            return Ok(0);
        }
        // Nobody is between an object and its reference from here on.
        let _alone = self.sweeping.write().await;
        let mut records = store.read_all(ReadAllRequest::default()).await?;
        while let Some(record) = records.next().await {
            let Some(read_all_response::Item::Book(book)) = record?.item else {
                continue;
            };
            for page in book.pages {
                if let Some((_, reference)) = reference::of(&page) {
                    old.remove(&self.path(&reference.content_hash));
                }
            }
        }
        let mut removed = 0;
        for (path, written) in old {
            let now = self.objects.head(&path).await.map_err(failed)?;
            // Another server may have written it again.
            if SystemTime::from(now.last_modified) == written {
                self.objects.delete(&path).await.map_err(failed)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn older_than(
        &self,
        retention: Duration,
    ) -> Result<BTreeMap<Path, SystemTime>, StoreError> {
        let before = SystemTime::now().checked_sub(retention);
        let mut objects = self.objects.list(Some(&self.place.prefix));
        let mut old = BTreeMap::new();
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let written = SystemTime::from(object.last_modified);
            if before.is_some_and(|before| written <= before) {
                old.insert(object.location, written);
            }
        }
        Ok(old)
    }
}

fn failed(error: object_store::Error) -> StoreError {
    StoreError::Unavailable(format!("the payloads cannot be looked through: {error}"))
}
