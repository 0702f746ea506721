use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tower::Service;

use crate::cork::Corked;

/// What stands for the host in requests over a Unix socket.
const LOCALHOST: &str = "http://localhost";

/// The name under which the server calls business code.
const NAME: HeaderValue = HeaderValue::from_static(concat!("angzarr/", env!("CARGO_PKG_VERSION")));

/// The HTTP/2 connection to a component, made with the first call and again after it broke.
///
/// A call hands its request to the connection's task directly. The channel of the gRPC library
/// has another task in between, which costs two switches for each call.
#[derive(Debug)]
pub(super) struct Connection {
    address: Address,
    origin: Uri,
    connect_timeout: Duration,
    open: Mutex<Option<SendRequest<Body>>>,
    /// Whoever has it connects; the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
}

/// The connection as one call found it.
#[derive(Debug)]
pub(super) struct Open(SendRequest<Body>);

#[derive(Debug)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Connection {
    /// Understands `http://host:port` and `unix:/path`; does not connect.
    pub(super) fn new(address: &str, connect_timeout: Duration) -> Result<Self, String> {
        let (address, origin) = parse(address)?;
        Ok(Self {
            address,
            origin,
            connect_timeout,
            open: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        })
    }

    /// A client for one call.
    ///
    /// # Errors
    /// Whatever kept it from connecting, as the source of the status.
    pub(super) async fn client(&self) -> Result<Grpc<Open>, Status> {
        let open = match self.opened() {
            Some(open) => open,
            None => self.connect().await?,
        };
        Ok(Grpc::with_origin(Open(open), self.origin.clone()))
    }

    fn opened(&self) -> Option<SendRequest<Body>> {
        lock(&self.open)
            .as_ref()
            .filter(|open| !open.is_closed())
            .cloned()
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Status> {
        let _connecting = self.connecting.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let stream = tokio::time::timeout(self.connect_timeout, self.address.connect())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(unconnected)?;
        let (open, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(Corked::new(stream)))
                .await
                .map_err(unconnected)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to business code broke");
            }
        });
        *lock(&self.open) = Some(open.clone());
        Ok(open)
    }
}

impl Service<Request<Body>> for Open {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, NAME);
        Box::pin(self.0.send_request(request))
    }
}

impl Address {
    async fn connect(&self) -> io::Result<Either<TcpStream, UnixStream>> {
        match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Either::Right),
        }
    }
}

fn parse(text: &str) -> Result<(Address, Uri), String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok((Address::Unix(path.into()), Uri::from_static(LOCALHOST)));
    }
    let origin = Uri::try_from(text).map_err(|error| error.to_string())?;
    if origin.scheme_str() != Some("http") {
        return Err("it is neither http://host:port nor unix:/path".to_owned());
    }
    let host = origin.host().unwrap_or_default();
    // An address of IPv6 has brackets in a URL, and none where names are looked up.
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = origin.port_u16().unwrap_or(80);
    Ok((Address::Tcp { host, port }, origin))
}

fn unconnected(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    let mut status = Status::unavailable(format!("cannot connect: {error}"));
    status.set_source(std::sync::Arc::new(error));
    status
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
