//! How cost grows: append rate against the number of aggregates, payload, pages, clients and
//! subscribers; appends and loads against the history and the number of branches.
//!
//! Each point is measured on a fresh store of a server process of its own, over loopback.

mod appends;
mod axis;
mod curve;
mod editions;
mod field;
mod history;
mod latency;
mod plot;
mod report;
mod subscribers;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::curve::Curve;
use crate::field::Field;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Measure how cost grows.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The release binary of the server.
    #[arg(long)]
    angzarr: PathBuf,
    /// Seconds that count at each point; fewer for a quick look.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before them.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Times each curve is measured; medians count.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Up to ten million aggregates instead of one.
    #[arg(long)]
    full: bool,
    /// Most branches of history.
    #[arg(long, default_value_t = 100_000)]
    branches: u32,
    /// Most subscribers.
    #[arg(long, default_value_t = 1_000)]
    subscribers: u32,
    /// Only these curves.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Folder for the stores. It must be on the disk in question.
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
    /// Where to write the report: this name with `.md`, `.json` and `.svg` added.
    #[arg(long, default_value = "benches/results/curves")]
    out: PathBuf,
}

/// What cost is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Aggregates,
    Payload,
    Pages,
    Clients,
    History,
    Editions,
    Subscribers,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let machine = angzarr_benches::machine::Machine::observe()?;
    let scratch = tempfile::Builder::new()
        .prefix("angzarr-curves-")
        .tempdir_in(&args.scratch)?;
    let field = Field::new(&args, scratch.path());
    let mut curves = Vec::new();
    for what in What::value_variants() {
        if args.only.is_empty() || args.only.contains(what) {
            let measured = measure(*what, &field, &args).await?;
            report::print(&measured)?;
            curves.extend(measured);
        }
    }
    report::Report { machine, curves }.write(&args)
}

async fn measure(what: What, field: &Field, args: &Args) -> Result<Vec<Curve>> {
    match what {
        What::Aggregates => appends::aggregates(field, args).await,
        What::Payload => appends::payload(field, args).await,
        What::Pages => appends::pages(field, args).await,
        What::Clients => appends::clients(field, args).await,
        What::History => history::run(field, args).await,
        What::Editions => editions::run(field, args).await,
        What::Subscribers => subscribers::run(field, args).await,
    }
}
