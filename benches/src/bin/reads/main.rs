//! Reading, and work beside appends, each against its limit or its peer: the two in turn, round
//! by round, in one run.

mod backup;
mod goal;
mod load;
mod replay;
mod report;
mod stream;
mod subscribers;
mod venue;
mod whole;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::venue::Venue;

// That of the server, so that what is read in this process costs what it costs there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Hold reading, and work beside appends, against limits and peers.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The release binary of the server.
    #[arg(long)]
    angzarr: PathBuf,
    /// Seconds of each measurement of a rate.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds of rates; each time both sides are measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Rounds of what takes milliseconds.
    #[arg(long, default_value_t = 15)]
    replays: u32,
    /// Events of the aggregate that is replayed.
    #[arg(long, default_value_t = 100_000)]
    history: u32,
    /// Events that are streamed, each of an append of its own.
    #[arg(long, default_value_t = 200_000)]
    events: u32,
    /// Aggregates of 50 events that are read as a whole.
    #[arg(long, default_value_t = 2_000)]
    wholes: u32,
    /// Live subscribers.
    #[arg(long, default_value_t = 1_000)]
    subscribers: u32,
    /// Events in the store that is backed up.
    #[arg(long, default_value_t = 2_000_000)]
    backed_up: u32,
    /// Aggregates out of which one is loaded.
    #[arg(long, default_value_t = 1_000_000)]
    aggregates: u32,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Folder for the stores. It must be on the disk in question.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md` and `.json` added.
    #[arg(long, default_value = "benches/results/reads")]
    out: PathBuf,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Whole aggregates of 50 events, by 16 readers.
    Whole,
    /// One long aggregate.
    Replay,
    /// The whole store in order.
    Stream,
    /// Appends beside live subscribers.
    Subscribers,
    /// Appends beside a backup.
    Backup,
    /// One aggregate out of many, from its snapshot.
    Load,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let machine = angzarr_benches::machine::Machine::observe()?;
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-reads-")
        .tempdir_in(&args.scratch)?;
    // A server of PostgreSQL runs as another user and must be able to enter.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open)?;
    let venue = Venue::new(&args, scratch.path());
    let mut parts = Vec::new();
    for what in What::value_variants() {
        if args.only.is_empty() || args.only.contains(what) {
            let part = match what {
                What::Whole => whole::run(&venue, &args).await,
                What::Replay => replay::run(&venue, &args).await,
                What::Stream => stream::run(&venue, &args).await,
                What::Subscribers => subscribers::run(&venue, &args).await,
                What::Backup => backup::run(&venue, &args).await,
                What::Load => load::run(&venue, &args).await,
            }?;
            report::print(&part)?;
            parts.push(part);
        }
    }
    report::Report { machine, parts }.write(&args)
}
