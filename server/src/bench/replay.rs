use std::time::Instant;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, Uuid};
use hdrhistogram::Histogram;
use tonic::transport::Channel;

use super::args::ReplayArgs;
use super::load::{histogram, record};
use super::report::{self, Latency};
use super::target::Target;
use super::workload::{Heads, Workload};
use super::{Error, grpc, preload, verify};

pub(crate) async fn run(args: ReplayArgs) -> Result<(), Error> {
    let target = Target::open(&args.common).await?;
    let report = measure(&args, &target).await?;
    target.close().await?;
    report::print(&report, args.common.json, report::Replay::lines)?;
    Ok(())
}

/// Reads an aggregate once from its first event to its last. Returns the number of events and
/// of their encoded bytes.
///
/// # Errors
/// When the call fails.
pub async fn replay(channel: &Channel, cover: &Cover) -> Result<(u64, u64), Error> {
    let request = pb::ReadRequest {
        cover: Some(cover.clone()),
        ..Default::default()
    };
    let failed = |status| Error::call("EventStore.Read", &status);
    let mut chunks = grpc::store(channel)
        .read(request)
        .await
        .map_err(failed)?
        .into_inner();
    let (mut events, mut bytes) = (0, 0);
    while let Some(chunk) = chunks.message().await.map_err(failed)? {
        events += chunk.pages.len() as u64;
        bytes += chunk
            .pages
            .iter()
            .map(|page| page.len() as u64)
            .sum::<u64>();
    }
    Ok((events, bytes))
}

async fn measure(args: &ReplayArgs, target: &Target) -> Result<report::Replay, Error> {
    let channels = grpc::connect(&target.url, args.clients, args.common.connections).await?;
    let channel = target.first(&channels)?;
    let server = target.describe(channel).await?;
    let cover = match &args.aggregate {
        Some(name) => existing(name)?,
        None => written(channel, args).await?,
    };
    let (events, bytes) = replay(channel, &cover).await?;
    if events == 0 {
        return Err(Error::Usage(
            "the aggregate has no events: check --aggregate".to_owned(),
        ));
    }

    let started = Instant::now() + args.common.warming_up();
    let window = (started, started + args.common.measured());
    let clients: Vec<_> = channels
        .iter()
        .cycle()
        .take(args.clients as usize)
        .map(|channel| tokio::spawn(repeat(channel.clone(), cover.clone(), events, window)))
        .collect();
    let mut latency = histogram();
    for client in clients {
        let one = client
            .await
            .map_err(|error| Error::Wrong(format!("a client died: {error}")))?;
        latency += one?;
    }
    if latency.is_empty() {
        return Err(Error::Usage(
            "no replay finished in time: give more --seconds".to_owned(),
        ));
    }
    let per_second = latency.len() as f64 / args.common.seconds;
    Ok(report::Replay {
        server,
        clients: args.clients,
        events,
        bytes,
        seconds: args.common.seconds,
        replays: latency.len(),
        events_per_second: per_second * events as f64,
        megabytes_per_second: per_second * bytes as f64 / 1e6,
        latency: Latency::from(&latency),
    })
}

/// Replays until the window ends; what ends within it counts.
async fn repeat(
    channel: Channel,
    cover: Cover,
    events: u64,
    (from, until): (Instant, Instant),
) -> Result<Histogram<u64>, Error> {
    let mut latency = histogram();
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok(latency);
        }
        let (seen, _) = replay(&channel, &cover).await?;
        if seen != events {
            return Err(Error::Wrong(format!(
                "a replay gave {seen} events instead of {events}"
            )));
        }
        let finished = Instant::now();
        if finished >= from && finished < until {
            record(&mut latency, finished - started);
        }
    }
}

fn existing(name: &str) -> Result<Cover, Error> {
    let malformed = || {
        Error::Usage(format!(
            "--aggregate {name} is not a domain, a slash and 32 hexadecimal digits"
        ))
    };
    let (domain, root) = name.split_once('/').ok_or_else(malformed)?;
    let root = uuid::Uuid::try_parse(root).map_err(|_| malformed())?;
    Ok(Cover {
        domain: domain.to_owned(),
        root: Some(Uuid {
            value: root.as_bytes().to_vec(),
        }),
        ..Cover::default()
    })
}

/// Writes the aggregate and checks it once, byte by byte.
async fn written(channel: &Channel, args: &ReplayArgs) -> Result<Cover, Error> {
    let workload = Workload::fresh(1, args.common.payload);
    preload(channel, &workload, args.events).await?;
    let heads = Heads::full(1, args.events);
    verify::read_back(channel, &workload, &heads, 1).await?;
    Ok(grpc::cover(&workload, 0))
}
