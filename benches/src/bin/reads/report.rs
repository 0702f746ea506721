use std::fmt::Write;
use std::fs;

use angzarr_benches::machine::Machine;
use angzarr_benches::median;
use serde::Serialize;

use crate::goal::Ratio;
use crate::{Args, Result};

/// One kind of work.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) title: String,
    /// How it was measured, and what else was seen.
    pub(crate) notes: Vec<String>,
    pub(crate) ratios: Vec<Ratio>,
}

/// Everything one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) parts: Vec<Part>,
}

/// Shows a part as soon as it is measured.
pub(crate) fn print(part: &Part) -> Result<()> {
    let mut text = String::new();
    section(&mut text, part)?;
    eprintln!("{text}");
    Ok(())
}

impl Report {
    /// Writes the Markdown and the JSON.
    pub(crate) fn write(&self, args: &Args) -> Result<()> {
        if let Some(folder) = args.out.parent() {
            fs::create_dir_all(folder)?;
        }
        let json = serde_json::to_string_pretty(self)?;
        fs::write(args.out.with_extension("json"), json + "\n")?;
        let markdown = self.markdown(args)?;
        fs::write(args.out.with_extension("md"), &markdown)?;
        Ok(())
    }

    fn markdown(&self, args: &Args) -> Result<String> {
        let mut text = String::new();
        writeln!(
            text,
            "# Reading, and work beside appends, against their limits\n"
        )?;
        writeln!(
            text,
            "{}. Client and server share the cores. Both sides of a ratio in turn, round by round: \
             {} rounds of {} s each for rates, {} rounds for what takes milliseconds; values are \
             medians, the ratio is that of the medians, in brackets the least and the most of a \
             round. Payloads of 256 bytes.\n",
            self.machine, args.rounds, args.seconds, args.replays
        )?;
        let all: Vec<_> = self.parts.iter().flat_map(|part| &part.ratios).collect();
        let with_goal = all.iter().filter_map(|ratio| ratio.is_met());
        let (met, missed): (Vec<_>, Vec<_>) = with_goal.partition(|met| *met);
        writeln!(
            text,
            "Goals met: {}, missed: {}.\n",
            met.len(),
            missed.len()
        )?;
        for part in &self.parts {
            section(&mut text, part)?;
        }
        writeln!(
            text,
            "Replay from rewritten segments against unsealed ones: see [sealing.md](sealing.md)."
        )?;
        Ok(text)
    }
}

fn section(text: &mut String, part: &Part) -> Result<()> {
    writeln!(text, "## {}\n", part.title)?;
    writeln!(
        text,
        "| what | value | against | its value | ratio | goal | met |\n|---|---|---|---|---|---|---|"
    )?;
    for ratio in &part.ratios {
        let (least, most) = ratio.range();
        let goal = ratio.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let met = match ratio.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | **{:.2}** ({least:.2} to {most:.2}) | {goal} | {met} |",
            ratio.what,
            value(&ratio.values, ratio.unit),
            ratio.against,
            value(&ratio.limits, ratio.unit),
            ratio.ratio(),
        )?;
    }
    writeln!(text)?;
    for note in &part.notes {
        writeln!(text, "{note}\n")?;
    }
    Ok(())
}

fn value(samples: &[f64], unit: &str) -> String {
    let median = median::of(samples.to_vec());
    let digits = if median < 100.0 { 2 } else { 0 };
    format!("{median:.digits$} {unit}")
}
