use std::fmt::Write;

use angzarr_benches::median::of as median;

use super::Report;
use crate::Result;

/// What stands where there is no figure.
pub(super) const NONE: &str = "-";

impl Report {
    /// `picture` is the name of the file with the curves.
    pub(super) fn markdown(&self, picture: &str) -> Result<String> {
        let mut text = String::new();
        self.head(&mut text, picture)?;
        self.rates(&mut text)?;
        self.latencies(&mut text)?;
        self.processor(&mut text)?;
        self.reading(&mut text)?;
        self.ratios(&mut text)?;
        self.other_goals(&mut text)?;
        self.about(&mut text)?;
        self.missing(&mut text)?;
        Ok(text)
    }

    fn head(&self, text: &mut String, picture: &str) -> Result<()> {
        let (machine, settings) = (&self.machine, &self.settings);
        writeln!(
            text,
            "# Everyone in one interleaved run\n\n\
             {}, {} cores, {:.0} GiB, Linux {}; load before the run {}. Client and server share the \
             cores.\n",
            machine.processor,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.load_before
        )?;
        writeln!(
            text,
            "Closed loop: each of C clients appends one event of {} bytes to a random one of its \
             part of {} aggregates, expected version checked, and waits for the durable answer. \
             {} s of warm-up, {} s measured, a fresh store each time, {} interleaved rounds: \
             medians. After each run a stale append was refused and a sample read back byte for \
             byte, else the contender stands below as failed.\n\n\
             ![Appends a second and p99 by clients]({picture})\n",
            settings.payload,
            settings.aggregates,
            settings.warm_up,
            settings.seconds,
            settings.rounds,
        )?;
        Ok(())
    }

    fn rates(&self, text: &mut String) -> Result<()> {
        writeln!(text, "## Appends per second (slowest to fastest round)\n")?;
        self.by_clients(text, |id, clients| {
            let rates = self.appends(id, clients, |sample| sample.per_second);
            match (rates.first(), rates.last()) {
                (Some(slowest), Some(fastest)) => format!(
                    "**{}** ({} to {})",
                    thousands(median(rates.clone())),
                    thousands(*slowest),
                    thousands(*fastest)
                ),
                _ => NONE.to_owned(),
            }
        })
    }

    fn latencies(&self, text: &mut String) -> Result<()> {
        writeln!(text, "## Latency, p50 / p99 / p99.9 in milliseconds\n")?;
        self.by_clients(text, |id, clients| {
            let p50 = self.appends(id, clients, |sample| sample.latency.p50_ms);
            let p99 = self.appends(id, clients, |sample| sample.latency.p99_ms);
            let p99_9 = self.appends(id, clients, |sample| sample.latency.p99_9_ms);
            if p50.is_empty() {
                return NONE.to_owned();
            }
            format!(
                "{:.2} / {:.2} / {:.2}",
                median(p50),
                median(p99),
                median(p99_9)
            )
        })
    }

