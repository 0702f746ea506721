use std::fmt::Write;
use std::fs;

use angzarr_benches::machine::Machine;
use serde::Serialize;

use crate::curve::{Curve, Point};
use crate::{Args, Result, plot};

/// Everything one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) curves: Vec<Curve>,
}

/// Shows curves as soon as they are measured.
pub(crate) fn print(curves: &[Curve]) -> Result<()> {
    let mut text = String::new();
    for curve in curves {
        table(&mut text, curve)?;
    }
    eprintln!("{text}");
    Ok(())
}

impl Report {
    /// Writes the Markdown, the JSON and the picture.
    pub(crate) fn write(&self, args: &Args) -> Result<()> {
        if let Some(folder) = args.out.parent() {
            fs::create_dir_all(folder)?;
        }
        let json = serde_json::to_string_pretty(self)?;
        fs::write(args.out.with_extension("json"), json + "\n")?;
        fs::write(args.out.with_extension("md"), self.markdown(args)?)?;
        plot::write(&self.curves, &args.out.with_extension("svg"))
    }

    fn markdown(&self, args: &Args) -> Result<String> {
        let mut text = String::new();
        writeln!(text, "# How cost grows\n")?;
        writeln!(
            text,
            "{}. Client and server share the cores.\n",
            self.machine
        )?;
        writeln!(
            text,
            "Each point on a fresh store, through gRPC, every append synced before its answer: {} \
             s measured after {} s of warm-up, medians of {} rounds, in brackets the least and the \
             most. Where a curve does not say otherwise: 64 clients, one append of one event of \
             256 bytes each under way, 10,000 aggregates with one event each before, expected \
             sequence checked.\n",
            args.seconds, args.warm_up, args.rounds
        )?;
        let picture = args.out.with_extension("svg");
        let picture = picture.file_name().and_then(|name| name.to_str());
        writeln!(text, "![the curves]({})\n", picture.unwrap_or_default())?;
        for curve in &self.curves {
            table(&mut text, curve)?;
        }
        Ok(text)
    }
}

fn table(text: &mut String, curve: &Curve) -> Result<()> {
    writeln!(text, "## {}\n", curve.title)?;
    write!(text, "| {} |", curve.x)?;
    for line in &curve.lines {
        write!(text, " {}: {} |", line.name, curve.y)?;
    }
    writeln!(text, "\n|{}", "---|".repeat(curve.lines.len() + 1))?;
    let Some(first) = curve.lines.first() else {
        return Ok(());
    };
    for (row, point) in first.points.iter().enumerate() {
        write!(text, "| {} |", point.x)?;
        for line in &curve.lines {
            match line.points.get(row) {
                Some(point) => write!(text, " {} |", value(point))?,
                None => write!(text, " |")?,
            }
        }
        writeln!(text)?;
    }
    writeln!(text)?;
    Ok(())
}

/// The median, and the range where there is one.
fn value(point: &Point) -> String {
    let short = |value: f64| {
        let digits = match value {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        format!("{value:.digits$}")
    };
    let least = point.samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = point.samples.iter().copied().fold(0.0, f64::max);
    if point.samples.len() < 2 {
        return short(point.median());
    }
    format!(
        "{} ({} to {})",
        short(point.median()),
        short(least),
        short(most)
    )
}
