use std::path::Path;

use angzarr_benches::postgres::Cluster;
use angzarr_server::bench::report::Latency;
use serde::Serialize;

use crate::contender::{Contender, Field, plan};
use crate::{Args, Result};

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) contender: Contender,
    pub(crate) clients: u32,
    pub(crate) round: u32,
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) server_cpu_us: f64,
    pub(crate) client_cpu_us: f64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

/// Every contender at every number of clients, again in each round.
pub(crate) async fn run(args: &Args, scratch: &Path) -> Result<Vec<Sample>> {
    let mut contenders = Contender::ALL.to_vec();
    contenders.retain(|contender| args.only.is_empty() || args.only.contains(contender));
    let postgres = contenders
        .iter()
        .any(|contender| *contender >= Contender::Pg);
    let field = Field {
        angzarr: args.angzarr.canonicalize()?,
        scratch: scratch.to_owned(),
        postgres: if postgres {
            Some(Cluster::start(scratch)?)
        } else {
            None
        },
    };
    let mut samples = Vec::new();
    for round in 0..args.rounds {
        for clients in &args.clients {
            for contender in &contenders {
                let sample = measure(*contender, &field, args, *clients, round).await?;
                eprintln!(
                    "round {} {:>4} clients {:>9.0}/s p50 {:.3} p99 {:.3} ms  {}",
                    round + 1,
                    clients,
                    sample.per_second,
                    sample.latency.p50_ms,
                    sample.latency.p99_ms,
                    contender.name(),
                );
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

async fn measure(
    contender: Contender,
    field: &Field,
    args: &Args,
    clients: u32,
    round: u32,
) -> Result<Sample> {
    let measured = contender.measure(field, plan(args), clients).await?;
    if let Some(error) = &measured.first_error {
        eprintln!("{}: {error}", contender.name());
    }
    let each =
        |time: std::time::Duration| time.as_secs_f64() * 1e6 / measured.appended.max(1) as f64;
    Ok(Sample {
        contender,
        clients,
        round,
        per_second: measured.per_second(),
        latency: Latency::from(&measured.latency),
        server_cpu_us: each(measured.server_cpu),
        client_cpu_us: each(measured.client_cpu),
        refused: measured.refused,
        failed: measured.failed,
    })
}
