//! Forks, appends and reads against the number of branches in the store.

use std::sync::Arc;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::store::v1::editions_client::EditionsClient;
use angzarr_proto::v1::{Cover, DomainDivergence, Edition};
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{grpc, replay};
use tonic::transport::Channel;

use crate::curve::Curve;
use crate::field::{Field, Load};
use crate::{Args, Result, latency};

/// Events of each aggregate on main, and how many of them a branch inherits.
const HELD: u32 = 50;
const INHERITED: u32 = 25;
const AGGREGATES: u32 = 1_000;
/// Forks under way at once while the store is filled.
const FORKERS: u32 = 64;

pub(crate) async fn run(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let mut curve = Curve::new(
        "One client against branches of 25 inherited events",
        ("branches in the store", "microseconds of a call, median"),
        true,
        &["fork", "append", "read", "delete", "append on main"],
    );
    for _ in 0..args.rounds {
        for branches in [10, 100, 1_000, 10_000, 100_000] {
            if branches <= args.branches {
                let costs = measure(field, args, branches).await?;
                curve.add(branches, &costs);
            }
        }
    }
    Ok(vec![curve])
}

async fn measure(field: &Field, args: &Args, branches: u32) -> Result<[f64; 5]> {
    let fresh = field.start(1).await?;
    let channel = fresh.channel()?;
    let workload = fresh
        .fill(Load {
            aggregates: AGGREGATES,
            held: HELD,
            ..Load::default()
        })
        .await?;
    fill(channel, &workload, branches).await?;

    // Each call takes another aggregate, and a branch far from the last one.
    let calls = if args.seconds < 1.0 { 100 } else { 500 };
    let place = |number: u32| (number.wrapping_mul(7_919) % branches, number % AGGREGATES);
    let forked = latency::of(calls, async |number| {
        fork(channel, &workload, branches + number).await
    });
    let forked = forked.await?;
    let appended = latency::of(calls, async |number| {
        let (branch, aggregate) = place(number);
        let mut request = grpc::request(&workload, aggregate, INHERITED, INHERITED + 1);
        for write in &mut request.writes {
            write.cover = Some(cover(&workload, aggregate, branch));
        }
        grpc::store(channel).append(request).await?;
        Ok(())
    });
    let appended = appended.await?;
    let read = latency::of(calls, async |number| {
        let (branch, aggregate) = place(number);
        let (events, _) = replay(channel, &cover(&workload, aggregate, branch)).await?;
        if events == u64::from(INHERITED) + 1 {
            return Ok(());
        }
        Err(format!("a branch has {events} events").into())
    });
    let read = read.await?;
    // Those that were forked last.
    let deleted = latency::of(calls / 5, async |number| {
        delete(channel, branches + number).await
    });
    let deleted = deleted.await?;
    let main = latency::of(calls, async |number| {
        let request = grpc::request(&workload, number % AGGREGATES, HELD, HELD + 1);
        grpc::store(channel).append(request).await?;
        Ok(())
    });
    Ok([forked, appended, read, deleted, main.await?])
}

/// Makes the branches.
async fn fill(channel: &Channel, workload: &Arc<Workload>, branches: u32) -> Result<()> {
    let mut forkers = tokio::task::JoinSet::new();
    for forker in 0..FORKERS {
        let (channel, workload) = (channel.clone(), Arc::clone(workload));
        forkers.spawn(async move {
            for branch in (forker..branches).step_by(FORKERS as usize) {
                fork(&channel, &workload, branch).await?;
            }
            Ok::<_, crate::Error>(())
        });
    }
    while let Some(done) = forkers.join_next().await {
        done??;
    }
    Ok(())
}

fn name(branch: u32) -> String {
    format!("branch-{branch:06}")
}

async fn fork(channel: &Channel, workload: &Workload, branch: u32) -> Result<()> {
    let divergence = DomainDivergence {
        domain: workload.domain.clone(),
        sequence: INHERITED,
    };
    let edition = Edition {
        name: name(branch),
        divergences: vec![divergence],
    };
    let request = pb::ForkRequest {
        edition: Some(edition),
    };
    EditionsClient::new(channel.clone()).fork(request).await?;
    Ok(())
}

async fn delete(channel: &Channel, branch: u32) -> Result<()> {
    let request = pb::DeleteEditionRequest {
        edition: name(branch),
        ..Default::default()
    };
    EditionsClient::new(channel.clone()).delete(request).await?;
    Ok(())
}

fn cover(workload: &Workload, aggregate: u32, branch: u32) -> Cover {
    Cover {
        edition: Some(Edition {
            name: name(branch),
            ..Edition::default()
        }),
        ..grpc::cover(workload, aggregate)
    }
}
