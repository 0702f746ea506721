//! Logging. Every line goes to standard error, so that standard output holds results only.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, util::TryInitError};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Log, LogFormat},
    output::Output,
};

/// Starts logging for this process. The variable `ANGZARR_LOG` wins over the filter given.
///
/// # Errors
/// When logging was started before.
pub fn init(log: &Log) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_env("ANGZARR_LOG")
        .or_else(|_| EnvFilter::try_new(&log.filter))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
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
