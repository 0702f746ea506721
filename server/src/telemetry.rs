//! Logging. Every line goes to standard error, so that standard output holds results only.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, util::TryInitError};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

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
    let filter = EnvFilter::try_new(&text).map_err(|error| format!("{name}: {text:?}: {error}"))?;
    start(log.format, filter).map_err(|error| format!("logging cannot start: {error}"))
}

fn start(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(io::stderr))
            .try_init(),
        LogFormat::Human => {
            let colour = Output::colour_on_stderr();
            registry
                .with(fmt::layer().with_ansi(colour).with_writer(io::stderr))
                .try_init()
        }
    }
}
