//! The server beside its limits and every peer: the same closed loop for all, interleaved rounds
//! in one run, a fresh store each time. `make bench-compare` runs it.

mod contender;
mod disk;
mod peers;
mod process;
mod report;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::contender::Field;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Compare the server with its limits and with peers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Command {
    #[command(subcommand)]
    limit: Option<Limit>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Subcommand)]
enum Limit {
    /// Serve the bare limit, or nothing at all without a folder. Started by the comparison.
    #[command(hide = true)]
    ServeLimit {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release binary of the server.
    #[arg(long, required = true, default_value = "angzarr")]
    angzarr: PathBuf,
    /// Folder that `scripts/peers` installed the peers into.
    #[arg(long, required = true, default_value = "peers")]
    peers: PathBuf,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<u32>,
    /// Interleaved rounds; medians count.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds that count in each measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds before them.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Aggregates the events are spread over.
    #[arg(long, default_value_t = 10_000)]
    aggregates: u32,
    /// Bytes of each event's payload.
    #[arg(long, default_value_t = 256)]
    payload: u32,
    /// Only these contenders, by the names in the first column.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Numbers of readers of whole aggregates.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    readers: Vec<u32>,
    /// Aggregates they read; 0 leaves the reads out.
    #[arg(long, default_value_t = 500)]
    read_aggregates: u32,
    /// Events of each of them.
    #[arg(long, default_value_t = 50)]
    read_events: u32,
    /// Seconds of one client's appends whose syncs are traced with strace; 0 leaves that out.
    #[arg(long, default_value_t = 1)]
    trace_seconds: u64,
    /// Folder for the stores. It must be on the disk in question.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md`, `.json` and `.svg` added.
    #[arg(long, default_value = "benches/results/compare")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let command = Command::parse();
    if let Some(Limit::ServeLimit { listen, folder }) = command.limit {
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            angzarr_benches::limit::serve(listener, folder.as_deref()).await
        });
    }

    let args = command.args;
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-compare-")
        .tempdir_in(&args.scratch)?;
    // The server of PostgreSQL runs as another user and must be able to enter.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open)?;
    let field = Field::new(
        std::path::absolute(&args.angzarr)?,
        std::path::absolute(&args.peers)?,
        scratch.path().to_owned(),
    );
    let machine = angzarr_benches::machine::Machine::observe()?;
    let results = run::run(&args, &field)?;
    report::write(&args, machine, results)
}
