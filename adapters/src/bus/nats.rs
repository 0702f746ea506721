//! NATS JetStream: durable streams on a server of their own.

mod connection;

use std::path::PathBuf;
use std::time::Duration;

use async_nats::header::{HeaderMap, HeaderValue};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};

use self::connection::Connection;
use super::subject::{root_hex, subject};
use super::{BusError, BusMessage, EventBus};

/// How to reach NATS, and what to write to.
#[derive(Clone)]
pub struct NatsOptions {
    /// `nats://host:port` or `tls://host:port`, with `user:password@` or `token@` when asked for.
    pub servers: Vec<String>,
    /// What subjects begin with.
    pub prefix: String,
    /// Name of the stream; made when it is not there.
    pub stream: String,
    /// How long a stream that is made knows messages that it has.
    pub duplicate_window: Duration,
    /// The authority that signed the server's certificate, in PEM; the system's when unset.
    pub ca: Option<PathBuf>,
    /// Certificate and private key to show to the server, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A stream of NATS JetStream as a bus.
///
/// The connection is made in the background, and again whenever it breaks: nothing here waits for
/// a server that is away.
pub struct NatsBus {
    prefix: String,
    connection: Connection,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Begins to connect.
    ///
    /// # Errors
    /// A sentence when the options cannot be used: an address or a file.
    pub async fn open(options: NatsOptions) -> Result<Self, String> {
        Ok(Self {
            prefix: options.prefix.clone(),
            connection: Connection::open(options).await?,
        })
    }
}

#[tonic::async_trait]
impl EventBus for NatsBus {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn publish(&self, message: &BusMessage) -> Result<(), BusError> {
        let jetstream = self.connection.ready().await?;
        let subject = subject(&self.prefix, message);
        let publish = PublishMessage::build()
            .payload(message.book.clone())
            .headers(headers(message))
            .expected_stream(self.connection.stream());
        let acknowledged = async { jetstream.send_publish(subject, publish).await?.await };
        match acknowledged.await {
            Ok(_) => Ok(()),
            Err(error) => {
                if error.kind() == PublishErrorKind::StreamNotFound {
                    // It was deleted, or takes other subjects now: looked at with the next try.
                    self.connection.forget_stream().await;
                }
                Err(failure(&error, message))
            }
        }
    }
}

fn headers(message: &BusMessage) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let edition = match message.edition.as_str() {
        "" => "angzarr",
        edition => edition,
    };
    let position = match message.position {
        0 => String::new(),
        position => position.to_string(),
    };
    let all = [
        ("Nats-Msg-Id", message.id.as_str()),
        ("Angzarr-Domain", &message.domain),
        ("Angzarr-Edition", edition),
        ("Angzarr-Root", &root_hex(&message.root)),
        ("Angzarr-Sequence", &message.sequence.to_string()),
        ("Angzarr-Position", &position),
        ("Angzarr-Correlation-Id", &message.correlation_id),
    ];
    for (name, value) in all {
        // What cannot stand in a header stands in the book.
        if let (false, Ok(value)) = (value.is_empty(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn failure(error: &PublishError, message: &BusMessage) -> BusError {
    let answered = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<jetstream::Error>())
        .map(jetstream::Error::error_code);
    let too_large = error.kind() == PublishErrorKind::MaxPayloadExceeded
        || answered == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    if too_large {
        return BusError::Refused(format!(
            "{} bytes are more than NATS takes in a message ({error}): raise max_payload of the \
             server or max_msg_size of the stream",
            message.book.len()
        ));
    }
    BusError::Unavailable(match error.kind() {
        PublishErrorKind::TimedOut => "NATS did not acknowledge the message in time".to_owned(),
        PublishErrorKind::StreamNotFound => "no stream takes the message".to_owned(),
        _ => format!("NATS did not store the message: {error}"),
    })
}
