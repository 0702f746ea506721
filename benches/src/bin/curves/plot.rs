//! One panel for each curve, two side by side.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Result;
use crate::axis::Axis;
use crate::curve::{Curve, Line};

/// Pixels of a panel, and of what stands above its axes.
const PANEL: (u32, u32) = (560, 330);
const HEADER: u32 = 52;
const COLUMNS: usize = 2;
const COLOURS: [RGBColor; 5] = [
    RGBColor(0x1f, 0x5f, 0xbf),
    RGBColor(0xc0, 0x3a, 0x2b),
    RGBColor(0x2e, 0x8b, 0x57),
    RGBColor(0x8a, 0x5a, 0xb0),
    RGBColor(0xd0, 0x8a, 0x1d),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn write(curves: &[Curve], path: &Path) -> Result<()> {
    let rows = curves.len().div_ceil(COLUMNS).max(1);
    let size = (
        PANEL.0 * u32::try_from(COLUMNS)?,
        PANEL.1 * u32::try_from(rows)?,
    );
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, curve) in root.split_evenly((rows, COLUMNS)).iter().zip(curves) {
        let (header, chart) = area.split_vertically(HEADER);
        head(&header, curve)?;
        panel(&chart, curve)?;
    }
    root.present()?;
    Ok(())
}

/// The title, and below it what each colour stands for.
fn head(area: &Area<'_>, curve: &Curve) -> Result<()> {
    let title = ("sans-serif", 17).into_font().color(&BLACK);
    area.draw(&Text::new(curve.title, (70, 12), title))?;
    let small = ("sans-serif", 12).into_font().color(&BLACK);
    let mut x = 70;
    for (line, colour) in curve.lines.iter().zip(COLOURS) {
        let stroke = [(x, 43), (x + 18, 43)];
        area.draw(&PathElement::new(stroke, colour.stroke_width(3)))?;
        area.draw(&Text::new(line.name, (x + 23, 37), small.clone()))?;
        // A letter is at most so wide on average.
        x += 23 + i32::try_from(line.name.len())? * 7 + 12;
    }
    Ok(())
}

fn panel(area: &Area<'_>, curve: &Curve) -> Result<()> {
    let places: Vec<f64> = points(curve).map(|(x, _)| x).collect();
    let values: Vec<f64> = points(curve).map(|(_, y)| y).collect();
    let (left, right) = range(&places).ok_or("a curve has no points")?;
    let (least, most) = range(&values).ok_or("a curve has no points")?;
    let scale = Scale { log: curve.log };
    let marks = scale.marks(least, most);
    let low = marks.first().copied().unwrap_or(0.0);
    let high = marks.last().copied().unwrap_or(1.0);
    let (left, right) = (left.log10(), right.log10());
    // A little air, so that no point lies on the frame.
    let air = ((right - left) * 0.04).max(0.04);
    let x = Axis::new((left - air)..(right + air), ticks(curve));
    let y = Axis::new(low..high, marks);
    let mut chart = ChartBuilder::on(area)
        .margin_left(10)
        .margin_right(18)
        .margin_bottom(8)
        .margin_top(4)
        .x_label_area_size(38)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(curve.x)
        .y_desc(curve.y)
        .axis_desc_style(("sans-serif", 12))
        .label_style(("sans-serif", 12))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_label_formatter(&|x| number(10_f64.powf(*x)))
        .y_label_formatter(&|y| number(scale.value(*y)))
        .draw()?;
    for (line, colour) in curve.lines.iter().zip(COLOURS) {
        let middle = line
            .points
            .iter()
            .map(|point| (point.x.log10(), scale.place(point.median())));
        chart.draw_series(LineSeries::new(middle, colour.stroke_width(2)))?;
        let every = samples(line).map(|(x, y)| (x.log10(), scale.place(y)));
        chart.draw_series(every.map(|place| Circle::new(place, 2, colour.filled())))?;
    }
    Ok(())
}

fn points(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    curve.lines.iter().flat_map(samples)
}

fn samples(line: &Line) -> impl Iterator<Item = (f64, f64)> {
    let of = |point: &crate::curve::Point| {
        let x = point.x;
        let samples = point.samples.clone();
        samples.into_iter().map(move |y| (x, y))
    };
    line.points.iter().flat_map(of)
}

/// Where something was measured.
fn ticks(curve: &Curve) -> Vec<f64> {
    let first = curve.lines.first();
    let points = first.into_iter().flat_map(|line| &line.points);
    points.map(|point| point.x.log10()).collect()
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some((least, most))
}

/// The vertical axis: values, or their logarithms from a hundredth on.
#[derive(Clone, Copy)]
struct Scale {
    log: bool,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        if self.log {
            value.max(0.01).log10()
        } else {
            value
        }
    }

    fn value(self, place: f64) -> f64 {
        if self.log { 10_f64.powf(place) } else { place }
    }

    /// Round places from below the least value to above the most.
    fn marks(self, least: f64, most: f64) -> Vec<f64> {
        if !self.log {
            let step = step(most / 4.0);
            return (0..=8)
                .map(|n| f64::from(n) * step)
                .take_while(|mark| *mark < most * 1.05 + step)
                .collect();
        }
        let (low, high) = (self.place(least), self.place(most));
        // Every 1, 2 and 5 where there is room, else powers of ten.
        let within: &[f64] = if high - low < 2.2 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let mut all = Vec::new();
        for power in -3..10 {
            all.extend(within.iter().map(|digit| f64::from(power) + digit.log10()));
        }
        let below = all.iter().rposition(|mark| *mark <= low).unwrap_or(0);
        let above = all
            .iter()
            .position(|mark| *mark >= high && *mark > low)
            .unwrap_or(all.len().saturating_sub(1));
        all.get(below..=above).unwrap_or_default().to_vec()
    }
}

/// The least of 1, 2, 5, 10 and so on that is no smaller.
fn step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= wanted)
        .unwrap_or(10.0 * power)
}

/// Short enough for an axis.
fn number(value: f64) -> String {
    let whole = value.round();
    if (value - whole).abs() < 1e-6 && whole < 1e5 && whole % 1e3 != 0.0 {
        return format!("{whole}");
    }
    let (value, unit) = match value {
        value if value >= 0.9999e6 => (value / 1e6, "M"),
        value if value >= 0.9999e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = if value >= 99.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    text + unit
}

#[cfg(test)]
mod tests;
