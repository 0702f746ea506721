//! What the configuration says, in the terms of those who do it.

use std::sync::Arc;

use angzarr_adapters::EventBus;

use crate::{
    claim_check::ClaimCheck,
    config::{self, Config},
    coordinator::{BusSettings, Limits, Settings},
    handler::Retries,
    json::Json,
    registry::{
        HandlerSettings, Input, ReactionKind, ReactionSettings, Registry, Snapshots,
        UpcasterSettings,
    },
};

/// The business code of every configured domain.
///
/// # Errors
/// A sentence that names the domain.
pub(super) fn registry(config: &Config) -> Result<Registry, String> {
    let handlers = config.aggregates.iter().map(handler).collect();
    let upcasters = config.upcasters.iter().map(upcaster).collect();
    let limits = limits(&config.limits);
    let of_kind = |kind| move |entry: &config::Reaction| reaction(kind, entry);
    // Read models first: who waits for all of them finds them built.
    let projectors = config
        .projectors
        .iter()
        .map(of_kind(ReactionKind::Projector));
    let inline = config.aggregates.iter().flat_map(|entry| &entry.sagas);
    let sagas = config.sagas.iter().chain(inline);
    let sagas = sagas.map(of_kind(ReactionKind::Saga));
    let process_managers = config
        .process_managers
        .iter()
        .map(of_kind(ReactionKind::ProcessManager));
    let reactions = projectors.chain(sagas).chain(process_managers).collect();
    Registry::new(handlers, upcasters, limits)?.with_reactions(reactions, limits)
}

fn reaction(kind: ReactionKind, entry: &config::Reaction) -> ReactionSettings {
    let inputs = entry.inputs.iter().map(|input| Input {
        domain: input.domain.clone(),
        types: input.types.clone(),
    });
    ReactionSettings {
        kind,
        name: entry.name.clone(),
        domain: entry.domain.clone(),
        address: entry.address.to_string(),
        dialect: entry.dialect,
        timeout: entry.timeout,
        retries: retries(entry.retries),
        concurrency: entry.concurrency,
        inputs: inputs.collect(),
        targets: entry.targets.clone(),
        all_editions: entry.all_editions,
        from_now: entry.from_now,
    }
}

/// What the coordinator is told.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        limits: limits(&config.limits),
        books_bytes: books_bytes(&config.storage),
        cascade_timeout: config.cascade.timeout,
        cascade_check: config.cascade.check_interval,
        fallback_domain: config.compensation.fallback_domain.clone(),
        escalation_webhook: config.compensation.webhook.clone(),
        ..Settings::default()
    }
}

/// A store in another process may be replaced by an older copy of itself behind our back.
fn books_bytes(storage: &config::Storage) -> usize {
    match storage {
        config::Storage::Native(native) => size(native.book_cache_bytes),
        config::Storage::Remote(_) => 0,
    }
}

/// Where committed events are published, and what of them.
///
/// # Errors
/// A sentence that names the key.
pub(super) async fn bus(
    config: &Config,
) -> Result<Option<(Arc<dyn EventBus>, BusSettings)>, String> {
    let config::Bus::Nats(nats) = &config.bus else {
        return Ok(None);
    };
    let settings = BusSettings {
        domains: nats.domains.clone(),
        all_editions: nats.all_editions,
        from_now: nats.from_now,
        concurrency: nats.concurrency,
    };
    Ok(Some((connect(nats).await?, settings)))
}

#[cfg(feature = "nats")]
async fn connect(nats: &config::Nats) -> Result<Arc<dyn EventBus>, String> {
    super::choose_tls_provider();
    let (certificate, key) = nats.identity.clone().unzip();
    let files = [
        ("bus.tls.ca", &nats.ca),
        ("bus.tls.certificate", &certificate),
        ("bus.tls.key", &key),
    ];
    for (name, path) in files {
        let Some(path) = path else { continue };
        // Each attempt to connect reads it again; that it is there is known now.
        std::fs::read(path).map_err(|error| format!("{name}: {}: {error}", path.display()))?;
    }
    let options = angzarr_adapters::NatsOptions {
        servers: nats.url.clone(),
        prefix: nats.prefix.clone(),
        stream: nats.stream.clone(),
        duplicate_window: nats.duplicate_window,
        ca: nats.ca.clone(),
        identity: nats.identity.clone(),
    };
    let bus = angzarr_adapters::NatsBus::open(options).await;
    Ok(Arc::new(bus.map_err(|error| format!("bus: {error}"))?))
}

/// The configuration refuses what is not in the build.
#[cfg(not(feature = "nats"))]
async fn connect(_: &config::Nats) -> Result<Arc<dyn EventBus>, String> {
    Err("bus.type: nats is not in this build".to_owned())
}

/// Where large payloads are kept.
///
/// # Errors
/// A sentence that names the key.
pub(super) fn claim_check(payloads: &config::Payloads) -> Result<Arc<ClaimCheck>, String> {
    let threshold = usize::try_from(payloads.threshold).unwrap_or(usize::MAX);
    let opened = ClaimCheck::open(&payloads.store, threshold);
    opened
        .map(Arc::new)
        .map_err(|error| format!("payloads.store: {error}"))
}

/// What messages of business code look like, as far as it is configured.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn descriptors(config: &Config) -> Result<Json, String> {
    let mut sets = Vec::new();
    for path in &config.descriptor_sets {
        let named =
            |error: &dyn std::fmt::Display| format!("descriptor_sets: {}: {error}", path.display());
        let set = std::fs::read(path).map_err(|error| named(&error))?;
        Json::new([set.as_slice()]).map_err(|error| named(&error))?;
        sets.push(set);
    }
    Json::new(sets.iter().map(Vec::as_slice)).map_err(|error| format!("descriptor_sets: {error}"))
}

pub(super) fn limits(limits: &config::Limits) -> Limits {
    Limits {
        pages: size(limits.pages_per_book.into()),
        payload_bytes: size(limits.payload_bytes),
        message_bytes: size(limits.message_bytes),
    }
}

/// Numbers beyond the address space of this machine mean "as much as there is".
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
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
