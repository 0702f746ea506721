//! Append rate against live subscribers.

use std::sync::Arc;

use angzarr_benches::subscribers::Subscribers;
use angzarr_server::bench::load::Measured;

use crate::curve::Curve;
use crate::field::{Field, Load, each};
use crate::{Args, Result};

pub(crate) async fn run(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let x = "live subscribers, each to one aggregate";
    let mut rate = Curve::new(
        "Appends against subscribers",
        (x, "events a second"),
        true,
        &["64 clients", "without subscribers"],
    );
    let mut cpu = Curve::new(
        "Processor time against subscribers",
        (x, "microseconds of an append"),
        true,
        &["server", "client"],
    );
    for _ in 0..args.rounds {
        let without = beside(field, 0).await?.per_second();
        for count in [1, 10, 100, 1_000] {
            if count <= args.subscribers {
                let measured = beside(field, count).await?;
                rate.add(count, &[measured.per_second(), without]);
                cpu.add(count, &each(&measured));
            }
        }
    }
    Ok(vec![rate, cpu])
}

/// Appends beside so many subscribers.
async fn beside(field: &Field, count: u32) -> Result<Measured> {
    let load = Load::default();
    let fresh = field.start(load.clients).await?;
    let workload = fresh.fill(load).await?;
    let subscribers = Subscribers::open(&fresh.server.url(), &workload, count).await?;
    let measured = field.rate_on(&fresh, load, Arc::clone(&workload)).await?;
    let (drained, events) = subscribers.drained(&workload, &measured).await?;
    eprintln!(
        "{count} subscribers had all of their {events} events {:.1} s after the last append",
        drained.as_secs_f64()
    );
    Ok(measured)
}