    fn processor(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "## Processor time per append, server + client, in microseconds\n"
        )?;
        self.by_clients(text, |id, clients| {
            let server = self.appends(id, clients, |sample| sample.server_cpu_us);
            let client = self.appends(id, clients, |sample| sample.client_cpu_us);
            if server.is_empty() {
                return NONE.to_owned();
            }
            format!("{:.0} + {:.0}", median(server), median(client))
        })
    }

    /// A row for each contender, a column for each number of clients.
    fn by_clients(&self, text: &mut String, cell: impl Fn(&str, u32) -> String) -> Result<()> {
        header(text, "contender", &self.clients_columns())?;
        for contender in self.contenders().iter().filter(|one| one.stores) {
            write!(text, "| {} |", contender.name)?;
            for clients in &self.settings.clients {
                write!(text, " {} |", cell(contender.id, *clients))?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        Ok(())
    }

    pub(super) fn clients_columns(&self) -> Vec<String> {
        let clients = self.settings.clients.iter();
        clients.map(|clients| format!("C={clients}")).collect()
    }

    fn reading(&self, text: &mut String) -> Result<()> {
        let settings = &self.settings;
        if self.results.reads.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "## Reading whole aggregates of {} events\n\n\
             A random one of {} each time; aggregates a second (p50 / p99 ms), events a second, \
             processor time per aggregate, server + client.\n",
            settings.read_events, settings.read_aggregates
        )?;
        let columns: Vec<_> = settings
            .readers
            .iter()
            .flat_map(|readers| [format!("R={readers}"), "events/s".into(), "us".into()])
            .collect();
        header(text, "contender", &columns)?;
        for contender in self.contenders() {
            let id = contender.id;
            if !self.results.reads.iter().any(|read| read.contender == id) {
                continue;
            }
            write!(text, "| {} |", contender.name)?;
            for readers in &settings.readers {
                let of = |value: fn(&crate::run::ReadSample) -> f64| {
                    median(self.reads(id, *readers, value))
                };
                write!(
                    text,
                    " **{}** ({:.2} / {:.2}) | {} | {:.0} + {:.0} |",
                    thousands(of(|read| read.streams_per_second)),
                    of(|read| read.latency.p50_ms),
                    of(|read| read.latency.p99_ms),
                    thousands(of(|read| read.events_per_second)),
                    of(|read| read.server_cpu_us),
                    of(|read| read.client_cpu_us),
                )?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        Ok(())
    }

    fn about(&self, text: &mut String) -> Result<()> {
        writeln!(text, "## What ran\n")?;
        let columns = [
            "version",
            "an append counts when",
            "syncs per append of one client",
            "bytes on disk per event",
        ];
        header(text, "contender (`--only`)", &columns.map(str::to_owned))?;
        let most = self.settings.clients.iter().max().copied();
        for contender in self.contenders() {
            let samples = self.results.appends.iter();
            let bytes: Vec<_> = samples
                .filter(|one| one.contender == contender.id && Some(one.clients) == most)
                .filter_map(|sample| sample.bytes_per_event)
                .collect();
            let bytes = match bytes.is_empty() {
                true => NONE.to_owned(),
                false => format!("{:.0}", median(bytes)),
            };
            let mut syncs = self.results.syncs.iter();
            let syncs = match syncs.find(|traced| traced.contender == contender.id) {
                None => NONE.to_owned(),
                Some(traced) => format!("{:.2}", traced.syncs as f64 / traced.appends as f64),
            };
            writeln!(
                text,
                "| {} (`{}`) | {} | {} | {syncs} | {bytes} |",
                contender.name, contender.id, contender.version, contender.settings
            )?;
        }
        writeln!(
            text,
            "\nSyncs are calls of fsync, fdatasync, msync and sync_file_range in a run of its own under \
             strace. Bytes on disk are those at the largest C, after the run without compaction: Angzarr's \
             log as written and its index; of PostgreSQL the table with its indexes, without the write-ahead log; \
             of all others what their folder takes.\n"
        )?;
        Ok(())
    }

    fn missing(&self, text: &mut String) -> Result<()> {
        if self.results.skipped.is_empty() && self.results.failures.is_empty() {
            return Ok(());
        }
        writeln!(text, "## Skipped or failed\n")?;
        header(text, "contender", &["what".to_owned(), "reason".to_owned()])?;
        for skipped in &self.results.skipped {
            writeln!(
                text,
                "| {} | skipped | {} |",
                skipped.name,
                one_line(&skipped.reason)
            )?;
        }
        for failure in &self.results.failures {
            writeln!(
                text,
                "| {} | {} | {} |",
                failure.contender,
                failure.what,
                one_line(&failure.reason)
            )?;
        }
        Ok(())
    }
}

/// The first two lines of a table.
pub(super) fn header(text: &mut String, first: &str, columns: &[String]) -> Result<()> {
    writeln!(text, "| {first} | {} |", columns.join(" | "))?;
    writeln!(text, "|{}", "---|".repeat(columns.len() + 1))?;
    Ok(())
}

/// Without what would end a table's cell.
fn one_line(reason: &str) -> String {
    reason.replace('\n', " ").replace('|', "/")
}

/// 12345.6 as 12,346.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
