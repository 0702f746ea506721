use std::path::Path;
use std::time::Instant;

use angzarr_benches::postgres::{self, Cluster, Table};
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{grpc, preload, replay};
use serde::Serialize;

use crate::contender::Field;
use crate::{Args, Result};

/// Times of reading one aggregate from its first event to its last, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Replays {
    pub(crate) events: u32,
    pub(crate) angzarr_ms: Vec<f64>,
    pub(crate) postgres_ms: Vec<f64>,
    /// Bytes of the encoded events each returned.
    pub(crate) angzarr_bytes: u64,
    pub(crate) postgres_bytes: u64,
}

/// The same aggregate in both, read in turn.
pub(crate) async fn run(args: &Args, scratch: &Path) -> Result<Replays> {
    let workload = Workload::fresh(1, args.payload);
    let folder = tempfile::tempdir_in(scratch)?;
    let cluster_folder = tempfile::tempdir_in(scratch)?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(cluster_folder.path(), open)?;
    let field = Field {
        angzarr: args.angzarr.canonicalize()?,
        scratch: scratch.to_owned(),
        postgres: Some(Cluster::start(cluster_folder.path())?),
    };

    let server = field.angzarr(folder.path())?;
    let channels = grpc::connect(&server.url(), 1, 1).await?;
    let channel = channels.first().ok_or("no connection")?;
    preload(channel, &workload, args.replay_events).await?;
    let cover = grpc::cover(&workload, 0);

    let mut client = postgres::connect(&field.cluster()?.connection()).await?;
    postgres::create(&client, Table::Plain).await?;
    postgres::fill(&mut client, &workload, args.replay_events).await?;
    let select = postgres::prepare_replay(&client).await?;

    let mut replays = Replays {
        events: args.replay_events,
        angzarr_ms: Vec::new(),
        postgres_ms: Vec::new(),
        angzarr_bytes: 0,
        postgres_bytes: 0,
    };
    let expected = u64::from(args.replay_events);
    for _ in 0..args.replay_rounds {
        let started = Instant::now();
        let (events, bytes) = replay(channel, &cover).await?;
        replays
            .angzarr_ms
            .push(started.elapsed().as_secs_f64() * 1e3);
        replays.angzarr_bytes = bytes;

        let started = Instant::now();
        let (rows, row_bytes) = postgres::replay(&client, &select, &workload).await?;
        replays
            .postgres_ms
            .push(started.elapsed().as_secs_f64() * 1e3);
        replays.postgres_bytes = row_bytes;
        if events != expected || rows != expected {
            return Err(format!("{events} events and {rows} rows instead of {expected}").into());
        }
    }
    Ok(replays)
}
