//! The report as a table and as three curves.

use std::path::Path;

use plotters::prelude::*;

use super::{Order, PARTS, Part, Report, Result};

/// A name and what it is of a part.
type Curve = (&'static str, fn(&Part) -> f64);

impl Report {
    pub(super) fn markdown(&self) -> String {
        let per_event = |bytes: u64| bytes as f64 / f64::from(self.events);
        let mut text = format!(
            "# Scale\n\n{} aggregates, {} events of {:.0} bytes, {} in each append, {} appends \
             under way, synced before each answer; the process is killed after each tenth. {}\n\n\
             | tenth | events a second | resident MiB | of it anonymous | opened in s | commits replayed | log MiB | on disk MiB | rewritten | waiting |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
            self.aggregates,
            self.events,
            self.payload_bytes_per_event,
            self.batch,
            self.clients,
            match self.order {
                Order::Growing =>
                    "New aggregates come evenly over the whole time, the other events go to random ones of those there are.",
                Order::Rounds =>
                    "Every aggregate gets its next event before any gets the one after.",
            }
        );
        for (n, part) in self.parts.iter().enumerate() {
            text += &format!(
                "| {} | {:.0} | {} | {} | {:.2} | {} | {} | {} | {} | {} |\n",
                n + 1,
                f64::from(part.events) / part.seconds,
                part.resident >> 20,
                part.anonymous >> 20,
                part.open_seconds,
                part.replayed_commits,
                part.log_bytes >> 20,
                part.disk_bytes >> 20,
                part.sealed,
                part.waiting,
            );
        }
        let reads = &self.reads;
        text += &format!(
            "\nOpened at full size in {:.2} s. Rewriting what was still waiting took {:.0} s.\n\n\
             | load of a random aggregate ({} events on average) | p50 us | p99 us |\n|---|---|---|\n\
             | after dropping the page cache | {:.0} | {:.0} |\n| the same ones again | {:.0} | {:.0} |\n\n\
             | bytes of an event | |\n|---|---|\n| payload | {:.1} |\n| payload under zstd -3, one stream | {:.1} |\n\
             | log as written | {:.1} |\n| log on disk | {:.1} |\n| index | {:.1} |\n",
            reads.open_seconds,
            reads.seal_seconds,
            self.events / self.aggregates,
            reads.cold_p50_us,
            reads.cold_p99_us,
            reads.load_p50_us,
            reads.load_p99_us,
            self.payload_bytes_per_event,
            self.zstd_bytes_per_event,
            per_event(reads.log_bytes),
            per_event(reads.disk_bytes),
            per_event(self.index_bytes),
        );
        text
    }

    /// Three curves over the store's size.
    pub(super) fn plot(&self, path: &Path) -> Result<()> {
        let root = SVGBackend::new(path, (900, 840)).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((3, 1));
        let curves: [Curve; 3] = [
            ("events a second", |part| {
                f64::from(part.events) / part.seconds
            }),
            ("resident memory, MiB", |part| (part.resident >> 20) as f64),
            ("seconds to open after SIGKILL", |part| part.open_seconds),
        ];
        let millions = f64::from(self.events) / 1e6;
        for (area, (name, value)) in areas.iter().zip(curves) {
            let values: Vec<f64> = self.parts.iter().map(value).collect();
            let top = values.iter().copied().fold(0.0, f64::max) * 1.2;
            let mut chart = ChartBuilder::on(area)
                .caption(name, ("sans-serif", 18))
                .margin(12)
                .x_label_area_size(28)
                .y_label_area_size(64)
                .build_cartesian_2d(0.0..millions, 0.0..top)?;
            chart
                .configure_mesh()
                .x_desc("million events")
                .light_line_style(TRANSPARENT)
                .draw()?;
            let tenth = millions / f64::from(PARTS);
            let points = values
                .iter()
                .enumerate()
                .map(|(n, value)| ((n as f64 + 1.0) * tenth, *value));
            chart.draw_series(LineSeries::new(points.clone(), BLUE.stroke_width(2)))?;
            chart.draw_series(points.map(|point| Circle::new(point, 3, BLUE.filled())))?;
        }
        root.present()?;
        Ok(())
    }
}
