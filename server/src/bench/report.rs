//! What a benchmark prints.

use std::fmt;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Points of a latency distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half were at most this.
    pub p50_ms: f64,
    /// 99 of 100 were at most this.
    pub p99_ms: f64,
    /// 999 of 1000 were at most this.
    pub p99_9_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl From<&Histogram<u64>> for Latency {
    /// From a histogram of microseconds.
    fn from(micros: &Histogram<u64>) -> Self {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        let max_ms = micros.max() as f64 / 1e3;
        Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms,
        }
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            p50_ms,
            p99_ms,
            p99_9_ms,
            max_ms,
        } = self;
        write!(
            f,
            "p50 {p50_ms:.3}  p99 {p99_ms:.3}  p99.9 {p99_9_ms:.3}  max {max_ms:.3}"
        )
    }
}

/// The server that was measured, in its own words.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    /// Address, or that it ran in this process.
    pub(crate) target: String,
    /// When an append counts as stored: fsync, interval or os.
    pub(crate) durability: String,
    /// rocksdb or memory.
    pub(crate) index: String,
}

/// `bench append`.
#[derive(Debug, Serialize)]
pub(crate) struct Append {
    pub(crate) server: Server,
    pub(crate) clients: u32,
    pub(crate) connections: usize,
    pub(crate) call: &'static str,
    pub(crate) aggregates: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) contended: bool,
    pub(crate) warm_up_seconds: f64,
    pub(crate) seconds: f64,
    pub(crate) appended: u64,
    pub(crate) appends_per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) cpu_us_per_append: f64,
    pub(crate) stale_append_refused: bool,
    pub(crate) read_back_aggregates: u32,
    pub(crate) read_back_events: u64,
}

/// `bench command` and `bench cascade`.
#[derive(Debug, Serialize)]
pub(crate) struct Commands {
    pub(crate) server: Server,
    pub(crate) mode: String,
    pub(crate) clients: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) append: Calls,
    pub(crate) hops: Calls,
    pub(crate) command: Calls,
    pub(crate) rounds: u32,
    /// Of the slower of the other two, in the median of the rounds.
    pub(crate) share_of_limit: f64,
    pub(crate) share_of_limit_min: f64,
    pub(crate) share_of_limit_max: f64,
}

/// Calls of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) per_second: f64,
    /// Of this process: server, client and business code.
    pub(crate) cpu_us: f64,
    pub(crate) latency: Latency,
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} per second, {:.1} us of processor time each, ms: {}",
            self.per_second, self.cpu_us, self.latency
        )
    }
}

impl Commands {
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = self.server.lines();
        lines.extend([
            (
                "load",
                format!(
                    "{} clients, {} bytes, mode {}",
                    self.clients, self.payload_bytes, self.mode
                ),
            ),
            ("append", self.append.to_string()),
            ("hops", self.hops.to_string()),
            ("command", self.command.to_string()),
            (
                "of the limit",
                format!(
                    "{:.2} ({:.2} to {:.2} in {} rounds): the slower of append and hops",
                    self.share_of_limit,
                    self.share_of_limit_min,
                    self.share_of_limit_max,
                    self.rounds
                ),
            ),
        ]);
        lines
    }
}

/// `bench replay`.
#[derive(Debug, Serialize)]
pub(crate) struct Replay {
    pub(crate) server: Server,
    pub(crate) clients: u32,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) replays: u64,
    pub(crate) events_per_second: f64,
    pub(crate) megabytes_per_second: f64,
    pub(crate) latency: Latency,
}

/// `bench tail`.
#[derive(Debug, Serialize)]
pub(crate) struct Tail {
    pub(crate) server: Server,
    pub(crate) catch_up_events: u64,
    pub(crate) catch_up_events_per_second: f64,
    pub(crate) clients: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) live_events: u64,
    pub(crate) live_appends_per_second: f64,
    pub(crate) append_latency: Latency,
    pub(crate) delivery_latency: Latency,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

/// Prints a report as one JSON object or as its lines of text.
pub(crate) fn print<R: Serialize>(
    report: &R,
    json: bool,
    lines: impl FnOnce(&R) -> Vec<(&'static str, String)>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(io::Error::from)?;
        return writeln!(out);
    }
    for (name, value) in lines(report) {
        writeln!(out, "{name:<14}{value}")?;
    }
    Ok(())
}

impl Server {
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let durability = match self.durability.as_str() {
            "fsync" => "fsync: every answer waited for its sync".to_owned(),
            other => format!("{other}: NOT synced before the answer"),
        };
        vec![
            ("server", self.target.clone()),
            ("durability", durability),
            ("index", self.index.clone()),
        ]
    }
}

impl Append {
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = self.server.lines();
        lines.push((
            "load",
            format!(
                "{} clients, {} over {} connections, {}-byte events, {} aggregates{}",
                self.clients,
                self.call,
                self.connections,
                self.payload_bytes,
                self.aggregates,
                if self.contended { ", contended" } else { "" },
            ),
        ));
        lines.push((
            "throughput",
            format!(
                "{:.0} appends/s ({} in {} s after {} s of warm-up)",
                self.appends_per_second, self.appended, self.seconds, self.warm_up_seconds,
            ),
        ));
        lines.push(("latency ms", self.latency.to_string()));
        lines.push(("refused", self.refused.to_string()));
        lines.push(("failed", self.failed.to_string()));
        if let Some(error) = &self.first_error {
            lines.push(("first error", error.clone()));
        }
        lines.push((
            "cpu",
            format!(
                "{:.1} us per append in this process",
                self.cpu_us_per_append
            ),
        ));
        if self.stale_append_refused {
            lines.push(("stale append", "refused, as it must be".to_owned()));
        }
        lines.push((
            "read back",
            format!(
                "{} events of {} aggregates, every byte as sent",
                self.read_back_events, self.read_back_aggregates,
            ),
        ));
        lines
    }
}

impl Replay {
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = self.server.lines();
        lines.push((
            "load",
            format!(
                "{} clients, one aggregate of {} events, {} bytes encoded",
                self.clients, self.events, self.bytes
            ),
        ));
        lines.push((
            "throughput",
            format!(
                "{:.0} events/s, {:.1} MB/s ({} replays in {:.1} s)",
                self.events_per_second, self.megabytes_per_second, self.replays, self.seconds
            ),
        ));
        lines.push(("replay ms", self.latency.to_string()));
        lines
    }
}

impl Tail {
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = self.server.lines();
        lines.push((
            "catch-up",
            format!(
                "{:.0} events/s over {} events of {} bytes",
                self.catch_up_events_per_second, self.catch_up_events, self.payload_bytes
            ),
        ));
        lines.push((
            "live",
            format!(
                "{:.0} appends/s by {} clients; {} events delivered, none missing or twice",
                self.live_appends_per_second, self.clients, self.live_events
            ),
        ));
        lines.push(("append ms", self.append_latency.to_string()));
        lines.push((
            "delivery ms",
            format!("{} (from the call)", self.delivery_latency),
        ));
        lines.push(("refused", self.refused.to_string()));
        lines.push(("failed", self.failed.to_string()));
        lines
    }
}
