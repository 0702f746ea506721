use std::path::{Path, PathBuf};

use angzarr_engine::{CutLog, Repair as Plan, plan_repair};
use clap::Args;
use serde_json::{Value, json};

use super::{Exit, Failure, offline, stats::size, target::root_bytes_text, verify::damage_json};
use crate::output::Output;

/// Aggregates that are shown; the report has them all.
const SHOWN: usize = 20;

/// Keep what can be kept of a damaged data folder, in a new one.
#[derive(Debug, Clone, Args)]
pub(super) struct Repair {
    /// The damaged data folder, which no server has open.
    source: PathBuf,
    /// The data folder to make.
    target: PathBuf,
    /// Lose what is behind the first damage. Without it nothing is written, and the command tells
    /// what would be lost.
    #[arg(long)]
    accept_loss: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let source = self.source.clone();
        let plan = offline::run(move |progress| plan_repair(&source, progress)).await?;
        let plan = plan.map_err(|error| offline::failure(&error))?;
        if plan.damage.is_empty() {
            if self.json {
                return Ok(output.json(&report(&plan))?);
            }
            let source = self.source.display();
            return Ok(output.line(format!(
                "the log of {source} needs no repair; {} is not written",
                self.target.display()
            ))?);
        }
        let report = report(&plan);
        if !self.accept_loss {
            if self.json {
                output.json(&report)?;
            } else {
                self.tell(output, &plan)?;
            }
            let problem = "nothing was written: what is behind the first damage would be lost";
            return Err(Failure::new(Exit::Failed, problem)
                .next("restore a backup if there is one; else repeat with --accept-loss"));
        }
        let (source, target) = (self.source.clone(), self.target.clone());
        let written = offline::run(move |progress| {
            let written = plan.write(&source, &target, progress);
            (plan, written)
        });
        let (plan, written) = written.await?;
        let log = written.map_err(|error| offline::failure(&error))?;
        note(&self.target, &report)?;
        if self.json {
            return Ok(output.json(&report)?);
        }
        self.tell(output, &plan)?;
        self.done(output, &log)
    }

    fn done(&self, output: &mut Output, log: &CutLog) -> Result<(), Failure> {
        let target = self.target.display();
        let position = log.position;
        output.line(format!(
            "{target} holds the store up to position {position}; {target}/lost has what was cut off, \
             and report.json which events that were"
        ))?;
        Ok(())
    }

    fn tell(&self, output: &mut Output, plan: &Plan) -> Result<(), Failure> {
        for damage in plan.damage.iter().take(SHOWN) {
            let (file, offset, problem) = (&damage.file, damage.offset, &damage.problem);
            output.line(format!("damaged  {file} at offset {offset}: {problem}"))?;
        }
        output.line(format!(
            "kept     everything up to position {}",
            plan.position
        ))?;
        output.line(format!(
            "lost     {} events of {} aggregates and {} other facts that can be read, and {} that \
             cannot",
            plan.lost_events,
            plan.lost.len(),
            plan.lost_facts,
            size(plan.unreadable_bytes),
        ))?;
        for (key, lost) in plan.lost.iter().take(SHOWN) {
            let root = root_bytes_text(key.root.as_bytes());
            let (domain, edition) = (&key.domain, &key.edition);
            output.line(format!(
                "         {domain} {root} {edition}: from sequence {} on, at least to {}",
                lost.first, lost.last
            ))?;
        }
        if let Some(more) = plan.lost.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            output.line(format!(
                "         and {more} more aggregates; --json has them all"
            ))?;
        }
        Ok(())
    }
}

fn report(plan: &Plan) -> Value {
    let damage: Vec<_> = plan.damage.iter().map(damage_json).collect();
    let lost = plan.lost.iter().map(|(key, lost)| {
        json!({
            "domain": key.domain.as_str(), "edition": key.edition.to_string(),
            "root": root_bytes_text(key.root.as_bytes()),
            "first_lost_sequence": lost.first.get(), "last_known_sequence": lost.last.get(),
        })
    });
    json!({
        "damage": damage, "cut_address": plan.cut.get(), "kept_position": plan.position.get(),
        "lost_events": plan.lost_events, "lost_facts": plan.lost_facts,
        "unreadable_bytes": plan.unreadable_bytes, "aggregates": lost.collect::<Vec<_>>(),
    })
}

fn note(target: &Path, report: &Value) -> Result<(), Failure> {
    let path = target.join("lost").join("report.json");
    let bytes = serde_json::to_vec_pretty(report).unwrap_or_default();
    std::fs::write(&path, bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("writing {}: {error}", path.display())))
}
