//! The endpoint that Prometheus scrapes.

use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_proto::store::v1::{StatsRequest, StatsResponse};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{IntGauge, Registry, TextEncoder};

use super::metrics;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/metrics`: what this process counted, and the state of its store at this moment.
pub fn router(store: Arc<dyn EventStore>) -> Router {
    let handler = move || {
        let store = Arc::clone(&store);
        async move { scrape(store.as_ref()).await }
    };
    Router::new().route("/metrics", get(handler))
}

async fn scrape(store: &dyn EventStore) -> Response {
    let stats = match store.stats(StatsRequest {}).await {
        Ok(stats) => Some(stats),
        Err(error) => {
            tracing::warn!(%error, "the store gave no figures");
            None
        }
    };
    let text = metrics::text().and_then(|text| Ok(text + &figures(stats.as_ref())?));
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The store as gauges.
fn figures(stats: Option<&StatsResponse>) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    let gauge = |name: &str, what: &str, value: u64| {
        let gauge = IntGauge::new(format!("angzarr_store_{name}"), what)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(Box::new(gauge))
    };
    gauge("up", "1 when the store answers", u64::from(stats.is_some()))?;
    if let Some(stats) = stats {
        let poisoned = u64::from(!stats.poisoned.is_empty());
        gauge("events", "Events that can be read", stats.events)?;
        gauge("position", "Position of the newest event", stats.position)?;
        gauge("log_bytes", "Size of the log", stats.log_bytes)?;
        gauge("segments", "Files of the log", stats.segments.into())?;
        gauge(
            "unindexed_bytes",
            "Log that is not yet in the files of the index",
            stats.unindexed_bytes,
        )?;
        gauge(
            "queued_appends",
            "Appends that wait for the writer",
            stats.queued_appends.into(),
        )?;
        gauge(
            "poisoned",
            "1 when appends are refused until a restart",
            poisoned,
        )?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}
