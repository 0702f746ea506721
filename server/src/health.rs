//! What the health service says.

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::StatsRequest;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the store is asked whether it still accepts appends.
const STORE_CHECK: Duration = Duration::from_secs(1);

/// What the gRPC health service answers, for the server as a whole and for each service.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    names: Arc<[String]>,
}

impl Health {
    /// Speaks for the services of these names, besides the server itself.
    pub(crate) fn new(reporter: HealthReporter, names: Vec<String>) -> Self {
        Self {
            reporter,
            names: names.into(),
        }
    }

    /// Declares everything as serving or not.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        // The empty name is the server as a whole.
        self.reporter.set_service_status("", status).await;
        for name in self.names.iter() {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Declares everything as not serving once the store is poisoned or does not answer, and
    /// as serving again when it does. Returns at shutdown.
    pub async fn follow_store(&self, store: Arc<dyn EventStore>, shutdown: CancellationToken) {
        let mut ticks = interval(STORE_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_serving = true;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let trouble = store_trouble(store.as_ref()).await;
            let serving = trouble.is_none();
            if serving != was_serving {
                match trouble {
                    Some(cause) => tracing::error!(cause, "store does not accept appends"),
                    None => tracing::info!("store accepts appends again"),
                }
                self.set_serving(serving).await;
                was_serving = serving;
            }
        }
    }
}

async fn store_trouble(store: &dyn EventStore) -> Option<String> {
    match store.stats(StatsRequest {}).await {
        Ok(stats) => Some(stats.poisoned).filter(|cause| !cause.is_empty()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
