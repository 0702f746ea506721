//! Clients of the database protocol.

use std::sync::Arc;
use std::time::Duration;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::store::v1::admin_client::AdminClient;
use angzarr_proto::store::v1::append_stream_response::Outcome;
use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_proto::v1::{Cover, EventPage, Uuid, event_page};
use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::Error;
use super::load::{AppendError, Writer};
use super::workload::Workload;

/// Type of every event the generator appends.
pub(crate) const EVENT_TYPE: &str = "type.googleapis.com/angzarr.bench.Event";

/// Answers of `Read` and `Subscribe` may be as large as the server's largest message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// HTTP/2 windows wide enough that a local stream of events is never held up by them.
const WINDOW_BYTES: u32 = 4 << 20;

/// Largest HTTP/2 frame taken: fewer system calls for the same bytes.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Clients that share a connection unless told otherwise. Fewer connections mean fewer wake-ups;
/// beyond a hundred requests in flight a connection is itself the limit.
const CLIENTS_PER_CONNECTION: u32 = 64;

/// Opens the connections that `clients` share; 0 lets the number of clients decide.
///
/// # Errors
/// When the address is not a URL or nothing answers there.
pub async fn connect(target: &str, clients: u32, connections: u32) -> Result<Vec<Channel>, Error> {
    let connections = match connections {
        0 => clients.div_ceil(CLIENTS_PER_CONNECTION).max(1),
        given => given,
    };
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(connect_one(target).await?);
    }
    Ok(channels)
}

async fn connect_one(target: &str) -> Result<Channel, Error> {
    let unreachable = |error: tonic::transport::Error| Error::Unreachable {
        target: target.to_owned(),
        cause: std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |c| c.to_string()),
    };
    Endpoint::from_shared(target.to_owned())
        .map_err(unreachable)?
        .connect_timeout(Duration::from_secs(5))
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect()
        .await
        .map_err(unreachable)
}

/// A client of the database protocol on one connection.
#[must_use]
pub fn store(channel: &Channel) -> EventStoreClient<Channel> {
    EventStoreClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// What the server says about itself.
///
/// # Errors
/// When the call fails.
pub async fn stats(channel: &Channel) -> Result<pb::StatsResponse, Error> {
    let answer = AdminClient::new(channel.clone())
        .stats(pb::StatsRequest {})
        .await;
    Ok(answer
        .map_err(|status| Error::call("Admin.Stats", &status))?
        .into_inner())
}

/// The cover of one of the workload's aggregates.
#[must_use]
pub fn cover(workload: &Workload, aggregate: u32) -> Cover {
    Cover {
        domain: workload.domain.clone(),
        root: Some(Uuid {
            value: workload.root(aggregate).to_vec(),
        }),
        ..Cover::default()
    }
}

/// An append of the workload's events from `first` to before `end`, expecting `first` to be next.
#[must_use]
pub fn request(workload: &Workload, aggregate: u32, first: u32, end: u32) -> pb::AppendRequest {
    let pages = (first..end).map(|sequence| page(workload.payload(aggregate, sequence)));
    pb::AppendRequest {
        writes: vec![pb::AggregateAppend {
            cover: Some(cover(workload, aggregate)),
            pages: pages.collect(),
            expected: Some(pb::Expected {
                state: Some(pb::expected::State::Next(first)),
            }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A page with this payload, to be numbered by the store.
#[must_use]
pub fn page(payload: Vec<u8>) -> EventPage {
    let event = Any {
        type_url: EVENT_TYPE.to_owned(),
        value: payload,
    };
    EventPage {
        payload: Some(event_page::Payload::Event(event)),
        ..Default::default()
    }
}

/// Appends by unary calls.
#[derive(Debug, Clone)]
pub struct Unary {
    client: EventStoreClient<Channel>,
    workload: Arc<Workload>,
}

impl Unary {
    /// One writer for each client, spread over the connections.
    #[must_use]
    pub fn writers(channels: &[Channel], clients: u32, workload: &Arc<Workload>) -> Vec<Self> {
        let clients = channels.iter().cycle().take(clients as usize);
        clients
            .map(|channel| Self {
                client: store(channel),
                workload: Arc::clone(workload),
            })
            .collect()
    }
}

impl Writer for Unary {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let request = request(&self.workload, aggregate, sequence, sequence + 1);
        match self.client.append(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(append_error(status.code(), status.message())),
        }
    }
}

/// Appends by messages of one `AppendStream` call.
#[derive(Debug)]
pub struct Streamed {
    requests: mpsc::Sender<pb::AppendRequest>,
    answers: Streaming<pb::AppendStreamResponse>,
    workload: Arc<Workload>,
}

impl Streamed {
    /// One stream for each client, spread over the connections.
    ///
    /// # Errors
    /// When a stream cannot be opened.
    pub async fn writers(
        channels: &[Channel],
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Self>, Error> {
        let mut writers = Vec::new();
        for channel in channels.iter().cycle().take(clients as usize) {
            writers.push(Self::open(channel, workload).await?);
        }
        Ok(writers)
    }

    async fn open(channel: &Channel, workload: &Arc<Workload>) -> Result<Self, Error> {
        let (requests, queue) = mpsc::channel(1);
        let answers = store(channel)
            .append_stream(ReceiverStream::new(queue))
            .await
            .map_err(|status| Error::call("EventStore.AppendStream", &status))?
            .into_inner();
        Ok(Self {
            requests,
            answers,
            workload: Arc::clone(workload),
        })
    }
}

impl Writer for Streamed {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let request = request(&self.workload, aggregate, sequence, sequence + 1);
        let ended = || AppendError::Failed("the stream ended".to_owned());
        self.requests.send(request).await.map_err(|_| ended())?;
        let answer = self.answers.message().await;
        let answer = answer.map_err(|status| append_error(status.code(), status.message()))?;
        match answer.and_then(|answer| answer.outcome).ok_or_else(ended)? {
            Outcome::Appended(_) => Ok(()),
            Outcome::Refusal(refusal) => Err(append_error(
                tonic::Code::from_i32(refusal.code),
                &refusal.message,
            )),
        }
    }
}

/// Codes the store answers with when it certainly stored nothing are refusals.
#[must_use]
pub fn append_error(code: tonic::Code, message: &str) -> AppendError {
    use tonic::Code::{FailedPrecondition, InvalidArgument, ResourceExhausted, Unimplemented};
    let text = format!("{code:?}: {message}");
    match code {
        FailedPrecondition | InvalidArgument | ResourceExhausted | Unimplemented => {
            AppendError::Refused(text)
        }
        _ => AppendError::Failed(text),
    }
}
