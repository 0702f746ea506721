//! Whole aggregates of 50 events, by 16 readers at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use angzarr_benches::fill::Fill;
use angzarr_benches::postgres::{self, Cluster, Reader};
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{grpc, replay};
use tonic::transport::Channel;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Venue};
use crate::{Args, Result};

const EVENTS: u32 = 50;
const READERS: u32 = 16;

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let workload = Arc::new(Workload::fresh(args.wholes, PAYLOAD));
    let mut part = Part {
        title: format!("Whole aggregates of {EVENTS} events, {READERS} readers"),
        notes: vec![format!(
            "{} aggregates, read in random order; their events lie apart, as they were written \
             one by one.",
            args.wholes
        )],
        ratios: Vec::new(),
    };
    let folder = venue.folder()?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open)?;
    let cluster = match Cluster::start(folder.path()) {
        Ok(cluster) => cluster,
        Err(error) => {
            part.notes
                .push(format!("Left out: PostgreSQL does not start: {error}"));
            return Ok(part);
        }
    };
    let mut control = postgres::connect(&cluster.connection()).await?;
    postgres::fill_angzarr(&mut control, &workload, EVENTS).await?;
    let serving = venue.angzarr().await?;
    for first in 0..EVENTS {
        let fill = Fill {
            first,
            events: 1,
            together: 1,
            clients: 64,
        };
        fill.run(&serving.channel, &workload).await?;
    }
    let mut ratio = Ratio::new(
        "`Read` through gRPC",
        "PostgreSQL, Angzarr's table, prepared SELECT",
        "aggregates a second",
        Some(Goal::AtLeast(1.2)),
    );
    for _ in 0..args.rounds {
        let ours = read(venue, readers(&serving.channel, &workload), args.wholes).await?;
        let mut peers = Vec::new();
        for _ in 0..READERS {
            peers.push(Reader::open(&cluster.connection(), &workload).await?);
        }
        ratio.add(ours, read(venue, peers, args.wholes).await?);
    }
    part.ratios.push(ratio);
    Ok(part)
}

/// A way to read one aggregate.
trait Whole: Send + 'static {
    /// Returns its number of events.
    fn read(&mut self, aggregate: u32) -> impl Future<Output = Result<u64>> + Send;
}

struct Remote {
    channel: Channel,
    workload: Arc<Workload>,
}

fn readers(channel: &Channel, workload: &Arc<Workload>) -> Vec<Remote> {
    let reader = |_| Remote {
        channel: channel.clone(),
        workload: Arc::clone(workload),
    };
    (0..READERS).map(reader).collect()
}

impl Whole for Remote {
    async fn read(&mut self, aggregate: u32) -> Result<u64> {
        let cover = grpc::cover(&self.workload, aggregate);
        Ok(replay(&self.channel, &cover).await?.0)
    }
}

impl Whole for Reader {
    async fn read(&mut self, aggregate: u32) -> Result<u64> {
        Ok(self.events(aggregate).await?.0)
    }
}

/// Aggregates read a second, each reader one after the other.
async fn read<W: Whole>(venue: &Venue, readers: Vec<W>, aggregates: u32) -> Result<f64> {
    let from = Instant::now();
    let until = from + venue.measured();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, mut reader) in readers.into_iter().enumerate() {
        let mut place = number as u64;
        tasks.spawn(async move {
            let mut count = 0u64;
            while Instant::now() < until {
                place = place
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let aggregate = u32::try_from((place >> 33) % u64::from(aggregates))?;
                let events = reader.read(aggregate).await?;
                if events != u64::from(EVENTS) {
                    return Err(format!("an aggregate has {events} events").into());
                }
                count += 1;
            }
            Ok::<_, crate::Error>(count)
        });
    }
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done??;
    }
    Ok(total as f64 / from.elapsed().as_secs_f64())
}
