//! What the configuration says, in the terms of those who do it.

use crate::{
    config::{self, Config},
    coordinator::Limits,
    handler::Retries,
    registry::{HandlerSettings, Registry, Snapshots, UpcasterSettings},
};

/// The business code of every configured domain.
///
/// # Errors
/// A sentence that names the domain.
pub(super) fn registry(config: &Config) -> Result<Registry, String> {
    let handlers = config.aggregates.iter().map(handler).collect();
    let upcasters = config.upcasters.iter().map(upcaster).collect();
    Registry::new(handlers, upcasters, limits(&config.limits))
}

/// Numbers beyond the address space of this machine mean "as much as there is".
pub(super) fn limits(limits: &config::Limits) -> Limits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        pages: size(limits.pages_per_book.into()),
        payload_bytes: size(limits.payload_bytes),
        message_bytes: size(limits.message_bytes),
    }
}

fn handler(aggregate: &config::Aggregate) -> HandlerSettings {
    HandlerSettings {
        domain: aggregate.domain.clone(),
        address: aggregate.address.to_string(),
        dialect: aggregate.dialect,
        timeout: aggregate.timeout,
        retries: retries(aggregate.retries),
        concurrency: aggregate.concurrency,
        snapshots: match aggregate.snapshots {
            config::Snapshots::Auto => Snapshots::Auto,
            config::Snapshots::Always => Snapshots::Always,
            config::Snapshots::Never => Snapshots::Never,
        },
    }
}

fn upcaster(upcaster: &config::Upcaster) -> UpcasterSettings {
    UpcasterSettings {
        domain: upcaster.domain.clone(),
        address: upcaster.address.to_string(),
        dialect: upcaster.dialect,
        timeout: upcaster.timeout,
        retries: retries(upcaster.retries),
    }
}

fn retries(retries: config::Retries) -> Retries {
    Retries {
        attempts: retries.attempts,
        min: retries.min,
        max: retries.max,
    }
}
