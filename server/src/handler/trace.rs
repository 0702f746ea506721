use tonic::metadata::MetadataMap;

/// Headers of the W3C trace context.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

tokio::task_local! {
    /// Trace context of the request that is being carried out. It concerns no decision, so it is
    /// not an argument of everything between the service and the calls it causes.
    static CONTEXT: MetadataMap;
}

/// Carries the trace context of a request over to the calls that `work` makes.
pub(crate) async fn continued<W: Future>(request: &MetadataMap, work: W) -> W::Output {
    let mut context = MetadataMap::new();
    copy(request, &mut context);
    if context.is_empty() {
        return work.await;
    }
    CONTEXT.scope(context, work).await
}

/// Adds the trace context, if there is one.
pub(super) fn inject(call: &mut MetadataMap) {
    #[cfg(feature = "otel")]
    if crate::telemetry::otel::inject(call) {
        return;
    }
    // Outside of a request, or in one without a context, there is nothing to carry on.
    let _ = CONTEXT.try_with(|context| copy(context, call));
}

fn copy(from: &MetadataMap, to: &mut MetadataMap) {
    for header in HEADERS {
        if let Some(value) = from.get(header) {
            to.insert(header, value.clone());
        }
    }
}
