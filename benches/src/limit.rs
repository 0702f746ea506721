//! The limit of any durable server behind tonic: the same call with nothing behind it but
//! [`GroupCommit`].

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::store::v1::admin_server::{Admin, AdminServer};
use angzarr_proto::store::v1::append_stream_response::Outcome;
use angzarr_proto::store::v1::event_store_server::{EventStore, EventStoreServer};
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::group_commit::{Entry, GroupCommit, Stale};
use crate::zeroed::ZeroedFile;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Size of the file. More is written over its start.
const FILE_BYTES: u64 = 512 << 20;

/// Requests of one stream that are under way at once.
const STREAM_DEPTH: usize = 1_024;

/// Serves until the process ends. Without a folder it stores nothing and accepts everything: the
/// limit of tonic alone.
///
/// # Errors
/// When the file or the listener fails.
pub async fn serve(listener: TcpListener, folder: Option<&Path>) -> Result<()> {
    let log = match folder {
        None => None,
        Some(folder) => {
            let file = ZeroedFile::create(&folder.join("limit.log"), FILE_BYTES)?;
            Some(GroupCommit::start(file)?)
        }
    };
    let mirrored = Arc::default();
    run(listener, Limit { log, mirrored }).await
}

/// Serves until the process ends, and answers `ReadAll` with these messages.
///
/// # Errors
/// When the listener fails.
pub async fn mirror(listener: TcpListener, messages: Vec<pb::ReadAllResponse>) -> Result<()> {
    let mirrored = messages.into();
    run(
        listener,
        Limit {
            log: None,
            mirrored,
        },
    )
    .await
}

async fn run(listener: TcpListener, limit: Limit) -> Result<()> {
    let incoming = TcpListenerStream::new(listener)
        .inspect(|connection| drop(connection.as_ref().map(|stream| stream.set_nodelay(true))));
    tonic::transport::Server::builder()
        .add_service(AdminServer::new(limit.clone()))
        .add_service(EventStoreServer::new(limit))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Debug, Clone)]
struct Limit {
    log: Option<GroupCommit>,
    mirrored: Arc<[pb::ReadAllResponse]>,
}

impl Limit {
    async fn store(&self, request: pb::AppendRequest) -> Result<pb::AppendResponse, Status> {
        let Some(log) = &self.log else {
            return Ok(appended(0));
        };
        let entry = entry(request).ok_or_else(|| {
            Status::invalid_argument("the limit takes one write with a root of 16 bytes")
        })?;
        match log.append(entry).await {
            None => Err(Status::unavailable("the disk failed")),
            Some(Err(Stale { actual })) => Err(Status::failed_precondition(format!(
                "Sequence mismatch: the aggregate is at {actual}"
            ))),
            Some(Ok(sequence)) => Ok(appended(sequence)),
        }
    }
}

fn appended(sequence: u32) -> pb::AppendResponse {
    pb::AppendResponse {
        results: vec![pb::Appended {
            first_sequence: Some(sequence),
            last_sequence: Some(sequence),
            next_sequence: sequence + 1,
            ..Default::default()
        }],
        position: 0,
    }
}

/// The one write of a request, its pages encoded as they would be stored.
fn entry(request: pb::AppendRequest) -> Option<Entry> {
    let [write] = <[_; 1]>::try_from(request.writes).ok()?;
    let root = write.cover?.root?.value.try_into().ok()?;
    let expected = match write.expected?.state? {
        pb::expected::State::Next(next) => Some(next),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(write.pages.iter().map(Message::encoded_len).sum());
    for page in &write.pages {
        page.encode_raw(&mut bytes);
    }
    Some(Entry {
        root,
        expected,
        bytes,
    })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn no_such_call<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the limit only appends"))
}

#[tonic::async_trait]
impl EventStore for Limit {
    type AppendStreamStream = Answers<pb::AppendStreamResponse>;
    type ReadStream = Answers<pb::ReadResponse>;
    type ReadAllStream = Answers<pb::ReadAllResponse>;
    type SubscribeStream = Answers<pb::ReadAllResponse>;

    async fn append(
        &self,
        request: Request<pb::AppendRequest>,
    ) -> Result<Response<pb::AppendResponse>, Status> {
        self.store(request.into_inner()).await.map(Response::new)
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let limit = self.clone();
        let answers = request.into_inner().map(move |request| {
            let limit = limit.clone();
            async move {
                let outcome = match limit.store(request?).await {
                    Ok(answer) => Outcome::Appended(answer),
                    Err(status) => Outcome::Refusal(pb::Refusal {
                        code: i32::from(status.code()),
                        message: status.message().to_owned(),
                        details: Vec::new(),
                    }),
                };
                Ok(pb::AppendStreamResponse {
                    outcome: Some(outcome),
                })
            }
        });
        Ok(Response::new(Box::pin(answers.buffered(STREAM_DEPTH))))
    }

    async fn read(
        &self,
        _: Request<pb::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        no_such_call()
    }

    async fn read_all(
        &self,
        _: Request<pb::ReadAllRequest>,
    ) -> Result<Response<Self::ReadAllStream>, Status> {
        let mirrored = Arc::clone(&self.mirrored);
        let messages = (0..mirrored.len()).map_while(move |at| mirrored.get(at).cloned());
        Ok(Response::new(Box::pin(futures::stream::iter(
            messages.map(Ok),
        ))))
    }

    async fn subscribe(
        &self,
        _: Request<pb::ReadAllRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        no_such_call()
    }

    async fn list_domains(
        &self,
        _: Request<pb::ListDomainsRequest>,
    ) -> Result<Response<pb::ListDomainsResponse>, Status> {
        no_such_call()
    }

    async fn list_editions(
        &self,
        _: Request<pb::ListEditionsRequest>,
    ) -> Result<Response<pb::ListEditionsResponse>, Status> {
        no_such_call()
    }

    async fn list_aggregates(
        &self,
        _: Request<pb::ListAggregatesRequest>,
    ) -> Result<Response<pb::ListAggregatesResponse>, Status> {
        no_such_call()
    }

    async fn list_correlated(
        &self,
        _: Request<pb::ListCorrelatedRequest>,
    ) -> Result<Response<pb::ListCorrelatedResponse>, Status> {
        no_such_call()
    }

    async fn get_claim(
        &self,
        _: Request<pb::GetClaimRequest>,
    ) -> Result<Response<pb::GetClaimResponse>, Status> {
        no_such_call()
    }
}

#[tonic::async_trait]
impl Admin for Limit {
    async fn stats(
        &self,
        _: Request<pb::StatsRequest>,
    ) -> Result<Response<pb::StatsResponse>, Status> {
        let durability = self.log.as_ref().map_or("none", |_| "fsync").to_owned();
        Ok(Response::new(pb::StatsResponse {
            durability,
            ..Default::default()
        }))
    }

    async fn seal_segment(
        &self,
        _: Request<pb::SealSegmentRequest>,
    ) -> Result<Response<pb::SealSegmentResponse>, Status> {
        no_such_call()
    }

    async fn sealing(
        &self,
        _: Request<pb::SealingRequest>,
    ) -> Result<Response<pb::SealingResponse>, Status> {
        no_such_call()
    }

    type BackupStream = Answers<pb::BackupResponse>;

    async fn backup(
        &self,
        _: Request<pb::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        no_such_call()
    }
}
