use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use angzarr_proto::Dialect;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status};

use super::codec::EncodedCodec;
use super::connection::Connection;
use super::{Error, Retries, trace};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How the gRPC library refuses a long message. The same words come from its client, about an
/// answer, and from its server, about a request: only the limit tells them apart.
const OVERSIZED: &str = "Error, decoded message length too large";

/// Where a component of business code listens and how it is called.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// What error texts call it, as in "the handler of domain `order`".
    pub peer: String,
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// Unset: found out by trying.
    pub dialect: Option<Dialect>,
    /// Longest time from the first call to the answer, retries included.
    pub timeout: Duration,
    /// For a peer that cannot be reached.
    pub retries: Retries,
    /// Calls at a time; further ones wait, within their timeout.
    pub concurrency: usize,
    /// Largest answer in bytes.
    pub message_bytes: usize,
}

/// A method of business code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    /// Every peer of this service has the method, so UNIMPLEMENTED means the wrong dialect.
    pub(super) mandatory: bool,
}

/// An encoded answer and the dialect in which it was given.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) bytes: Bytes,
    pub(super) dialect: Dialect,
}

/// One component of business code, called over a connection that is made when needed.
#[derive(Debug)]
pub(super) struct Peer {
    settings: PeerSettings,
    connection: Connection,
    permits: Semaphore,
    /// The dialect that last served a call.
    learned: Mutex<Option<Dialect>>,
}

