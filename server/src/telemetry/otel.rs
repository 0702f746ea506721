//! Spans and metrics to an OpenTelemetry collector. Where it is, and how it is spoken to, say the
//! variables `OTEL_EXPORTER_OTLP_*`.

use std::sync::OnceLock;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Sends the spans of this process to the collector.
///
/// # Errors
/// A sentence: the variables make no sense, or this was done before.
pub(super) fn layer<S>() -> Result<OpenTelemetryLayer<S, SdkTracer>, String>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let exporter = SpanExporter::builder().with_tonic().build();
    let exporter = exporter.map_err(|error| format!("OTLP: {error}"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource())
        .build();
    let tracer = provider.tracer("angzarr");
    PROVIDER
        .set(provider)
        .map_err(|_| "OTLP was started before".to_owned())?;
    Ok(tracing_opentelemetry::layer().with_tracer(tracer))
}

/// Also pushes metrics to the collector, when one is named.
pub(super) fn with_metrics(builder: MeterProviderBuilder) -> MeterProviderBuilder {
    let builder = builder.with_resource(resource());
    if !is_configured() {
        return builder;
    }
    match MetricExporter::builder().with_tonic().build() {
        Ok(exporter) => builder.with_periodic_exporter(exporter),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be pushed");
            builder
        }
    }
}

/// Whether a collector is named.
pub(super) fn is_configured() -> bool {
    std::env::vars().any(|(name, value)| {
        name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("ENDPOINT") && !value.is_empty()
    })
}

/// Sends what is left.
pub(super) fn flush() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.force_flush()
    {
        tracing::debug!(%error, "spans were not flushed");
    }
}

/// Makes a span the child of the one the headers name.
pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    if context.span().span_context().is_valid() {
        // A span that is not exported has no parent to be given.
        let _ = span.set_parent(context);
    }
}

/// Names the current span to whoever is called. Gives whether there is one.
pub(crate) fn inject(call: &mut MetadataMap) -> bool {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return false;
    }
    TraceContextPropagator::new().inject_context(&context, &mut Metadata(call));
    true
}

fn resource() -> Resource {
    Resource::builder().with_service_name("angzarr").build()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key = MetadataKey::from_bytes(key.as_bytes());
        if let (Ok(key), Ok(value)) = (key, MetadataValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}
