//! A million aggregates in a server process: resident memory, SIGKILL, and the time to open.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use angzarr_benches::child::{Memory, Server};
use angzarr_benches::fill::Fill;
use angzarr_server::bench::workload::{Heads, Workload};
use angzarr_server::bench::{grpc, verify};
use clap::Parser;
use serde::Serialize;
use tonic::transport::Channel;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Fill a server with aggregates, kill it, and open it again.
#[derive(Debug, Parser)]
struct Args {
    /// The release binary of the server.
    #[arg(long)]
    angzarr: PathBuf,
    /// Aggregates.
    #[arg(long, default_value_t = 1_000_000)]
    aggregates: u32,
    /// Events of each.
    #[arg(long, default_value_t = 10)]
    events: u32,
    /// Bytes of each event's payload.
    #[arg(long, default_value_t = 100)]
    payload: u32,
    /// Folder for the store.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md` and `.json` added.
    #[arg(long, default_value = "benches/results/memory")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    aggregates: u32,
    events: u64,
    payload_bytes: u32,
    index: String,
    durability: String,
    log_bytes: u64,
    fill_seconds: f64,
    filled: Memory,
    unindexed_bytes_before_kill: u64,
    open_seconds: f64,
    opened: Memory,
    reread_aggregates: u32,
    reread: Memory,
}

/// Aggregates written by one append.
const AGGREGATES_PER_APPEND: u32 = 10;

/// Appends under way at once while filling.
const FILLERS: u32 = 16;

/// Aggregates read back after the crash.
const SAMPLE: u32 = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-memory-")
        .tempdir_in(&args.scratch)?;
    let report = measure(&args, scratch.path()).await?;
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(args.out.with_extension("json"), json + "\n")?;
    let markdown = report.markdown();
    std::fs::write(args.out.with_extension("md"), &markdown)?;
    eprintln!("{markdown}");
    Ok(())
}

async fn measure(args: &Args, scratch: &Path) -> Result<Report> {
    let workload = Arc::new(Workload::fresh(args.aggregates, args.payload));
    let server = start(args, scratch)?;
    let channel = connect(&server).await?;
    let started = Instant::now();
    let fill = Fill {
        first: 0,
        events: args.events,
        together: AGGREGATES_PER_APPEND,
        clients: FILLERS,
    };
    fill.run(&channel, &workload).await?;
    let fill_seconds = started.elapsed().as_secs_f64();
    let stats = grpc::stats(&channel).await?;
    let filled = server.memory()?;
    server.kill()?;

    let server = start(args, scratch)?;
    let open_seconds = server.start_time.as_secs_f64();
    let channel = connect(&server).await?;
    let opened = server.memory()?;
    let position = grpc::stats(&channel).await?.position;
    if position != stats.position {
        return Err(format!(
            "{} events before the kill, {position} after",
            stats.position
        )
        .into());
    }
    let heads = Heads::full(args.aggregates, args.events);
    let (reread_aggregates, _) = verify::read_back(&channel, &workload, &heads, SAMPLE).await?;
    Ok(Report {
        aggregates: args.aggregates,
        events: stats.events,
        payload_bytes: args.payload,
        index: stats.index,
        durability: stats.durability,
        log_bytes: stats.log_bytes,
        fill_seconds,
        filled,
        unindexed_bytes_before_kill: stats.unindexed_bytes,
        open_seconds,
        opened,
        reread_aggregates,
        reread: server.memory()?,
    })
}

fn start(args: &Args, scratch: &Path) -> Result<Server> {
    Ok(Server::angzarr(&args.angzarr, scratch, &[])?)
}

async fn connect(server: &Server) -> Result<Channel> {
    let channels = grpc::connect(&server.url(), 1, 1).await?;
    Ok(channels.into_iter().next().ok_or("no connection")?)
}

impl Report {
    fn markdown(&self) -> String {
        let mib = |bytes: u64| bytes / (1 << 20);
        let row = |when: &str, memory: &Memory| {
            format!(
                "| {when} | {} | {} |\n",
                mib(memory.resident),
                mib(memory.anonymous)
            )
        };
        let mut text = format!(
            "# Memory and opening\n\n{} aggregates, {} events of {} bytes, {} MiB of log, index \
             {}, durability {}; filled in {:.0} s.\n\n| | resident MiB | of it anonymous |\n\
             |---|---|---|\n",
            self.aggregates,
            self.events,
            self.payload_bytes,
            mib(self.log_bytes),
            self.index,
            self.durability,
            self.fill_seconds,
        );
        text += &row("after filling", &self.filled);
        text += &row("after SIGKILL and opening", &self.opened);
        text += &row(
            &format!("after reading {} aggregates", self.reread_aggregates),
            &self.reread,
        );
        text += &format!("\nPeak while filling: {} MiB.\n", mib(self.filled.peak));
        text += &format!(
            "Open after SIGKILL: {:.2} s until the port answered, with {} MiB of index changes \
             only in memory at the kill.\n",
            self.open_seconds,
            mib(self.unindexed_bytes_before_kill),
        );
        text
    }
}
