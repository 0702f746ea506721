use std::sync::Arc;
use std::time::Duration;

use angzarr_server::bench::load::{self, AppendError, Measured, Plan};
use angzarr_server::bench::report::Latency;
use angzarr_server::bench::workload::{Heads, Workload};
use serde::Serialize;

use crate::contender::{Checks, Contender, Driven, Field, Store};
use crate::{Args, Result};

/// Aggregates that are read back after a run.
const READ_BACK: u32 = 50;

/// One measurement of appending.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) contender: &'static str,
    pub(crate) clients: u32,
    pub(crate) round: u32,
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) server_cpu_us: f64,
    pub(crate) client_cpu_us: f64,
    pub(crate) bytes_per_event: Option<f64>,
}

impl Sample {
    pub(crate) fn print(&self) {
        eprintln!(
            "round {} {:>4} clients {:>9.0}/s p50 {:.3} p99 {:.3} ms  cpu {:.0} + {:.0} us  {}",
            self.round,
            self.clients,
            self.per_second,
            self.latency.p50_ms,
            self.latency.p99_ms,
            self.server_cpu_us,
            self.client_cpu_us,
            self.contender,
        );
    }
}

/// Appends with a number of clients to a fresh store, then checks the store.
pub(crate) async fn measure(
    contender: &dyn Contender,
    field: &Field,
    args: &Args,
    clients: u32,
    round: u32,
) -> Result<Sample> {
    let folder = tempfile::tempdir_in(&field.scratch)?;
    let workload = Arc::new(Workload::fresh(args.aggregates, args.payload));
    let store = contender.start(field, folder.path()).await?;
    let connected = store.connect(clients, &workload).await?;
    let empty = store.bytes().await?;
    let plan = Plan {
        workload: Arc::clone(&workload),
        warm_up: Duration::from_secs(args.warm_up),
        measured: Duration::from_secs(args.seconds),
        contended: false,
        server_pids: store.pids()?,
    };
    let measured = load::run(&plan, connected.into_iter().map(Driven).collect()).await;
    whole(&measured)?;
    let full = store.bytes().await?;
    check(contender.checks(), &*store, &workload, &measured.heads).await?;

    let each = |time: Duration| time.as_secs_f64() * 1e6 / measured.appended as f64;
    let events = events(&workload, &measured.heads);
    let grown = full
        .zip(empty)
        .map(|(full, empty)| full.saturating_sub(empty));
    Ok(Sample {
        contender: contender.id(),
        clients,
        round,
        per_second: measured.per_second(),
        latency: Latency::from(&measured.latency),
        server_cpu_us: each(measured.server_cpu),
        client_cpu_us: each(measured.client_cpu),
        bytes_per_event: grown.map(|bytes| bytes as f64 / events as f64),
    })
}

/// What was appended in all, the warm-up included.
pub(super) fn events(workload: &Workload, heads: &Heads) -> u64 {
    (0..workload.aggregates)
        .filter_map(|aggregate| heads.next(aggregate).map(u64::from))
        .sum()
}

/// Every append was acknowledged.
pub(super) fn whole(measured: &Measured) -> Result<()> {
    match &measured.first_error {
        Some(error) => Err(format!(
            "{} refused and {} failed; the first: {error}",
            measured.refused, measured.failed
        )
        .into()),
        None if measured.appended == 0 => Err("nothing was appended".into()),
        None => Ok(()),
    }
}

/// A stale append must be refused, and a sample must read back byte for byte.
async fn check(
    checks: Checks,
    store: &dyn Store,
    workload: &Arc<Workload>,
    heads: &Heads,
) -> Result<()> {
    if checks == Checks::None {
        return Ok(());
    }
    let client = store.connect(1, workload).await?.into_iter().next();
    let mut client = client.ok_or("no client")?;
    let step = workload.aggregates.div_ceil(READ_BACK).max(1) as usize;
    let written = |aggregate: &u32| heads.next(*aggregate).is_some_and(|next| next > 0);
    if let Some(aggregate) = (0..workload.aggregates).find(written) {
        match client.append(aggregate, 0).await {
            Err(AppendError::Refused(_)) => {}
            Err(error) => return Err(format!("a stale append: {error}").into()),
            Ok(()) => return Err("a stale append was accepted".into()),
        }
    }
    if checks == Checks::Stale {
        return Ok(());
    }
    for aggregate in (0..workload.aggregates).step_by(step) {
        let next = heads.next(aggregate).unwrap_or_default();
        let stored = client.read(aggregate).await?;
        let expected = (0..next).map(|sequence| workload.payload(aggregate, sequence));
        if !stored.iter().cloned().eq(expected) {
            return Err(format!(
                "an aggregate of {next} events reads back with other bytes, or as {}",
                stored.len()
            )
            .into());
        }
    }
    Ok(())
}
