use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use angzarr_benches::child::{Server, free_address};
use angzarr_server::bench::grpc::{self, Unary};
use angzarr_server::bench::load::{self, Measured, Plan};
use angzarr_server::bench::workload::Workload;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{Args, Result};

/// Bytes of every payload.
pub(crate) const PAYLOAD: u32 = 256;
/// Clients that append beside other work, and the aggregates they append to.
const CLIENTS: u32 = 64;
const AGGREGATES: u32 = 10_000;
/// Before a rate counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// Where servers run, and for how long.
pub(crate) struct Venue {
    pub(crate) angzarr: PathBuf,
    pub(crate) scratch: PathBuf,
    seconds: f64,
}

/// A server with one connection, and its folder; both are gone when it is dropped.
pub(crate) struct Serving {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    _folder: TempDir,
}

impl Venue {
    pub(crate) fn new(args: &Args, scratch: &Path) -> Self {
        Self {
            angzarr: args.angzarr.clone(),
            scratch: scratch.to_owned(),
            seconds: args.seconds,
        }
    }

    pub(crate) fn folder(&self) -> Result<TempDir> {
        Ok(tempfile::tempdir_in(&self.scratch)?)
    }

    /// Starts a server on a fresh store.
    pub(crate) async fn angzarr(&self) -> Result<Serving> {
        self.angzarr_with(&[]).await
    }

    /// The same with settings of its own.
    pub(crate) async fn angzarr_with(&self, settings: &[&str]) -> Result<Serving> {
        let folder = self.folder()?;
        let server = Server::angzarr(&self.angzarr, folder.path(), settings)?;
        Serving::with(server, folder).await
    }

    /// Starts a server that streams from memory what another one holds.
    pub(crate) async fn mirror(&self, of: &Server) -> Result<Serving> {
        let folder = self.folder()?;
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("limit"));
        command.args(["--listen", &address.to_string(), "--mirror", &of.url()]);
        let server = Server::start(command, address, &folder.path().join("output"))?;
        Serving::with(server, folder).await
    }

    /// Appends to aggregates of its own, by 64 clients.
    pub(crate) async fn append(
        &self,
        serving: &Serving,
        workload: &Arc<Workload>,
    ) -> Result<Measured> {
        let channels = grpc::connect(&serving.server.url(), CLIENTS, 0).await?;
        let plan = Plan {
            workload: Arc::clone(workload),
            warm_up: WARM_UP,
            measured: self.measured(),
            contended: false,
            server_pids: vec![serving.server.pid()],
        };
        let measured = load::run(&plan, Unary::writers(&channels, CLIENTS, workload)).await;
        match &measured.first_error {
            Some(error) => Err(error.to_string().into()),
            None => Ok(measured),
        }
    }

    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

impl Serving {
    async fn with(server: Server, folder: TempDir) -> Result<Self> {
        let channels = grpc::connect(&server.url(), 1, 1).await?;
        let channel = channels.into_iter().next().ok_or("no connection")?;
        Ok(Self {
            server,
            channel,
            _folder: folder,
        })
    }
}

/// What the clients of [`Venue::append`] append to.
pub(crate) fn appended() -> Arc<Workload> {
    Arc::new(Workload::fresh(AGGREGATES, PAYLOAD))
}
