use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use angzarr_benches::batch::Batch;
use angzarr_benches::child::Server;
use angzarr_benches::fill::Fill;
use angzarr_server::bench::grpc;
use angzarr_server::bench::load::{self, Measured, Plan};
use angzarr_server::bench::workload::Workload;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{Args, Result};

/// Where servers run, and for how long.
pub(crate) struct Field {
    angzarr: PathBuf,
    scratch: PathBuf,
    seconds: f64,
    warm_up: f64,
}

/// A server on a fresh store; both are gone when it is dropped.
pub(crate) struct Fresh {
    pub(crate) server: Server,
    pub(crate) channels: Vec<Channel>,
    _folder: TempDir,
}

/// A closed loop of appends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) aggregates: u32,
    /// Events each aggregate has before.
    pub(crate) held: u32,
    pub(crate) payload: u32,
    /// Events of each append.
    pub(crate) pages: u32,
    pub(crate) clients: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            aggregates: 10_000,
            held: 1,
            payload: 256,
            pages: 1,
            clients: 64,
        }
    }
}

impl Field {
    pub(crate) fn new(args: &Args, scratch: &Path) -> Self {
        Self {
            angzarr: args.angzarr.clone(),
            scratch: scratch.to_owned(),
            seconds: args.seconds,
            warm_up: args.warm_up,
        }
    }

    /// Starts a server for so many clients.
    pub(crate) async fn start(&self, clients: u32) -> Result<Fresh> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let server = Server::angzarr(&self.angzarr, folder.path(), &[])?;
        let channels = grpc::connect(&server.url(), clients, 0).await?;
        Ok(Fresh {
            server,
            channels,
            _folder: folder,
        })
    }

    /// Runs a load on a server of its own.
    pub(crate) async fn rate(&self, load: Load) -> Result<Measured> {
        let fresh = self.start(load.clients).await?;
        let workload = fresh.fill(load).await?;
        self.rate_on(&fresh, load, workload).await
    }

    /// Runs a load on a server that was filled for it.
    pub(crate) async fn rate_on(
        &self,
        fresh: &Fresh,
        load: Load,
        workload: Arc<Workload>,
    ) -> Result<Measured> {
        let plan = Plan {
            workload: Arc::clone(&workload),
            warm_up: Duration::from_secs_f64(self.warm_up),
            measured: Duration::from_secs_f64(self.seconds),
            contended: false,
            server_pids: vec![fresh.server.pid()],
        };
        let writers = Batch::writers(
            &fresh.channels,
            load.clients,
            &workload,
            load.held,
            load.pages,
        );
        let measured = load::run(&plan, writers).await;
        if let Some(error) = &measured.first_error {
            return Err(format!("{load:?}: {error}").into());
        }
        let appends: u64 = (0..load.aggregates)
            .map(|aggregate| u64::from(measured.heads.next(aggregate).unwrap_or(0)))
            .sum();
        let expected =
            appends * u64::from(load.pages) + u64::from(load.aggregates) * u64::from(load.held);
        let events = grpc::stats(fresh.channel()?).await?.events;
        if events != expected {
            return Err(format!("{load:?}: {events} events stored, {expected} sent").into());
        }
        Ok(measured)
    }
}

impl Fresh {
    pub(crate) fn channel(&self) -> Result<&Channel> {
        self.channels.first().ok_or_else(|| "no connection".into())
    }

    /// Writes what each aggregate has before the load begins.
    pub(crate) async fn fill(&self, load: Load) -> Result<Arc<Workload>> {
        let workload = Arc::new(Workload::fresh(load.aggregates, load.payload));
        let fill = Fill {
            first: 0,
            events: load.held,
            together: (100 / load.held.max(1)).max(1),
            clients: 16,
        };
        fill.run(self.channel()?, &workload).await?;
        Ok(workload)
    }
}

/// Microseconds of the server's and of the client's processors for each append.
pub(crate) fn each(measured: &Measured) -> [f64; 2] {
    let appends = measured.appended.max(1) as f64;
    [measured.server_cpu, measured.client_cpu].map(|time| time.as_secs_f64() * 1e6 / appends)
}
