use std::fmt::Write;
use std::fs;

use angzarr_benches::machine::Machine;
use angzarr_benches::median;
use serde::Serialize;

use crate::append::Sample;
use crate::contender::Contender;
use crate::replay::Replays;
use crate::{Args, Result};

/// Everything one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) appends: Vec<Sample>,
    pub(crate) replays: Option<Replays>,
}

/// A ratio that was promised, or is worth knowing.
const RATIOS: [(Contender, Contender); 6] = [
    (Contender::Angzarr, Contender::Limit),
    (Contender::AngzarrStream, Contender::LimitStream),
    (Contender::Angzarr, Contender::Pg),
    (Contender::Angzarr, Contender::PgAngzarr),
    (Contender::Angzarr, Contender::PgAngzarrPrepared),
    (Contender::AngzarrStream, Contender::Pg),
];

impl Report {
    /// Writes the Markdown and the JSON.
    pub(crate) fn write(&self, args: &Args) -> Result<()> {
        if let Some(folder) = args.out.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(
            args.out.with_extension("json"),
            serde_json::to_string_pretty(self)? + "\n",
        )?;
        let markdown = self.markdown(args)?;
        fs::write(args.out.with_extension("md"), &markdown)?;
        eprintln!("{markdown}");
        Ok(())
    }

    fn markdown(&self, args: &Args) -> Result<String> {
        let mut text = String::new();
        writeln!(text, "# Peers in one interleaved run\n")?;
        writeln!(
            text,
            "{}. Client and server share the cores.\n",
            self.machine
        )?;
        writeln!(
            text,
            "Closed loop: each client appends one event of {} bytes to a random one of {} \
             aggregates, expected sequence checked, and waits for the durable answer; {} s of \
             warm-up, {} s measured, a fresh store each time, medians of {} interleaved rounds.\n",
            args.payload, args.aggregates, args.warm_up, args.seconds, args.rounds
        )?;
        self.appends_table(&mut text, args)?;
        self.cpu_table(&mut text, args)?;
        self.ratios_table(&mut text, args)?;
        if let Some(replays) = &self.replays {
            replays_section(&mut text, replays)?;
        }
        Ok(text)
    }

    fn appends_table(&self, text: &mut String, args: &Args) -> Result<()> {
        writeln!(text, "## Appends per second (p50 / p99 ms)\n")?;
        header(text, "contender", args, " durability |")?;
        for contender in self.contenders() {
            write!(text, "| {} |", contender.name())?;
            for clients in &args.clients {
                let rate = self.median(contender, *clients, |sample| sample.per_second);
                let p50 = self.median(contender, *clients, |sample| sample.latency.p50_ms);
                let p99 = self.median(contender, *clients, |sample| sample.latency.p99_ms);
                write!(text, " **{rate:.0}** ({p50:.2} / {p99:.2}) |")?;
            }
            writeln!(text, " {} |", contender.durability())?;
        }
        let sum = |count: fn(&Sample) -> u64| self.appends.iter().map(count).sum::<u64>();
        let (refused, failed) = (sum(|sample| sample.refused), sum(|sample| sample.failed));
        writeln!(
            text,
            "\nRefused: {refused}, failed: {failed}. A stale append was refused each time.\n"
        )?;
        Ok(())
    }

    fn cpu_table(&self, text: &mut String, args: &Args) -> Result<()> {
        writeln!(
            text,
            "## Processor time per append, server + client, in microseconds\n"
        )?;
        header(text, "contender", args, "")?;
        for contender in self.contenders() {
            write!(text, "| {} |", contender.name())?;
            for clients in &args.clients {
                let server = self.median(contender, *clients, |sample| sample.server_cpu_us);
                let client = self.median(contender, *clients, |sample| sample.client_cpu_us);
                write!(text, " {server:.0} + {client:.0} |")?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        Ok(())
    }

    fn ratios_table(&self, text: &mut String, args: &Args) -> Result<()> {
        writeln!(text, "## Ratios of medians\n")?;
        header(text, "ratio", args, "")?;
        let present = self.contenders();
        for (one, other) in RATIOS {
            if !present.contains(&one) || !present.contains(&other) {
                continue;
            }
            write!(text, "| {} / {} |", one.name(), other.name())?;
            for clients in &args.clients {
                let rate = |contender| self.median(contender, *clients, |sample| sample.per_second);
                write!(text, " {:.2} |", rate(one) / rate(other))?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        Ok(())
    }

    fn contenders(&self) -> Vec<Contender> {
        let mut present: Vec<_> = self.appends.iter().map(|sample| sample.contender).collect();
        present.sort();
        present.dedup();
        present
    }

    fn median(&self, contender: Contender, clients: u32, value: impl Fn(&Sample) -> f64) -> f64 {
        let of = |sample: &&Sample| sample.contender == contender && sample.clients == clients;
        median::of(self.appends.iter().filter(of).map(value).collect())
    }
}

fn header(text: &mut String, first: &str, args: &Args, last: &str) -> Result<()> {
    write!(text, "| {first} |")?;
    for clients in &args.clients {
        write!(text, " C={clients} |")?;
    }
    writeln!(text, "{last}")?;
    let columns = args.clients.len() + 1 + usize::from(!last.is_empty());
    writeln!(text, "|{}", "---|".repeat(columns))?;
    Ok(())
}

fn replays_section(text: &mut String, replays: &Replays) -> Result<()> {
    let angzarr = median::of(replays.angzarr_ms.clone());
    let postgres = median::of(replays.postgres_ms.clone());
    writeln!(
        text,
        "## Replay of one aggregate of {} events\n",
        replays.events
    )?;
    writeln!(
        text,
        "| | median ms | events/s | bytes |\n|---|---|---|---|"
    )?;
    let events = f64::from(replays.events) * 1e3;
    writeln!(
        text,
        "| angzarr, `Read` over gRPC | {angzarr:.1} | {:.0} | {} |",
        events / angzarr,
        replays.angzarr_bytes
    )?;
    writeln!(
        text,
        "| PostgreSQL, prepared SELECT ... ORDER BY sequence | {postgres:.1} | {:.0} | {} |",
        events / postgres,
        replays.postgres_bytes
    )?;
    writeln!(
        text,
        "\nRatio of medians, angzarr / PostgreSQL: {:.3}",
        angzarr / postgres
    )?;
    Ok(())
}