impl Peer {
    /// Checks the address; does not connect.
    pub(super) fn new(settings: PeerSettings) -> Result<Self, String> {
        let PeerSettings { peer, address, .. } = &settings;
        let connection = Connection::new(address, CONNECT_TIMEOUT.min(settings.timeout))
            .map_err(|error| format!("address `{address}` of {peer}: {error}"))?;
        let permits = Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self {
            settings,
            connection,
            permits,
            learned: Mutex::new(None),
        })
    }

    /// Calls `method` with the message that `body` encodes for the peer's dialect.
    pub(super) async fn call(
        &self,
        method: Method,
        correlation_id: &str,
        body: impl Fn(Dialect) -> Bytes + Send,
    ) -> Result<Served, Error> {
        let after = self.settings.timeout;
        tokio::time::timeout(after, self.call_dialects(method, correlation_id, body))
            .await
            .unwrap_or_else(|_| {
                let (peer, address) = self.names();
                Err(Error::Deadline {
                    peer,
                    address,
                    after,
                })
            })
    }

    /// An answer that came but cannot be used.
    pub(super) fn nonsense(&self, what: impl Into<String>) -> Error {
        let (peer, address) = self.names();
        Error::Nonsense {
            peer,
            address,
            what: what.into(),
        }
    }

    /// The dialect the peer is known to speak.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        let learned = *self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings.dialect.or(learned)
    }

    async fn call_dialects(
        &self,
        method: Method,
        correlation_id: &str,
        body: impl Fn(Dialect) -> Bytes + Send,
    ) -> Result<Served, Error> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.ok();
        let mut unserved: Option<Box<Status>> = None;
        for dialect in self.candidates(method) {
            let answer = self
                .call_patiently(method, dialect, correlation_id, body(dialect))
                .await;
            match answer {
                Err(Error::Refused(status)) if status.code() == Code::Unimplemented => {
                    // A sentence of business code says more than a library's "no such method".
                    if unserved.as_deref().is_none_or(is_generic) {
                        unserved = Some(status);
                    }
                }
                answer => {
                    self.learn(dialect, &answer);
                    return answer.map(|bytes| Served { bytes, dialect });
                }
            }
        }
        Err(self.unserved(method, unserved))
    }

    /// The dialects to try, the likely one first.
    fn candidates(&self, method: Method) -> Vec<Dialect> {
        if let Some(configured) = self.settings.dialect {
            return vec![configured];
        }
        let Some(known) = self.dialect() else {
            return Dialect::ALL.to_vec();
        };
        let mut candidates = vec![known];
        if method.mandatory {
            candidates.extend(Dialect::ALL.into_iter().filter(|other| *other != known));
        }
        candidates
    }

    fn learn(&self, dialect: Dialect, answer: &Result<Bytes, Error>) {
        let served = match answer {
            Ok(_) => true,
            // Codes that a proxy or a library gives by itself prove nothing.
            Err(Error::Refused(status)) => !matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Cancelled
            ),
            Err(_) => false,
        };
        if served {
            *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(dialect);
        }
    }

    fn unserved(&self, method: Method, status: Option<Box<Status>>) -> Error {
        match status {
            Some(status) if !is_generic(&status) || !method.mandatory => Error::Refused(status),
            _ => {
                let PeerSettings { peer, address, .. } = &self.settings;
                Error::Refused(Box::new(Status::unimplemented(format!(
                    "{peer} at {address} serves {}.{} in no known package: start business code \
                     there that does, or correct the address",
                    method.service, method.name
                ))))
            }
        }
    }

    /// Tries again while the peer cannot be reached or calls itself unavailable.
    async fn call_patiently(
        &self,
        method: Method,
        dialect: Dialect,
        correlation_id: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let path = PathAndQuery::try_from(dialect.method_path(method.service, method.name))
            .map_err(|error| self.nonsense(error.to_string()))?;
        let mut delays = self.settings.retries.delays();
        let mut attempts = 1;
        loop {
            let status = match self
                .call_once(path.clone(), correlation_id, body.clone())
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            // A status that arrived has no source: only what broke on the way has.
            let broken = status.source().is_some();
            if !broken && status.code() != Code::Unavailable {
                return Err(self.refused(status));
            }
            let Some(delay) = delays.next() else {
                return Err(if broken {
                    self.unreachable(attempts, &status)
                } else {
                    self.refused(status)
                });
            };
            tracing::debug!(peer = %self.settings.peer, attempts, %status, "call failed, trying again");
            tokio::time::sleep(delay).await;
            attempts += 1;
        }
    }

    async fn call_once(
        &self,
        path: PathAndQuery,
        correlation_id: &str,
        body: Bytes,
    ) -> Result<Bytes, Status> {
        let client = self.connection.client().await?;
        let mut client = client.max_decoding_message_size(self.settings.message_bytes);
        client
            .ready()
            .await
            .map_err(|error| Status::from_error(Box::new(error)))?;
        let mut request = Request::new(body);
        trace::inject(request.metadata_mut());
        if let Ok(value) = AsciiMetadataValue::try_from(correlation_id)
            && !correlation_id.is_empty()
        {
            request.metadata_mut().insert("x-correlation-id", value);
        }
        let response = client.unary(request, path, EncodedCodec).await?;
        Ok(response.into_inner())
    }

    fn refused(&self, status: Status) -> Error {
        let refused = status.message().strip_prefix(OVERSIZED);
        let Some(limit) = refused.filter(|_| status.code() == Code::OutOfRange) else {
            return Error::Refused(Box::new(status));
        };
        let own = self.settings.message_bytes;
        if limit.ends_with(&format!(": {own} bytes")) {
            return self.nonsense(format!(
                "it is longer than the limit of {own} bytes (limits.message_bytes)"
            ));
        }
        let (peer, address) = self.names();
        Error::Overfull {
            peer,
            address,
            limit: limit.trim_start_matches(": ").to_owned(),
        }
    }

    fn unreachable(&self, attempts: u32, status: &Status) -> Error {
        let (peer, address) = self.names();
        let mut cause = status.message().to_owned();
        let mut source = status.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            if !cause.contains(&text) {
                cause = format!("{cause}: {text}");
            }
            source = inner.source();
        }
        Error::Unreachable {
            peer,
            address,
            attempts,
            cause,
        }
    }

    fn names(&self) -> (String, String) {
        (self.settings.peer.clone(), self.settings.address.clone())
    }
}

/// Whether a gRPC library made this status, and not business code.
fn is_generic(status: &Status) -> bool {
    let message = status.message().to_ascii_lowercase();
    message.is_empty()
        || message.contains("method not found")
        || message.contains("unknown service")
        || message.contains("unknown method")
        || message.starts_with("operation is not implemented")
        || message.contains("not implemented!")
}
