//! `angzarr bench`: a closed-loop load generator over gRPC.
//!
//! Every client does one thing at a time: it appends one event, or reads one aggregate, waits
//! for the answer and goes on. So throughput and latency belong together, and a server cannot
//! look fast by queueing. What was acknowledged is checked afterwards.

mod append;
pub mod args;
mod business;
mod command;
pub mod cpu;
mod error;
pub mod grpc;
pub mod load;
mod preload;
mod replay;
pub mod report;
mod tail;
mod target;
pub mod verify;
pub mod workload;

pub use args::Args;
pub use error::Error;
pub use preload::preload;
pub use replay::replay;

/// Runs one benchmark and prints its report.
///
/// # Errors
/// When the server cannot be reached or started, when a call fails, and when the store did
/// something wrong: accepted a stale append, lost or changed an event.
pub async fn run(args: Args) -> Result<(), Error> {
    match args.what {
        args::What::Append(args) => append::run(args).await,
        args::What::Replay(args) => replay::run(args).await,
        args::What::Tail(args) => tail::run(args).await,
        args::What::Command(args) => command::run(args, false).await,
        args::What::Cascade(args) => command::run(args, true).await,
    }
}
