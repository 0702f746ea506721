//! The server, the bare limit of one, and tonic with nothing behind it: all speak the same
//! protocol.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::child::Server;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{EventPage, event_page};
use angzarr_server::bench::grpc::{self, Streamed, Unary};
use angzarr_server::bench::load::{AppendError, Writer};
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use prost::Message;
use tonic::transport::Channel;

use crate::contender::{Checks, Client, Contender, Field, Kind, Store};
use crate::{Result, disk, process};

/// Which server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    Angzarr,
    GroupCommit,
    Nothing,
}

/// One of them, by unary calls or by messages of one stream for each client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grpc {
    pub(crate) behind: Behind,
    pub(crate) streamed: bool,
}

#[async_trait]
impl Contender for Grpc {
    fn id(&self) -> &'static str {
        match (self.behind, self.streamed) {
            (Behind::Angzarr, false) => "angzarr",
            (Behind::Angzarr, true) => "angzarr-stream",
            (Behind::GroupCommit, false) => "limit",
            (Behind::GroupCommit, true) => "limit-stream",
            (Behind::Nothing, false) => "noop",
            (Behind::Nothing, true) => "noop-stream",
        }
    }

    fn name(&self) -> &'static str {
        match (self.behind, self.streamed) {
            (Behind::Angzarr, false) => "Angzarr, Append",
            (Behind::Angzarr, true) => "Angzarr, AppendStream",
            (Behind::GroupCommit, false) => "limit: tonic unary + bare group commit",
            (Behind::GroupCommit, true) => "limit: tonic stream + bare group commit",
            (Behind::Nothing, false) => "limit: tonic unary, nothing stored",
            (Behind::Nothing, true) => "limit: tonic stream, nothing stored",
        }
    }

    fn kind(&self) -> Kind {
        match self.behind {
            Behind::Angzarr => Kind::Angzarr,
            Behind::GroupCommit | Behind::Nothing => Kind::Limit,
        }
    }

    fn settings(&self) -> &'static str {
        match self.behind {
            Behind::Angzarr => "defaults: fdatasync before the answer, commits grouped",
            Behind::GroupCommit => "fdatasync before the answer, one for each group",
            Behind::Nothing => "none: nothing is stored",
        }
    }

    fn version(&self, field: &Field) -> Result<String> {
        match self.behind {
            Behind::Angzarr => process::version(&field.angzarr, "--version"),
            Behind::GroupCommit | Behind::Nothing => Ok("this tree".to_owned()),
        }
    }

    fn serves_reads(&self) -> bool {
        self.behind == Behind::Angzarr && !self.streamed
    }

    fn checks(&self) -> Checks {
        match self.behind {
            Behind::Angzarr => Checks::All,
            Behind::GroupCommit => Checks::Stale,
            Behind::Nothing => Checks::None,
        }
    }

    async fn start(&self, field: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let server = match self.behind {
            Behind::Angzarr => process::serve(&field.angzarr, folder, |command, address| {
                command.args(["serve", "--listen", &address.to_string(), "--data"]);
                command.arg(folder.join("data"));
            })?,
            // This program itself: see `main`.
            limit => process::serve(&std::env::current_exe()?, folder, |command, address| {
                command.args(["serve-limit", "--listen", &address.to_string()]);
                if limit == Behind::GroupCommit {
                    command.arg("--folder").arg(folder);
                }
            })?,
        };
        let control = grpc::connect(&server.url(), 1, 1).await?;
        let control = control.into_iter().next().ok_or("no connection")?;
        let durability = grpc::stats(&control).await?.durability;
        if self.behind == Behind::Angzarr && durability != "fsync" {
            return Err(format!("the server's durability is {durability}").into());
        }
        Ok(Box::new(Running {
            of: *self,
            server,
            control,
            folder: folder.join("data"),
        }))
    }
}

struct Running {
    of: Grpc,
    server: Server,
    control: Channel,
    folder: PathBuf,
}

#[async_trait]
impl Store for Running {
    fn pids(&self) -> Result<Vec<u32>> {
        Ok(vec![self.server.pid()])
    }

    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let channels = grpc::connect(&self.server.url(), clients, 0).await?;
        let channel = channels.first().ok_or("no connection")?.clone();
        Ok(if self.of.streamed {
            let writers = Streamed::writers(&channels, clients, workload).await?;
            boxed(writers, &channel, workload)
        } else {
            boxed(
                Unary::writers(&channels, clients, workload),
                &channel,
                workload,
            )
        })
    }

    /// As the server counts: what was written to the log, not what was allocated ahead. And the
    /// index.
    async fn bytes(&self) -> Result<Option<u64>> {
        if self.of.behind != Behind::Angzarr {
            return Ok(None);
        }
        let log = grpc::stats(&self.control).await?.log_bytes;
        Ok(Some(log + disk::used(&self.folder.join("index"))?))
    }
}

fn boxed<W: Writer>(
    writers: Vec<W>,
    channel: &Channel,
    workload: &Arc<Workload>,
) -> Vec<Box<dyn Client>> {
    let client = |writer| -> Box<dyn Client> {
        Box::new(GrpcClient {
            writer,
            channel: channel.clone(),
            workload: Arc::clone(workload),
        })
    };
    writers.into_iter().map(client).collect()
}

struct GrpcClient<W> {
    writer: W,
    channel: Channel,
    workload: Arc<Workload>,
}

#[async_trait]
impl<W: Writer> Client for GrpcClient<W> {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        self.writer.append(aggregate, sequence).await
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let request = pb::ReadRequest {
            cover: Some(grpc::cover(&self.workload, aggregate)),
            ..Default::default()
        };
        let mut chunks = grpc::store(&self.channel).read(request).await?.into_inner();
        let mut payloads = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            for page in chunk.pages {
                payloads.push(payload(&page)?);
            }
        }
        Ok(payloads)
    }
}

/// What an encoded page holds.
pub(crate) fn payload(page: &[u8]) -> Result<Vec<u8>> {
    match EventPage::decode(page)?.payload {
        Some(event_page::Payload::Event(event)) => Ok(event.value),
        other => Err(format!("a page without an event: {other:?}").into()),
    }
}
