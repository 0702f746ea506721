//! Rounds: each contender in turn, again and again, so that whatever else the machine does hits
//! all of them alike.

mod append;
mod read;
mod syncs;

use std::time::Duration;

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::append::Sample;
pub(crate) use self::read::ReadSample;
pub(crate) use self::syncs::Syncs;
use crate::contender::{Contender, Field, Kind};
use crate::{Args, Result, peers};

/// How long one measurement may take beyond its seconds, with starting, filling and checking.
const SLACK: Duration = Duration::from_secs(180);

/// Everything one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) contenders: Vec<About>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) appends: Vec<Sample>,
    pub(crate) reads: Vec<ReadSample>,
    pub(crate) syncs: Vec<Syncs>,
}

/// A contender that took part.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) version: String,
    pub(crate) settings: &'static str,
    /// It stands in the tables of appends.
    pub(crate) stores: bool,
}

/// A contender that did not.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) name: &'static str,
    pub(crate) reason: String,
}

/// A measurement that gave no figures.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) contender: &'static str,
    pub(crate) what: String,
    pub(crate) reason: String,
}

/// Runs all rounds.
pub(crate) fn run(args: &Args, field: &Field) -> Result<Results> {
    let mut results = Results {
        contenders: Vec::new(),
        skipped: Vec::new(),
        failures: Vec::new(),
        appends: Vec::new(),
        reads: Vec::new(),
        syncs: Vec::new(),
    };
    let contenders = chosen(args, field, &mut results)?;
    if args.trace_seconds > 0 {
        for contender in contenders.iter().filter(|one| one.stores()) {
            results.trace(&**contender, field, args)?;
        }
    }
    for round in 1..=args.rounds {
        for clients in &args.clients {
            for contender in contenders.iter().filter(|one| one.stores()) {
                results.append(&**contender, field, args, *clients, round)?;
            }
        }
    }
    if args.read_aggregates > 0 {
        for round in 1..=args.rounds {
            for contender in contenders.iter().filter(|one| one.serves_reads()) {
                results.read(&**contender, field, args, round)?;
            }
        }
    }
    Ok(results)
}

/// Those that were asked for and can run here.
fn chosen(args: &Args, field: &Field, results: &mut Results) -> Result<Vec<Box<dyn Contender>>> {
    let mut contenders = peers::all();
    let known: Vec<_> = contenders.iter().map(|one| one.id()).collect();
    if let Some(unknown) = args.only.iter().find(|id| !known.contains(&id.as_str())) {
        return Err(format!("--only {unknown} names none of {}", known.join(", ")).into());
    }
    contenders.retain(|one| args.only.is_empty() || args.only.iter().any(|id| id == one.id()));
    contenders.retain(|one| match one.version(field) {
        Ok(version) => {
            results.contenders.push(About {
                id: one.id(),
                name: one.name(),
                kind: one.kind(),
                version,
                settings: one.settings(),
                stores: one.stores(),
            });
            true
        }
        Err(error) => {
            eprintln!("{} is skipped: {error}", one.name());
            results.skipped.push(Skipped {
                name: one.name(),
                reason: error.to_string(),
            });
            false
        }
    });
    Ok(contenders)
}

impl Results {
    fn append(
        &mut self,
        contender: &dyn Contender,
        field: &Field,
        args: &Args,
        clients: u32,
        round: u32,
    ) -> Result<()> {
        // Clients that block need a thread each, and the clock one more.
        let threads = contender.blocks().then_some(clients as usize + 2);
        let sample = on_a_runtime(threads, args, |timeout| async move {
            let measured = append::measure(contender, field, args, clients, round);
            tokio::time::timeout(timeout, measured).await?
        })?;
        match sample {
            Ok(sample) => {
                sample.print();
                self.appends.push(sample);
            }
            Err(error) => self.fail(contender, format!("{clients} clients"), &error),
        }
        Ok(())
    }

    fn read(
        &mut self,
        contender: &dyn Contender,
        field: &Field,
        args: &Args,
        round: u32,
    ) -> Result<()> {
        let samples = on_a_runtime(None, args, |timeout| async move {
            let measured = read::measure(contender, field, args, round);
            tokio::time::timeout(timeout, measured).await?
        })?;
        match samples {
            Ok(samples) => {
                samples.iter().for_each(ReadSample::print);
                self.reads.extend(samples);
            }
            Err(error) => self.fail(contender, "reading".to_owned(), &error),
        }
        Ok(())
    }

    /// Nothing is missing from the tables without it: it is no failure when there is no strace.
    fn trace(&mut self, contender: &dyn Contender, field: &Field, args: &Args) -> Result<()> {
        let counted = on_a_runtime(None, args, |timeout| async move {
            tokio::time::timeout(timeout, syncs::count(contender, field, args)).await?
        })?;
        match counted {
            Ok(syncs) => {
                eprintln!(
                    "{} syncs for {} appends  {}",
                    syncs.syncs, syncs.appends, syncs.contender
                );
                self.syncs.push(syncs);
            }
            Err(error) => eprintln!("{} is not traced: {error}", contender.name()),
        }
        Ok(())
    }

    fn fail(&mut self, contender: &dyn Contender, what: String, error: &crate::Error) {
        eprintln!("{} failed with {what}: {error}", contender.name());
        self.failures.push(Failure {
            contender: contender.id(),
            what,
            reason: error.to_string(),
        });
    }
}

/// Each measurement has a runtime of its own: nothing of the one before it still runs.
fn on_a_runtime<T, F: Future<Output = Result<T>>>(
    threads: Option<usize>,
    args: &Args,
    measure: impl FnOnce(Duration) -> F,
) -> Result<Result<T>> {
    let runtime: Runtime = match threads {
        Some(threads) => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?,
        None => Runtime::new()?,
    };
    let timeout = Duration::from_secs(args.warm_up + args.seconds) + SLACK;
    let measured = runtime.block_on(measure(timeout));
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(measured)
}
