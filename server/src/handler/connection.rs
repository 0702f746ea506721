mod exchange;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tonic::Status;
use tonic::client::Grpc;

use crate::cork::Corked;

/// What stands for the host in requests over a Unix socket.
const LOCALHOST: &str = "http://localhost";

/// HTTP/2 windows, in bytes: a large answer does not wait for credit.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 5 * 1024 * 1024;

/// The HTTP/2 connection to a component, made with the first call and again after it broke.
///
/// A call writes its request to the connection and reads its answer there by itself: a client with
/// a task between calls and connection, and another one for each request, takes more locks and
/// wakes more often.
#[derive(Debug)]
pub(super) struct Connection {
    address: Address,
    origin: Uri,
    connect_timeout: Duration,
    open: Mutex<Option<Open>>,
    /// Whoever has it connects; the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
}

/// The connection as one call found it.
#[derive(Debug, Clone)]
pub(super) struct Open {
    sender: SendRequest<Bytes>,
    /// Whether it takes no more calls.
    closed: Arc<AtomicBool>,
}

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
        Ok(Grpc::with_origin(open, self.origin.clone()))
    }

    fn opened(&self) -> Option<Open> {
        lock(&self.open)
            .as_ref()
            .filter(|open| !open.is_closed())
            .cloned()
    }

    async fn connect(&self) -> Result<Open, Status> {
        let _connecting = self.connecting.lock().await;
        if let Some(open) = self.opened() {
            return Ok(open);
        }
        let stream = tokio::time::timeout(self.connect_timeout, self.address.connect())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(unconnected)?;
        let open = Open::on(stream).await.map_err(unconnected)?;
        *lock(&self.open) = Some(open.clone());
        Ok(open)
    }
}

impl Open {
    /// Begins to speak HTTP/2, in a task that ends with the connection.
    async fn on<S>(stream: S) -> Result<Self, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            // Until the peer has said how many calls it takes at a time: it would refuse more.
            .initial_max_send_streams(1)
            .handshake(Corked::new(stream))
            .await?;
        let closed = Arc::new(AtomicBool::new(false));
        let open = Self {
            sender,
            closed: Arc::clone(&closed),
        };
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to business code broke");
            }
            closed.store(true, Ordering::Relaxed);
        });
        Ok(open)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
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
