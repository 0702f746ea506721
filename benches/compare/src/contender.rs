//! What is compared: a store that can be started fresh, and clients of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use angzarr_benches::postgres::Cluster;
use angzarr_server::bench::load::{AppendError, Writer};
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use serde::Serialize;

use crate::Result;

/// What kind of opponent it is; says which tables it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// This project's.
    Angzarr,
    /// Does no more than the same task needs.
    Limit,
    /// Somebody else's server.
    Peer,
    /// Somebody else's library, in this process.
    Library,
}

/// One way of storing events durably.
#[async_trait]
pub(crate) trait Contender: Send + Sync {
    /// For `--only`, ratios and the JSON.
    fn id(&self) -> &'static str;

    /// For tables.
    fn name(&self) -> &'static str;

    /// What kind of opponent it is.
    fn kind(&self) -> Kind;

    /// When an append counts as stored, and whatever differs from the defaults.
    fn settings(&self) -> &'static str;

    /// The version that will run.
    ///
    /// # Errors
    /// When it cannot run here; the text becomes the reason in the table.
    fn version(&self, field: &Field) -> Result<String>;

    /// Starts a fresh store in an empty folder.
    async fn start(&self, field: &Field, folder: &Path) -> Result<Box<dyn Store>>;

    /// Clients that append block their thread: each needs one.
    fn blocks(&self) -> bool {
        false
    }

    /// Appends to it mean something: it stands in the tables of appends. Only a limit of reads
    /// does not.
    fn stores(&self) -> bool {
        true
    }

    /// Its aggregates can be read: it stands in the table of reads.
    fn serves_reads(&self) -> bool {
        false
    }

    /// It checks expected versions and holds what it accepted. Only limits do not.
    fn checks(&self) -> Checks {
        Checks::All
    }
}

/// What can be expected of a contender after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Stale appends are refused and everything reads back.
    All,
    /// Stale appends are refused.
    Stale,
    /// Nothing.
    None,
}

/// A store that was started; it ends when dropped.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Processes whose processor time is the server's; none in this process. Called when the
    /// clients are connected.
    fn pids(&self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    /// One client for each concurrent append.
    async fn connect(&self, clients: u32, workload: &Arc<Workload>)
    -> Result<Vec<Box<dyn Client>>>;

    /// Bytes it takes on disk now; none when that means nothing.
    async fn bytes(&self) -> Result<Option<u64>>;
}

/// One client, which does one thing at a time.
#[async_trait]
pub(crate) trait Client: Send {
    /// Appends the workload's event at `sequence`, which must be the aggregate's next, and
    /// returns when it is durable.
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError>;

    /// The payloads of an aggregate, in order.
    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>>;
}

/// A client as the load generator drives it.
pub(crate) struct Driven(pub(crate) Box<dyn Client>);

impl Writer for Driven {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        self.0.append(aggregate, sequence).await
    }
}

/// Where contenders run, and what stays up between them.
pub(crate) struct Field {
    /// The release binary of the server.
    pub(crate) angzarr: PathBuf,
    /// What `scripts/peers` installed.
    pub(crate) peers: PathBuf,
    /// Folder of this run.
    pub(crate) scratch: PathBuf,
    cluster: Mutex<Option<Arc<Cluster>>>,
}

impl Field {
    pub(crate) fn new(angzarr: PathBuf, peers: PathBuf, scratch: PathBuf) -> Self {
        Self {
            angzarr,
            peers,
            scratch,
            cluster: Mutex::default(),
        }
    }

    /// PostgreSQL, started when first asked for. Several contenders use it, one after the other.
    pub(crate) fn cluster(&self) -> Result<Arc<Cluster>> {
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = cluster.as_ref() {
            return Ok(Arc::clone(cluster));
        }
        let started = Arc::new(Cluster::start(&self.scratch)?);
        *cluster = Some(Arc::clone(&started));
        Ok(started)
    }

    /// A program that `scripts/peers` installed, or why there is none.
    pub(crate) fn program(&self, peer: &str, path: &str) -> Result<PathBuf> {
        let program = self.peers.join(peer).join(path);
        if program.exists() {
            return Ok(program);
        }
        let reason = std::fs::read_to_string(self.peers.join(format!("{peer}.skipped")));
        let reason = reason.unwrap_or_else(|_| "not installed: scripts/peers".to_owned());
        Err(reason.trim().into())
    }
}
