//! One span for each RPC.

use std::task::{Context, Poll};

use angzarr_proto::v1::Cover;
use http::Request;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

/// Database operations are many and small: their spans are of level debug.
const STORE: &str = "angzarr.store.v1.";

/// Puts each gRPC request into a span of its own.
#[derive(Debug, Clone, Copy)]
pub struct RpcSpans;

impl<S> Layer<S> for RpcSpans {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Spanned<S> {
        Spanned(inner)
    }
}

/// A service whose requests have spans.
#[derive(Debug, Clone)]
pub struct Spanned<S>(pub(crate) S);

impl<S, B> Service<Request<B>> for Spanned<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span(&request);
        self.0.call(request).instrument(span)
    }
}

/// Says which aggregate the RPC of the current span is about.
pub(crate) fn describe(cover: Option<&Cover>) {
    let (span, Some(cover)) = (Span::current(), cover) else {
        return;
    };
    if span.is_disabled() {
        return;
    }
    span.record("correlation_id", cover.correlation_id.as_str());
    span.record("domain", cover.domain.as_str());
    let edition = cover.edition.as_ref();
    span.record(
        "edition",
        edition.map_or("", |edition| edition.name.as_str()),
    );
    let root = cover.root.as_ref().map_or(&[][..], |root| &root.value);
    span.record("root", tracing::field::display(Hex(root)));
}

/// Bytes as people write them.
struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn span<B>(request: &Request<B>) -> Span {
    let Some((service, method)) = grpc_method(request) else {
        return Span::none();
    };
    let name = request.uri().path();
    let span = if service.starts_with(STORE) {
        tracing::debug_span!(
            "rpc",
            otel.name = name,
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            correlation_id = Empty,
            domain = Empty,
            edition = Empty,
            root = Empty,
        )
    } else {
        tracing::info_span!(
            "rpc",
            otel.name = name,
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            correlation_id = Empty,
            domain = Empty,
            edition = Empty,
            root = Empty,
        )
    };
    #[cfg(feature = "otel")]
    super::otel::adopt(&span, request.headers());
    span
}

fn grpc_method<B>(request: &Request<B>) -> Option<(&str, &str)> {
    let kind = request.headers().get(http::header::CONTENT_TYPE)?;
    if !kind.as_bytes().starts_with(b"application/grpc") {
        return None;
    }
    request.uri().path().strip_prefix('/')?.split_once('/')
}
