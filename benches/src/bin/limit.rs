//! Serves the bare limit, for `angzarr bench append --target` and the comparisons of peers and
//! of reads.

use std::net::SocketAddr;
use std::path::PathBuf;

use angzarr_benches::limit;
use angzarr_proto::store::v1 as pb;
use angzarr_server::bench::grpc;
use clap::Parser;
use futures::TryStreamExt;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Serve appends with nothing behind them but one group-committed file, or nothing at all.
#[derive(Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:1311")]
    listen: SocketAddr,
    /// Folder for the file. Without it nothing is stored and every append is accepted.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A server whose events are read first and then sent from memory to who asks for all.
    #[arg(long, value_name = "URL", conflicts_with = "folder")]
    mirror: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Nobody is listened to before there is something to send.
    let mirrored = match &args.mirror {
        Some(url) => Some(read_all(url).await?),
        None => None,
    };
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    match mirrored {
        Some(messages) => limit::mirror(listener, messages).await,
        None => limit::serve(listener, args.folder.as_deref()).await,
    }
}

async fn read_all(url: &str) -> Result<Vec<pb::ReadAllResponse>> {
    let channels = grpc::connect(url, 1, 1).await?;
    let channel = channels.first().ok_or("no connection")?;
    let request = pb::ReadAllRequest::default();
    let messages = grpc::store(channel).read_all(request).await?.into_inner();
    Ok(messages.try_collect().await?)
}
