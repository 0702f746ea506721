//! The whole store in order, against a server that streams the same messages from memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_benches::fill::Fill;
use angzarr_proto::store::v1::admin_client::AdminClient;
use angzarr_proto::store::v1::{self as pb, read_all_response::Item};
use angzarr_server::bench::grpc;
use angzarr_server::bench::workload::Workload;
use tonic::transport::Channel;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Serving, Venue};
use crate::{Args, Result};

/// Aggregates the events are spread over.
const AGGREGATES: u32 = 10_000;

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    // Rewritten when it is asked for, as fast as it goes.
    let serving = venue.angzarr_with(&["storage.seal_rate=1GiB"]).await?;
    rewrite(&serving, false).await?;
    let each = args.events.div_ceil(AGGREGATES).max(1);
    let aggregates = args.events.min(AGGREGATES);
    let workload = Arc::new(Workload::fresh(aggregates, PAYLOAD));
    for first in 0..each {
        let fill = Fill {
            first,
            events: 1,
            together: 1,
            clients: 64,
        };
        fill.run(&serving.channel, &workload).await?;
    }
    let events = u64::from(each) * u64::from(aggregates);
    let mirror = venue.mirror(&serving.server).await?;

    let against = "a server that sends the same messages from memory";
    let goal = Some(Goal::AtLeast(0.7));
    let mut ratios = Vec::new();
    for state in ["as written", "rewritten"] {
        if state == "rewritten" {
            rewrite(&serving, true).await?;
        }
        let ratio = |what| {
            Ratio::new(
                &format!("{what}, {state}"),
                against,
                "events a second",
                goal,
            )
        };
        let mut all = ratio("ReadAll");
        let mut catch_up = ratio("Subscribe from the first event");
        for _ in 0..args.replays {
            let limit = events as f64 / timed(&mirror.channel, events, false).await?;
            let read = events as f64 / timed(&serving.channel, events, false).await?;
            let subscribed = events as f64 / timed(&serving.channel, events, true).await?;
            all.add(read, limit);
            catch_up.add(subscribed, limit);
        }
        ratios.extend([all, catch_up]);
    }
    Ok(Part {
        title: "The whole store in order".to_owned(),
        notes: vec![format!(
            "{events} events over {aggregates} aggregates, each of an append of its own and so a \
             message of its own; one reader, through gRPC."
        )],
        ratios,
    })
}

/// Holds up the rewriting of full segments, or lets it go on and waits for its end.
async fn rewrite(serving: &Serving, wanted: bool) -> Result<()> {
    let mut client = AdminClient::new(serving.channel.clone());
    let change = pb::SealingRequest {
        paused: Some(!wanted),
    };
    client.sealing(change).await?;
    if wanted {
        client
            .seal_segment(pb::SealSegmentRequest::default())
            .await?;
    }
    while wanted {
        let request = pb::SealingRequest::default();
        let sealing = client.sealing(request).await?.into_inner();
        if !sealing.failure.is_empty() {
            return Err(sealing.failure.into());
        }
        if sealing.waiting_segments == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Seconds until all of the events were received.
async fn timed(channel: &Channel, events: u64, subscribe: bool) -> Result<f64> {
    let mut client = grpc::store(channel);
    let request = pb::ReadAllRequest::default();
    let started = Instant::now();
    let answer = if subscribe {
        client.subscribe(request).await?
    } else {
        client.read_all(request).await?
    };
    let mut messages = answer.into_inner();
    let mut received = 0;
    while received < events {
        let Some(message) = messages.message().await? else {
            return Err(format!("a stream ended after {received} of {events} events").into());
        };
        if let Some(Item::Book(book)) = message.item {
            received += book.pages.len() as u64;
        }
    }
    Ok(started.elapsed().as_secs_f64())
}
