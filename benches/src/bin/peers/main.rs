//! The server, the bare limit and PostgreSQL side by side: interleaved rounds in one run, each
//! on a fresh store, driven by the same closed loop.

mod append;
mod contender;
mod replay;
mod report;

use std::path::PathBuf;

use clap::Parser;

use crate::contender::Contender;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Compare the server with its limit and with PostgreSQL.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The release binary of the server.
    #[arg(long)]
    angzarr: PathBuf,
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
    /// Only these contenders.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contender>,
    /// Events of the aggregate that is replayed; 0 leaves the replay out.
    #[arg(long, default_value_t = 100_000)]
    replay_events: u32,
    /// Times it is replayed.
    #[arg(long, default_value_t = 15)]
    replay_rounds: u32,
    /// Folder for the stores. It must be on the disk in question.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md` and `.json` added.
    #[arg(long, default_value = "benches/results/peers")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-peers-")
        .tempdir_in(&args.scratch)?;
    // The server of PostgreSQL runs as another user and must be able to enter.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open)?;

    let before = angzarr_benches::machine::Machine::observe()?;
    let appends = append::run(&args, scratch.path()).await?;
    let replays = match args.replay_events {
        0 => None,
        _ => Some(replay::run(&args, scratch.path()).await?),
    };
    let report = report::Report {
        machine: before,
        appends,
        replays,
    };
    report.write(&args)
}
