//! Appends and loads against the history of an aggregate.

use angzarr_proto::store::v1 as pb;
use angzarr_proto::store::v1::snapshots_client::SnapshotsClient;
use angzarr_proto::v1::{Cover, Snapshot};
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{grpc, preload, replay};
use tonic::transport::Channel;

use crate::curve::Curve;
use crate::field::Field;
use crate::{Args, Result, latency};

/// Events behind the snapshot of an aggregate.
const BEHIND: u32 = 5;
/// Events of each store, so that short histories are those of many aggregates.
const EVENTS: u32 = 100_000;
const AGGREGATES_MAX: u32 = 2_000;

pub(crate) async fn run(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let mut curve = Curve::new(
        "One client against history",
        ("events of the aggregate", "microseconds of a call, median"),
        true,
        &["append", "load, snapshot + 5", "load, all"],
    );
    for _ in 0..args.rounds {
        for events in [10, 100, 1_000, 10_000, 100_000] {
            let costs = measure(field, args, events).await?;
            curve.add(events, &costs);
        }
    }
    Ok(vec![curve])
}

async fn measure(field: &Field, args: &Args, events: u32) -> Result<[f64; 3]> {
    let fresh = field.start(1).await?;
    let channel = fresh.channel()?;
    let workload = Workload::fresh((EVENTS / events).clamp(1, AGGREGATES_MAX), 256);
    preload(channel, &workload, events).await?;
    snapshots(channel, &workload, events - BEHIND - 1).await?;

    // The same number of calls at each point, but for the one that grows.
    let calls = (args.seconds * 400.0).max(50.0);
    let share = (1e6 / f64::from(events) / calls).min(1.0);
    let (calls, whole) = (count(calls), count(calls * share).max(5));
    let covers: Vec<_> = (0..workload.aggregates)
        .map(|aggregate| grpc::cover(&workload, aggregate))
        .collect();
    let cover = |number: u32| covers.get(number as usize % covers.len()).ok_or("none");
    let load = latency::of(calls, async |number| {
        load(channel, cover(number)?, events).await
    });
    let load = load.await?;
    let all = latency::of(whole, async |number| {
        let (seen, _) = replay(channel, cover(number)?).await?;
        expect(seen, events)
    });
    let all = all.await?;
    // Each aggregate in turn, so that its history grows as little as can be.
    let append = latency::of(calls.min(workload.aggregates * events), async |number| {
        let first = events + number / workload.aggregates;
        let request = grpc::request(&workload, number % workload.aggregates, first, first + 1);
        grpc::store(channel).append(request).await?;
        Ok(())
    });
    Ok([append.await?, load, all])
}

/// Writes a snapshot of each aggregate at a sequence.
async fn snapshots(channel: &Channel, workload: &Workload, sequence: u32) -> Result<()> {
    let mut client = SnapshotsClient::new(channel.clone());
    for aggregate in 0..workload.aggregates {
        let state = prost_types::Any {
            type_url: "type.googleapis.com/angzarr.bench.State".to_owned(),
            value: workload.payload(aggregate, sequence),
        };
        let snapshot = Snapshot {
            sequence,
            state: Some(state),
            ..Snapshot::default()
        };
        let request = pb::PutSnapshotRequest {
            cover: Some(grpc::cover(workload, aggregate)),
            snapshot: Some(snapshot),
        };
        client.put(request).await?;
    }
    Ok(())
}

/// Reads an aggregate from its snapshot on.
async fn load(channel: &Channel, cover: &Cover, events: u32) -> Result<()> {
    let request = pb::ReadRequest {
        cover: Some(cover.clone()),
        with_snapshot: true,
        ..Default::default()
    };
    let mut chunks = grpc::store(channel).read(request).await?.into_inner();
    let (mut seen, mut snapshot) = (0, None);
    while let Some(chunk) = chunks.message().await? {
        seen += chunk.pages.len() as u64;
        snapshot = snapshot.or(chunk.snapshot);
    }
    if snapshot.is_none_or(|snapshot| snapshot.sequence != events - BEHIND - 1) {
        return Err("an aggregate was read without its snapshot".into());
    }
    expect(seen, BEHIND)
}

fn expect(seen: u64, events: u32) -> Result<()> {
    if seen == u64::from(events) {
        return Ok(());
    }
    Err(format!("a load gave {seen} of {events} events").into())
}

fn count(calls: f64) -> u32 {
    // A number of calls: small and not negative.
    format!("{calls:.0}").parse().unwrap_or(1)
}
