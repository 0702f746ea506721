//! The closed loop, and what it counts.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::cpu;
use super::workload::{Heads, Random, Workload};

/// One client's way of appending one event: gRPC, or whatever it is compared with.
pub trait Writer: Send + 'static {
    /// Appends the workload's event at `sequence`, which must be the aggregate's next, and
    /// returns when it is durable.
    fn append(
        &mut self,
        aggregate: u32,
        sequence: u32,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The store said no; it stored nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or one that leaves the outcome open.
    #[error("failed: {0}")]
    Failed(String),
}

/// How the clients are run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What they append.
    pub workload: Arc<Workload>,
    /// Time before anything is counted.
    pub warm_up: Duration,
    /// Time that counts.
    pub measured: Duration,
    /// All clients share all aggregates and may collide, instead of owning a part each.
    pub contended: bool,
    /// Processes whose processor time is charged to the server.
    pub server_pids: Vec<u32>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Measured {
    /// Microseconds from call to durable answer, of the appends that count.
    pub latency: Histogram<u64>,
    /// Appends acknowledged in the measured time.
    pub appended: u64,
    /// Appends refused, over the whole run.
    pub refused: u64,
    /// Appends without a certain outcome, over the whole run.
    pub failed: u64,
    /// The first refusal or failure.
    pub first_error: Option<AppendError>,
    /// Length of the measured time.
    pub elapsed: Duration,
    /// Processor time of this process within it.
    pub client_cpu: Duration,
    /// Processor time of the server's processes within it.
    pub server_cpu: Duration,
    /// What is known to be stored.
    pub heads: Arc<Heads>,
}

impl Measured {
    /// Acknowledged appends per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs a closed loop with one client per writer: each appends one event to a random aggregate,
/// waits for the answer, and goes on.
///
/// # Panics
/// When there is no writer, or when there are fewer aggregates than writers and they are not
/// to collide.
pub async fn run<W: Writer>(plan: &Plan, writers: Vec<W>) -> Measured {
    let heads = Arc::new(Heads::new(plan.workload.aggregates));
    run_round(plan, writers, heads, 0).await
}

/// The same on aggregates that have events already: one of several rounds, each with draws of its
/// own.
///
/// # Panics
/// As [`run`].
pub(crate) async fn run_round<W: Writer>(
    plan: &Plan,
    writers: Vec<W>,
    heads: Arc<Heads>,
    round: u32,
) -> Measured {
    let window = Window::starting_now(plan);
    let parts = parts(plan, u32::try_from(writers.len()).unwrap_or(u32::MAX));
    let seed = plan.workload.seed ^ (u64::from(round) << 56);
    let clients: Vec<_> = writers
        .into_iter()
        .zip(parts)
        .enumerate()
        .map(|(number, (writer, part))| {
            let random = Random::new(seed ^ ((number as u64 + 1) << 40));
            let heads = Arc::clone(&heads);
            tokio::spawn(
                Client {
                    writer,
                    part,
                    random,
                    heads,
                    window,
                }
                .run(),
            )
        })
        .collect();

    tokio::time::sleep_until(window.from.into()).await;
    let (client_before, server_before) = (cpu::own(), cpu::of(&plan.server_pids));
    tokio::time::sleep_until(window.until.into()).await;
    let client_cpu = cpu::own().saturating_sub(client_before);
    let server_cpu = cpu::of(&plan.server_pids).saturating_sub(server_before);

    let mut total = Tally::new();
    for client in clients {
        match client.await {
            Ok(tally) => total.add(tally),
            Err(error) => total.fail(AppendError::Failed(format!("a client died: {error}"))),
        }
    }
    Measured {
        appended: total.latency.len(),
        latency: total.latency,
        refused: total.refused,
        failed: total.failed,
        first_error: total.first_error,
        elapsed: plan.measured,
        client_cpu,
        server_cpu,
        heads,
    }
}

/// A histogram of microseconds: three digits, up to a minute.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constants in order")
}

/// Records a latency; longer than the histogram's maximum counts as its maximum.
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(
        u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .max(1),
    );
}

/// The aggregates each client draws from.
fn parts(plan: &Plan, clients: u32) -> Vec<Range<u32>> {
    let aggregates = plan.workload.aggregates;
    assert!(clients > 0, "a run needs at least one writer");
    if plan.contended {
        return vec![0..aggregates; clients as usize];
    }
    assert!(
        aggregates >= clients,
        "a run needs at least one aggregate for each client"
    );
    let bound = |client: u32| {
        let bound = u64::from(aggregates) * u64::from(client) / u64::from(clients);
        u32::try_from(bound).unwrap_or(aggregates)
    };
    (0..clients)
        .map(|client| bound(client)..bound(client + 1))
        .collect()
}

#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    fn starting_now(plan: &Plan) -> Self {
        let from = Instant::now() + plan.warm_up;
        Self {
            from,
            until: from + plan.measured,
        }
    }
}

/// Failures in a row after which a client gives up: the server is gone.
const FAILURES_MAX: u32 = 10;

struct Client<W> {
    writer: W,
    part: Range<u32>,
    random: Random,
    heads: Arc<Heads>,
    window: Window,
}

impl<W: Writer> Client<W> {
    async fn run(mut self) -> Tally {
        let mut tally = Tally::new();
        let mut failures_in_row = 0;
        loop {
            let started = Instant::now();
            if started >= self.window.until || failures_in_row == FAILURES_MAX {
                return tally;
            }
            let Some((aggregate, sequence)) = self.pick() else {
                return tally;
            };
            let outcome = self.writer.append(aggregate, sequence).await;
            let finished = Instant::now();
            failures_in_row = 0;
            match outcome {
                Ok(()) => {
                    self.heads.acknowledge(aggregate, sequence + 1);
                    if finished >= self.window.from && finished < self.window.until {
                        record(&mut tally.latency, finished - started);
                    }
                }
                Err(error @ AppendError::Refused(_)) => tally.refuse(error),
                Err(error @ AppendError::Failed(_)) => {
                    self.heads.retire(aggregate);
                    failures_in_row += 1;
                    tally.fail(error);
                }
            }
        }
    }

    /// A random aggregate whose next sequence is known. None when none was found in many tries.
    fn pick(&mut self) -> Option<(u32, u32)> {
        (0..1_000).find_map(|_| {
            let aggregate = self.random.within(&self.part);
            Some((aggregate, self.heads.next(aggregate)?))
        })
    }
}

struct Tally {
    latency: Histogram<u64>,
    refused: u64,
    failed: u64,
    first_error: Option<AppendError>,
}

impl Tally {
    fn new() -> Self {
        Self {
            latency: histogram(),
            refused: 0,
            failed: 0,
            first_error: None,
        }
    }

    fn refuse(&mut self, error: AppendError) {
        self.refused += 1;
        self.first_error.get_or_insert(error);
    }

    fn fail(&mut self, error: AppendError) {
        self.failed += 1;
        self.first_error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.latency += other.latency;
        self.refused += other.refused;
        self.failed += other.failed;
        if let Some(error) = other.first_error {
            self.first_error.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests;
