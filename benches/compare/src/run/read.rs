use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_server::bench::report::Latency;
use angzarr_server::bench::workload::Workload;
use angzarr_server::bench::{cpu, load};
use serde::Serialize;

use crate::contender::{Client, Contender, Field, Store};
use crate::{Args, Error, Result};

/// Clients that fill the store.
const FILLERS: u32 = 64;

/// Reading begins to count after this.
const WARM_UP: Duration = Duration::from_millis(500);

/// One measurement of reading whole aggregates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReadSample {
    pub(crate) contender: &'static str,
    pub(crate) readers: u32,
    pub(crate) round: u32,
    pub(crate) streams_per_second: f64,
    pub(crate) events_per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) server_cpu_us: f64,
    pub(crate) client_cpu_us: f64,
}

impl ReadSample {
    pub(crate) fn print(&self) {
        eprintln!(
            "round {} {:>4} readers {:>9.0}/s p50 {:.3} p99 {:.3} ms  cpu {:.0} + {:.0} us  {}",
            self.round,
            self.readers,
            self.streams_per_second,
            self.latency.p50_ms,
            self.latency.p99_ms,
            self.server_cpu_us,
            self.client_cpu_us,
            self.contender,
        );
    }
}

/// Fills a fresh store, then reads its aggregates with each number of readers.
pub(crate) async fn measure(
    contender: &dyn Contender,
    field: &Field,
    args: &Args,
    round: u32,
) -> Result<Vec<ReadSample>> {
    let folder = tempfile::tempdir_in(&field.scratch)?;
    let workload = Arc::new(Workload::fresh(args.read_aggregates, args.payload));
    let store = contender.start(field, folder.path()).await?;
    fill(&*store, &workload, args.read_events).await?;
    let mut samples = Vec::new();
    for readers in &args.readers {
        let clients = store.connect(*readers, &workload).await?;
        let read = read(&*store, clients, &workload, args).await?;
        let (count, seconds) = (read.latency.len() as f64, args.seconds as f64);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count;
        samples.push(ReadSample {
            contender: contender.id(),
            readers: *readers,
            round,
            streams_per_second: count / seconds,
            events_per_second: count * f64::from(args.read_events) / seconds,
            latency: Latency::from(&read.latency),
            server_cpu_us: each(read.server_cpu),
            client_cpu_us: each(read.client_cpu),
        });
    }
    Ok(samples)
}

async fn fill(store: &dyn Store, workload: &Arc<Workload>, events: u32) -> Result<()> {
    let clients = store.connect(FILLERS, workload).await?;
    let aggregates = workload.aggregates;
    let fillers = clients.into_iter().zip(0..).map(|(mut client, filler)| {
        tokio::spawn(async move {
            for aggregate in (filler..aggregates).step_by(FILLERS as usize) {
                for sequence in 0..events {
                    client.append(aggregate, sequence).await?;
                }
            }
            Ok::<_, Error>(())
        })
    });
    for filled in futures::future::join_all(fillers).await {
        filled??;
    }
    Ok(())
}

struct Read {
    latency: Histogram,
    server_cpu: Duration,
    client_cpu: Duration,
}

type Histogram = hdrhistogram::Histogram<u64>;

async fn read(
    store: &dyn Store,
    clients: Vec<Box<dyn Client>>,
    workload: &Arc<Workload>,
    args: &Args,
) -> Result<Read> {
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_secs(args.seconds);
    let readers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let reader = Reader {
                client,
                workload: Arc::clone(workload),
                events: args.read_events,
            };
            tokio::spawn(reader.run(from, until))
        })
        .collect();
    tokio::time::sleep_until(from.into()).await;
    // Connections that were opened for the first read are there now.
    let pids = store.pids()?;
    let (own, server) = (cpu::own(), cpu::of(&pids));
    tokio::time::sleep_until(until.into()).await;
    let client_cpu = cpu::own().saturating_sub(own);
    let server_cpu = cpu::of(&pids).saturating_sub(server);
    let mut latency = load::histogram();
    for reader in readers {
        latency += reader.await??;
    }
    if latency.is_empty() {
        return Err("nothing was read".into());
    }
    Ok(Read {
        latency,
        server_cpu,
        client_cpu,
    })
}

struct Reader {
    client: Box<dyn Client>,
    workload: Arc<Workload>,
    events: u32,
}

impl Reader {
    /// Reads one aggregate after the other; the first is compared byte for byte.
    async fn run(mut self, from: Instant, until: Instant) -> Result<Histogram> {
        let workload = Arc::clone(&self.workload);
        let aggregate = rand::random_range(0..workload.aggregates);
        let expected = (0..self.events).map(|sequence| workload.payload(aggregate, sequence));
        if !self.client.read(aggregate).await?.into_iter().eq(expected) {
            return Err("an aggregate reads back with other bytes".into());
        }
        let mut latency = load::histogram();
        loop {
            let aggregate = rand::random_range(0..workload.aggregates);
            let started = Instant::now();
            if started >= until {
                return Ok(latency);
            }
            let events = self.client.read(aggregate).await?.len();
            let finished = Instant::now();
            if events != self.events as usize {
                return Err(format!("an aggregate reads back as {events} events").into());
            }
            if finished >= from && finished < until {
                let micros = (finished - started).as_micros();
                latency.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
            }
        }
    }
}
