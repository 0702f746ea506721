//! What is counted and timed. The names are those of the protocol; Prometheus writes dots as
//! underscores and adds the unit of a duration.
//!
//! Instruments of OpenTelemetry rather than of the `metrics` crate: the same ones are scraped and,
//! with the feature `otel`, pushed.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

/// Upper bounds of the buckets, in seconds: from a hit in memory to the default deadline.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 30.0,
];

static ALL: LazyLock<All> = LazyLock::new(All::new);

struct All {
    registry: Registry,
    provider: SdkMeterProvider,
    commands: Timer,
    command_total: Counter<u64>,
    sagas: Timer,
    process_managers: Timer,
    projectors: Timer,
    bus_publish: Timer,
    storage: Timer,
    saga_retries: Counter<u64>,
    compensations: Counter<u64>,
    events_stored: Counter<u64>,
    events_loaded: Counter<u64>,
    snapshots_stored: Counter<u64>,
    dead_letters: Counter<u64>,
}

struct Timer(Histogram<f64>);

impl Timer {
    fn new(meter: &Meter, name: &'static str, what: &'static str) -> Self {
        let histogram = meter.f64_histogram(name).with_description(what);
        let histogram = histogram.with_unit("s").with_boundaries(SECONDS.to_vec());
        Self(histogram.build())
    }

    fn record(&self, time: Duration, labels: &[KeyValue]) {
        self.0.record(time.as_secs_f64(), labels);
    }
}

impl All {
    fn new() -> Self {
        let registry = Registry::new();
        let provider = provider(&registry);
        let meter = provider.meter("angzarr");
        let timer = |name, what| Timer::new(&meter, name, what);
        let counter = |name: &'static str, what: &'static str| {
            meter.u64_counter(name).with_description(what).build()
        };
        Self {
            commands: timer(
                "angzarr.command.duration",
                "Commands, from request to answer",
            ),
            command_total: counter("angzarr.command.total", "Commands answered"),
            sagas: timer(
                "angzarr.saga.duration",
                "Calls of sagas, with what they cause",
            ),
            process_managers: timer("angzarr.pm.duration", "Calls of process managers"),
            projectors: timer("angzarr.projector.duration", "Calls of projectors"),
            bus_publish: timer("angzarr.bus.publish.duration", "Books handed to a bus"),
            storage: timer("angzarr.storage.duration", "Operations of the store"),
            saga_retries: counter("angzarr.saga.retry.total", "Deliveries tried again"),
            compensations: counter("angzarr.saga.compensation.total", "Compensations sent"),
            events_stored: counter("angzarr.events.stored", "Events stored"),
            events_loaded: counter("angzarr.events.loaded", "Events read"),
            snapshots_stored: counter("angzarr.snapshots.stored", "Snapshots stored"),
            dead_letters: counter("angzarr.dlq.publish.total", "Dead letters stored"),
            registry,
            provider,
        }
    }
}

fn provider(registry: &Registry) -> SdkMeterProvider {
    let builder = SdkMeterProvider::builder();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .without_counter_suffixes()
        .build();
    let builder = match exporter {
        Ok(exporter) => builder.with_reader(exporter),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be scraped");
            builder
        }
    };
    #[cfg(feature = "otel")]
    let builder = super::otel::with_metrics(builder);
    builder.build()
}

/// Who runs for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// A saga.
    Saga,
    /// A process manager.
    ProcessManager,
    /// A projector.
    Projector,
}

/// Times and counts a command.
pub async fn command<T, E>(domain: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = work.await;
    let labels = [domain_label(domain), outcome_label(outcome.is_ok())];
    ALL.commands.record(begun.elapsed(), &labels);
    ALL.command_total.add(1, &labels);
    outcome
}

/// Times one call of a component.
pub async fn component<T, E>(
    component: Component,
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = work.await;
    let labels = [
        KeyValue::new("component", name.to_owned()),
        outcome_label(outcome.is_ok()),
    ];
    let timer = match component {
        Component::Saga => &ALL.sagas,
        Component::ProcessManager => &ALL.process_managers,
        Component::Projector => &ALL.projectors,
    };
    timer.record(begun.elapsed(), &labels);
    outcome
}

/// Times handing a book to a bus.
pub async fn publish<T, E>(bus: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = work.await;
    let labels = [
        KeyValue::new("bus", bus.to_owned()),
        outcome_label(outcome.is_ok()),
    ];
    ALL.bus_publish.record(begun.elapsed(), &labels);
    outcome
}

/// Times one operation of the store.
pub(super) async fn storage<T, E>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = work.await;
    let labels = [
        KeyValue::new("operation", operation),
        outcome_label(outcome.is_ok()),
    ];
    ALL.storage.record(begun.elapsed(), &labels);
    outcome
}

/// Counts a delivery to a component that is tried again.
pub fn retried(component: &str) {
    let labels = [KeyValue::new("component", component.to_owned())];
    ALL.saga_retries.add(1, &labels);
}

/// Counts a compensation that is sent to a source.
pub fn compensated(component: &str) {
    let labels = [KeyValue::new("component", component.to_owned())];
    ALL.compensations.add(1, &labels);
}

pub(super) fn stored(domain: &str, events: u64) {
    ALL.events_stored.add(events, &[domain_label(domain)]);
}

pub(super) fn loaded(domain: &str, events: u64) {
    ALL.events_loaded.add(events, &[domain_label(domain)]);
}

pub(super) fn snapshot(domain: &str) {
    ALL.snapshots_stored.add(1, &[domain_label(domain)]);
}

pub(super) fn dead_letters(domain: &str, letters: u64) {
    ALL.dead_letters.add(letters, &[domain_label(domain)]);
}

/// Everything in the text form of Prometheus.
pub(super) fn text() -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&ALL.registry.gather())
}

/// Pushes what was not pushed yet.
pub(super) fn flush() {
    if let Err(error) = ALL.provider.force_flush() {
        tracing::debug!(%error, "metrics were not flushed");
    }
}

fn domain_label(domain: &str) -> KeyValue {
    KeyValue::new("domain", domain.to_owned())
}

fn outcome_label(ok: bool) -> KeyValue {
    KeyValue::new("outcome", if ok { "ok" } else { "error" })
}
