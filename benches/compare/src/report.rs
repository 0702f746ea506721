//! The results as Markdown, JSON and curves.

mod goals;
mod plot;
mod tables;

use std::fs;

use angzarr_benches::machine::Machine;
use angzarr_benches::median;
use serde::Serialize;

use crate::run::{About, ReadSample, Results, Sample};
use crate::{Args, Result};

#[derive(Serialize)]
struct Report {
    machine: Machine,
    settings: Settings,
    #[serde(flatten)]
    results: Results,
}

/// How the run was asked for.
#[derive(Serialize)]
struct Settings {
    clients: Vec<u32>,
    rounds: u32,
    seconds: u64,
    warm_up: u64,
    aggregates: u32,
    payload: u32,
    readers: Vec<u32>,
    read_aggregates: u32,
    read_events: u32,
}

/// Writes all three.
pub(crate) fn write(args: &Args, machine: Machine, results: Results) -> Result<()> {
    let report = Report {
        machine,
        settings: Settings {
            clients: args.clients.clone(),
            rounds: args.rounds,
            seconds: args.seconds,
            warm_up: args.warm_up,
            aggregates: args.aggregates,
            payload: args.payload,
            readers: args.readers.clone(),
            read_aggregates: args.read_aggregates,
            read_events: args.read_events,
        },
        results,
    };
    if let Some(folder) = args.out.parent() {
        fs::create_dir_all(folder)?;
    }
    let json = serde_json::to_string_pretty(&report)? + "\n";
    fs::write(args.out.with_extension("json"), json)?;
    let picture = args.out.with_extension("svg");
    let name = picture.file_name().unwrap_or_default().to_string_lossy();
    let markdown = report.markdown(&name)?;
    fs::write(args.out.with_extension("md"), &markdown)?;
    report.plot(&picture)?;
    eprintln!("{markdown}");
    Ok(())
}

impl Report {
    fn contenders(&self) -> &[About] {
        &self.results.contenders
    }

    /// A figure of each round.
    fn appends(&self, id: &str, clients: u32, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let of = |sample: &&Sample| sample.contender == id && sample.clients == clients;
        let samples = self.results.appends.iter().filter(of);
        sorted(samples.map(value).collect())
    }

    /// A figure of each round.
    fn reads(&self, id: &str, readers: u32, value: impl Fn(&ReadSample) -> f64) -> Vec<f64> {
        let of = |sample: &&ReadSample| sample.contender == id && sample.readers == readers;
        let samples = self.results.reads.iter().filter(of);
        sorted(samples.map(value).collect())
    }

    /// Appends a second; not a number when there was no such run.
    fn rate(&self, id: &str, clients: u32) -> f64 {
        median::of(self.appends(id, clients, |sample| sample.per_second))
    }

    fn p99(&self, id: &str, clients: u32) -> f64 {
        median::of(self.appends(id, clients, |sample| sample.latency.p99_ms))
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
