//! The whole store in order, against a server that streams the same messages from memory.

use std::sync::Arc;
use std::time::Instant;

use angzarr_benches::fill::Fill;
use angzarr_proto::store::v1::{self as pb, read_all_response::Item};
use angzarr_server::bench::grpc;
use angzarr_server::bench::workload::Workload;
use tonic::transport::Channel;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Venue};
use crate::{Args, Result};

/// Aggregates the events are spread over.
const AGGREGATES: u32 = 10_000;

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let serving = venue.angzarr().await?;
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
    let mut all = Ratio::new("ReadAll", against, "events a second", goal);
    let mut catch_up = Ratio::new("Subscribe, catching up", against, "events a second", goal);
    for _ in 0..args.replays {
        let limit = events as f64 / timed(&mirror.channel, events, false).await?;
        let read = events as f64 / timed(&serving.channel, events, false).await?;
        let subscribed = events as f64 / timed(&serving.channel, events, true).await?;
        all.add(read, limit);
        catch_up.add(subscribed, limit);
    }
    Ok(Part {
        title: "The whole store in order".to_owned(),
        notes: vec![format!(
            "{events} events over {aggregates} aggregates, each of an append of its own and so a \
             message of its own; one reader, through gRPC."
        )],
        ratios: vec![all, catch_up],
    })
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
