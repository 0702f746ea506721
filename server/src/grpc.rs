//! The endpoint: every service on every listener, in every dialect, with health, reflection
//! and, beside gRPC, plain HTTP.

mod dispatch;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use angzarr_proto::{Dialect, FILE_DESCRIPTOR_SET, descriptor_set};
use dispatch::Dispatch;
use futures::future::try_join_all;
use http::{Request, Response};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Server, ServerTlsConfig};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service;
use tower::util::{MapRequestLayer, MapResponseLayer};

use crate::cork::Corked;
use crate::dialect_layer::to_canonical;
use crate::health::Health;
use crate::json::Json;
use crate::listener::Listener;
use crate::rest;
use crate::service::message_limit::rephrase_response;
use crate::telemetry::RpcSpans;

/// Default limit of one request message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// HTTP/2 windows, in bytes: a bulk reader or writer does not wait for credit, and a client
/// that stops reading holds no more than this.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Largest HTTP/2 frame accepted, in bytes: fewer frames per bulk message.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// Requests of one connection that may be in progress at a time; further ones wait in the client.
const STREAMS_PER_CONNECTION: u32 = 4096;

/// A silent connection is probed this often, so that a vanished client does not hold a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

const HEALTH_NAME: &str = "grpc.health.v1.Health";

/// Why the server could not serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The transport failed.
    #[error("the gRPC transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// A listener could not be used.
    #[error("a listener failed: {0}")]
    Listener(#[from] io::Error),
    /// The descriptions for reflection could not be prepared.
    #[error("the protocol description is unusable: {0}")]
    Description(String),
}

/// A gRPC server in the making: services are added, then it serves.
///
/// Every service of the public protocol is served, described and reported as healthy under
/// the package of each [`Dialect`].
pub struct GrpcServer {
    routes: RoutesBuilder,
    dispatch: Dispatch,
    names: Vec<String>,
    reporter: HealthReporter,
    message_bytes_max: usize,
    json: Option<Json>,
    http: axum::Router,
    tls: Option<ServerTlsConfig>,
}

impl GrpcServer {
    /// A server without services that refuses messages above `message_bytes_max` bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            routes: Routes::builder(),
            dispatch: Dispatch::default(),
            names: Vec::new(),
            reporter: HealthReporter::new(),
            message_bytes_max,
            json: None,
            http: axum::Router::new(),
            tls: None,
        }
    }

    /// Also answers REST and JSON, for every service with HTTP options that is added.
    #[must_use]
    pub fn with_rest(mut self, json: Json) -> Self {
        self.json = Some(json);
        self
    }

    /// Speaks TLS on TCP addresses, and nothing else there.
    #[must_use]
    pub fn with_tls(mut self, tls: ServerTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Also answers plain HTTP on the paths of `router`.
    #[must_use]
    pub fn with_http(mut self, router: axum::Router) -> Self {
        self.http = self.http.merge(router);
        self
    }

    /// The limit that added services are to be made with.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Adds a service.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.names.extend(names_in_every_dialect(S::NAME));
        self.dispatch.add(S::NAME, service.clone());
        self.routes.add_service(service);
        self
    }

    /// A handle to what the health service answers for the server and the services added so
    /// far. Everything is serving from the call of [`GrpcServer::serve`] to its shutdown, unless
    /// this says otherwise.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(self.reporter.clone(), self.names.clone())
    }

    /// Serves on every listener until `shutdown` is cancelled, then waits for requests in
    /// progress, `drain` at the longest.
    ///
    /// # Errors
    /// [`ServeError`] when a listener or the transport fails; the others are given up as well.
    pub async fn serve(
        mut self,
        listeners: Vec<Listener>,
        shutdown: CancellationToken,
        drain: Duration,
    ) -> Result<(), ServeError> {
        let health = self.health();
        self.add_reflection()?;
        self.routes
            .add_service(HealthServer::new(HealthService::from_health_reporter(
                self.reporter.clone(),
            )));
        let mut http = self.http;
        let routes = self.routes.routes().prepare();
        if let Some(json) = &self.json {
            let rest =
                rest::router(&routes, &self.names, json, self.message_bytes_max).map_err(broken)?;
            http = http.merge(rest);
        }
        let router = routes.into_axum_router().reset_fallback().merge(http);
        let routes = Routes::from(router.fallback(rest::unknown)).prepare();
        health.set_serving(true).await;

        let endpoint = Endpoint {
            dispatch: self.dispatch,
            routes,
            tls: self.tls,
        };
        let serving = listeners
            .into_iter()
            .map(|listener| serve_on(listener, endpoint.clone(), shutdown.clone()));
        let drained = async {
            shutdown.cancelled().await;
            health.set_serving(false).await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            served = try_join_all(serving) => served.map(|_| ()),
            () = drained => {
                tracing::warn!("requests still in progress were given up");
                Ok(())
            }
        }
    }

    fn add_reflection(&mut self) -> Result<(), ServeError> {
        let older = [
            descriptor_set(Dialect::Client05).map_err(broken)?,
            descriptor_set(Dialect::Client03).map_err(broken)?,
        ];
        let builder = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(HEALTH_NAME);
            let builder = older.iter().cloned().fold(builder, |builder, set| {
                builder.register_file_descriptor_set(set)
            });
            self.names
                .iter()
                .fold(builder, |builder, name| builder.with_service_name(name))
        };
        let v1 = builder()
            .build_v1()
            .map_err(|error| broken(error.to_string()))?;
        let v1alpha = builder()
            .build_v1alpha()
            .map_err(|error| broken(error.to_string()))?;
        self.routes.add_service(v1).add_service(v1alpha);
        Ok(())
    }
}

fn broken(error: impl std::fmt::Display) -> ServeError {
    ServeError::Description(error.to_string())
}

/// The name of a service of the public protocol under every package, of any other as it is.
fn names_in_every_dialect(name: &str) -> Vec<String> {
    match name.rsplit_once('.') {
        Some((package, bare)) if Dialect::of_package(package).is_some() => Dialect::ALL
            .iter()
            .map(|dialect| dialect.qualify(bare))
            .collect(),
        _ => vec![name.to_owned()],
    }
}

/// What every listener serves.
#[derive(Clone)]
struct Endpoint {
    dispatch: Dispatch,
    routes: Routes,
    /// On TCP addresses.
    tls: Option<ServerTlsConfig>,
}

async fn serve_on(
    listener: Listener,
    endpoint: Endpoint,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    match listener {
        Listener::Tcp(listener) => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            serve_incoming(incoming, endpoint, shutdown).await
        }
        Listener::Unix(listener, path) => {
            let _socket = SocketFile(path);
            let plain = Endpoint {
                tls: None,
                ..endpoint
            };
            serve_incoming(UnixListenerStream::new(listener), plain, shutdown).await
        }
    }
}

/// Removes the file however serving ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "socket file was not removed");
        }
    }
}

async fn serve_incoming<I, C>(
    incoming: I,
    endpoint: Endpoint,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let server = match endpoint.tls {
        Some(tls) => Server::builder().tls_config(tls)?,
        None => Server::builder(),
    };
    server
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        // REST is spoken over HTTP/1.1 more often than not.
        .accept_http1(true)
        .layer(MapRequestLayer::new(to_canonical::<Body>))
        .layer(RpcSpans)
        .layer(MapResponseLayer::new(rephrase_response))
        .layer(endpoint.dispatch)
        .add_routes(endpoint.routes)
        .serve_with_incoming_shutdown(
            incoming.map(|stream| stream.map(Corked::new)),
            shutdown.cancelled_owned(),
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
