//! Serves the bare limit, for `angzarr bench append --target` and the comparison of peers.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Serve appends with nothing behind them but one group-committed file, or nothing at all.
#[derive(Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:1311")]
    listen: SocketAddr,
    /// Folder for the file. Without it nothing is stored and every append is accepted.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    angzarr_benches::limit::serve(listener, args.folder.as_deref()).await
}
