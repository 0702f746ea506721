//! REST and JSON for every served method that has a `google.api.http` option, on the addresses
//! of gRPC. A request is turned into the gRPC request it stands for and goes the same way.

mod answer;
mod binding;
mod codec;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, RawQuery, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::HeaderMap;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;

use self::binding::Binding;
use self::codec::BytesCodec;
use crate::json::Json;
use crate::telemetry::Spanned;

/// Headers that go on to the gRPC request, besides those that begin with `x-`.
const PASSED_ON: [&str; 4] = ["authorization", "grpc-timeout", "traceparent", "tracestate"];

/// JSON takes more room than the message it becomes: base64 a third, names the rest.
const JSON_FACTOR: usize = 3;

/// Routes for the methods of `services` (full names) that have an HTTP option.
///
/// # Errors
/// A sentence: the protocol description is unusable.
pub fn router(
    routes: &Routes,
    services: &[String],
    json: &Json,
    message_bytes_max: usize,
) -> Result<Router, String> {
    let gateway = Arc::new(Gateway {
        routes: routes.clone(),
        json: json.clone(),
        body_bytes_max: message_bytes_max.saturating_mul(JSON_FACTOR),
    });
    let mut router = Router::new();
    for binding in binding::bindings(json.pool(), services)? {
        let filter = MethodFilter::try_from(binding.verb.clone())
            .map_err(|error| format!("{}: {error}", binding.method.full_name()))?;
        let (gateway, path) = (Arc::clone(&gateway), binding.path.clone());
        let binding = Arc::new(binding);
        let handler = move |path: RawPathParams, query: RawQuery, request: Request| {
            let (gateway, binding) = (Arc::clone(&gateway), Arc::clone(&binding));
            async move { gateway.answer(&binding, &path, query, request).await }
        };
        router = router.route(&path, on(filter, handler));
    }
    Ok(router)
}

/// What a path gets that nothing is bound to: in gRPC when that was asked for.
pub async fn unknown(request: Request) -> Response {
    let headers = request.headers();
    let grpc = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let path = request.uri().path();
    let status = if grpc {
        Status::unimplemented(format!("{path} is no method of this server"))
    } else {
        Status::not_found(format!("{path} is no path of this server"))
    };
    if grpc {
        let (parts, ()) = status.into_http::<()>().into_parts();
        return Response::from_parts(parts, axum::body::Body::empty());
    }
    answer::failure(&status, None)
}

struct Gateway {
    routes: Routes,
    json: Json,
    body_bytes_max: usize,
}

impl Gateway {
    async fn answer(
        &self,
        binding: &Binding,
        path: &RawPathParams,
        RawQuery(query): RawQuery,
        request: Request,
    ) -> Response {
        match self.call(binding, path, query.as_deref(), request).await {
            Ok(response) => response,
            Err(status) => answer::failure(&status, Some(&self.json)),
        }
    }

    async fn call(
        &self,
        binding: &Binding,
        path: &RawPathParams,
        query: Option<&str>,
        request: Request,
    ) -> Result<Response, Status> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, self.body_bytes_max)
            .await
            .map_err(|error| Status::invalid_argument(format!("the body is unusable: {error}")))?;
        let input = binding.method.input();
        let message = request::value(binding, path, query, &body)
            .and_then(|value| self.json.read(&input, value))
            .map_err(Status::invalid_argument)?;
        let mut call = tonic::Request::new(Bytes::from(message));
        *call.metadata_mut() = metadata(&parts.headers);
        let mut client =
            Grpc::new(Local(Spanned(self.routes.clone()))).max_decoding_message_size(usize::MAX);
        client
            .ready()
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        let target = binding.target.clone();
        let output = binding.method.output();
        if binding.method.is_server_streaming() {
            let books = client.server_streaming(call, target, BytesCodec).await?;
            return Ok(answer::stream(
                books.into_inner(),
                self.json.clone(),
                output,
                &parts.headers,
            ));
        }
        let message = client.unary(call, target, BytesCodec).await?.into_inner();
        answer::single(&self.json, &output, &message)
    }
}

/// The services of this server, called without a network in between.
struct Local(Spanned<Routes>);

impl tower::Service<http::Request<Body>> for Local {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <Spanned<Routes> as tower::Service<http::Request<Body>>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        tower::Service::<http::Request<Body>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        if name.as_str().starts_with("x-") || PASSED_ON.contains(&name.as_str()) {
            passed.append(name.clone(), value.clone());
        }
    }
    MetadataMap::from_headers(passed)
}
