//! Append rate against aggregates, payload, pages and clients.

use angzarr_server::bench::report::Latency;

use crate::curve::Curve;
use crate::field::{Field, Load, each};
use crate::{Args, Result};

/// What a closed loop of appends costs on one server.
const EVENTS: &str = "events a second";

pub(crate) async fn aggregates(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let mut curve = Curve::new(
        "Appends against aggregates",
        ("aggregates, one event each before", EVENTS),
        false,
        &["64 clients"],
    );
    let mut sizes = vec![1_000, 10_000, 100_000, 1_000_000];
    if args.full {
        sizes.push(10_000_000);
    }
    for _ in 0..args.rounds {
        for aggregates in &sizes {
            let load = Load {
                aggregates: *aggregates,
                ..Load::default()
            };
            let measured = field.rate(load).await?;
            curve.add(*aggregates, &[measured.per_second()]);
        }
    }
    Ok(vec![curve])
}

pub(crate) async fn payload(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let x = "bytes of payload";
    let mut rate = Curve::new(
        "Appends against payload",
        (x, EVENTS),
        true,
        &["64 clients"],
    );
    let mut volume = Curve::new(
        "The same in bytes",
        (x, "megabytes of payload a second"),
        true,
        &["64 clients"],
    );
    for _ in 0..args.rounds {
        for payload in [64, 256, 1_024, 4_096, 16_384, 65_536] {
            let load = Load {
                payload,
                ..Load::default()
            };
            let events = field.rate(load).await?.per_second();
            rate.add(payload, &[events]);
            volume.add(payload, &[events * f64::from(payload) / 1e6]);
        }
    }
    Ok(vec![rate, volume])
}

pub(crate) async fn pages(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let mut curve = Curve::new(
        "Appends against their pages",
        ("pages of an append", "a second"),
        true,
        &["events", "appends"],
    );
    for _ in 0..args.rounds {
        for pages in [1, 3, 10, 30, 100] {
            let load = Load {
                pages,
                ..Load::default()
            };
            let appends = field.rate(load).await?.per_second();
            curve.add(pages, &[appends * f64::from(pages), appends]);
        }
    }
    Ok(vec![curve])
}

pub(crate) async fn clients(field: &Field, args: &Args) -> Result<Vec<Curve>> {
    let x = "clients, each with one append under way";
    let mut rate = Curve::new("Appends against clients", (x, EVENTS), true, &["unary"]);
    let mut latency = Curve::new(
        "Latency against clients",
        (x, "milliseconds"),
        true,
        &["p50", "p99"],
    );
    let mut cpu = Curve::new(
        "Processor time against clients",
        (x, "microseconds of an append"),
        true,
        &["server", "client"],
    );
    for _ in 0..args.rounds {
        for clients in [1, 4, 16, 64, 256, 1_024] {
            let load = Load {
                clients,
                ..Load::default()
            };
            let measured = field.rate(load).await?;
            rate.add(clients, &[measured.per_second()]);
            let times = Latency::from(&measured.latency);
            latency.add(clients, &[times.p50_ms, times.p99_ms]);
            cpu.add(clients, &each(&measured));
        }
    }
    Ok(vec![rate, latency, cpu])
}
