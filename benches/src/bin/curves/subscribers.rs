//! Append rate against live subscribers.

use std::sync::Arc;

use angzarr_benches::subscribers::Subscribers;

use crate::curve::Curve;
use crate::field::{Field, Load};
use crate::{Args, Result};

pub(crate) async fn run(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let x = "live subscribers, each to one aggregate";
    let mut rate = Curve::new(
        "Appends against subscribers",
        (x, "events a second"),
        true,
        &["64 clients", "without subscribers"],
    );
    let mut drain = Curve::new(
        "Until the last subscriber has all",
        (x, "milliseconds after the last append"),
        true,
        &["all delivered"],
    );
    for _ in 0..args.rounds {
        let (without, _) = beside(field, 0).await?;
        for count in [1, 10, 100, 1_000] {
            if count <= args.subscribers {
                let (with, drained) = beside(field, count).await?;
                rate.add(count, &[with, without]);
                drain.add(count, &[drained]);
            }
        }
    }
    Ok(vec![rate, drain])
}

/// Appends a second beside so many subscribers, and milliseconds until those had all.
async fn beside(field: &Field, count: u32) -> Result<(f64, f64)> {
    let load = Load::default();
    let fresh = field.start(load.clients).await?;
    let workload = fresh.fill(load).await?;
    let subscribers = Subscribers::open(&fresh.server.url(), &workload, count).await?;
    let measured = field.rate_on(&fresh, load, Arc::clone(&workload)).await?;
    let (drained, _) = subscribers.drained(&workload, &measured).await?;
    Ok((measured.per_second(), drained.as_secs_f64() * 1e3))
}
