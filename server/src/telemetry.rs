//! Logs, spans and metrics. Every line of a log goes to standard error, so that standard output
//! holds results only.

mod metrics;
#[cfg(feature = "otel")]
pub(crate) mod otel;
mod rpc;
mod scrape;
mod store;

use std::io;

use tracing_subscriber::{EnvFilter, Layer, fmt};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

pub use self::metrics::{Component, command, compensated, component, publish, retried};
pub(crate) use self::rpc::describe;
pub use self::rpc::{RpcSpans, Spanned};
pub use self::scrape::router;
pub use self::store::MeteredStore;

use crate::{
    config::{Log, LogFormat},
    output::Output,
};

/// Wins over the configuration.
const VARIABLE: &str = "ANGZARR_LOG";

/// Starts logging for this process. The variable `ANGZARR_LOG` wins over the filter given.
///
/// # Errors
/// A sentence: the filter is none, or logging was started before.
pub fn init(log: &Log) -> Result<(), String> {
    let (name, text) = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => (VARIABLE, text),
        _ => ("log.filter", log.filter.clone()),
    };
    let mut filter =
        EnvFilter::try_new(&text).map_err(|error| format!("{name}: {text:?}: {error}"))?;
    // It reports each attempt to connect; the bus says itself what is the matter, once.
    if let (false, Ok(quiet)) = (text.contains("async_nats"), "async_nats=off".parse()) {
        filter = filter.add_directive(quiet);
    }
    start(log.format, filter).map_err(|error| format!("logging cannot start: {error}"))
}

/// Sends what is still to be sent to a collector. To be called before the process ends.
pub fn flush() {
    metrics::flush();
    #[cfg(feature = "otel")]
    otel::flush();
}

fn start(format: LogFormat, filter: EnvFilter) -> Result<(), String> {
    let lines = match format {
        LogFormat::Json => fmt::layer().json().with_writer(io::stderr).boxed(),
        LogFormat::Human => {
            let colour = Output::colour_on_stderr();
            fmt::layer()
                .with_ansi(colour)
                .with_writer(io::stderr)
                .boxed()
        }
    };
    let registry = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otel")]
    if otel::is_configured() {
        let spans = otel::layer()?;
        return registry
            .with(spans)
            .try_init()
            .map_err(|error| error.to_string());
    }
    registry.try_init().map_err(|error| error.to_string())
}
