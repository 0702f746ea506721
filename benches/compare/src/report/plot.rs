use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Report;
use crate::Result;
use crate::contender::Kind;
use crate::run::About;

const WIDTH: u32 = 1_180;
const HEIGHT: u32 = 620;

/// Width of the list of names beside each chart.
const NAMES: u32 = 380;

/// Height of a name in the list.
const NAME: i32 = 22;

/// Colours of what is not this project's; then they begin again with thinner lines.
const COLOURS: [RGBColor; 10] = [
    RGBColor(214, 39, 40),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(188, 160, 34),
    RGBColor(23, 190, 207),
    RGBColor(90, 90, 160),
    RGBColor(150, 60, 90),
];

const OURS: [RGBColor; 3] = [
    RGBColor(0, 60, 160),
    RGBColor(0, 120, 255),
    RGBColor(80, 170, 255),
];

const LIMITS: [RGBColor; 5] = [
    RGBColor(40, 40, 40),
    RGBColor(140, 140, 140),
    RGBColor(80, 80, 80),
    RGBColor(175, 175, 175),
    RGBColor(110, 110, 110),
];

/// A contender's line.
struct Curve<'a> {
    name: &'a str,
    style: ShapeStyle,
    points: Vec<(f64, f64)>,
}

impl Curve<'_> {
    fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, value)| *value)
    }
}

impl Report {
    /// Appends a second and p99 over the number of clients, both axes logarithmic.
    pub(super) fn plot(&self, path: &Path) -> Result<()> {
        if self.results.appends.is_empty() {
            return Ok(());
        }
        let root = SVGBackend::new(path, (WIDTH, 2 * HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let (upper, lower) = root.split_vertically(HEIGHT);
        self.chart(&upper, "appends a second", |id, clients| {
            self.rate(id, clients)
        })?;
        self.chart(&lower, "p99 in milliseconds", |id, clients| {
            self.p99(id, clients)
        })?;
        root.present()?;
        Ok(())
    }

    fn chart<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        what: &str,
        value: impl Fn(&str, u32) -> f64,
    ) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        let (left, right) = area.split_horizontally(WIDTH - NAMES);
        let mut curves = self.curves(value);
        curves.sort_by(|one, other| other.last().total_cmp(&one.last()));
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let lowest = points().fold(f64::INFINITY, |low, (_, y)| low.min(*y));
        let highest = points().fold(0.0, |high: f64, (_, y)| high.max(*y));
        let most = points().fold(1.0, |most: f64, (x, _)| most.max(*x));
        let mut chart = ChartBuilder::on(&left)
            .caption(format!("{what}, by clients"), ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(34)
            .y_label_area_size(70)
            .build_cartesian_2d(
                (0.9..most * 1.1).log_scale().with_key_points(
                    self.settings
                        .clients
                        .iter()
                        .map(|clients| f64::from(*clients))
                        .collect(),
                ),
                (lowest * 0.7..highest * 1.4).log_scale(),
            )
            .map_err(|error| error.to_string())?;
        chart
            .configure_mesh()
            .x_desc("clients")
            .x_label_formatter(&|clients| format!("{clients:.0}"))
            .y_label_formatter(&|value| label(*value))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|error| error.to_string())?;
        for (place, curve) in (0..).zip(&curves) {
            let dots = curve
                .points
                .iter()
                .map(|point| Circle::new(*point, 3, curve.style.color.filled()));
            chart.draw_series(dots).map_err(|error| error.to_string())?;
            let line = LineSeries::new(curve.points.iter().copied(), curve.style);
            chart.draw_series(line).map_err(|error| error.to_string())?;
            name(&right, place, curve).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn curves(&self, value: impl Fn(&str, u32) -> f64) -> Vec<Curve<'_>> {
        let mut seen = [0; 3];
        let mut curves = Vec::new();
        for contender in self.contenders() {
            let points = self.settings.clients.iter().map(|clients| {
                let value = value(contender.id, *clients);
                (f64::from(*clients), value)
            });
            let points: Vec<_> = points.filter(|(_, value)| *value > 0.0).collect();
            let style = style(contender, &mut seen);
            if !points.is_empty() {
                curves.push(Curve {
                    name: contender.name,
                    style,
                    points,
                });
            }
        }
        curves
    }
}

/// A colour of the contender's kind, the next one each time.
fn style(contender: &About, seen: &mut [usize; 3]) -> ShapeStyle {
    let [ours, limits, others] = seen;
    let (colours, seen, width): (&[RGBColor], _, _) = match contender.kind {
        Kind::Angzarr => (&OURS, ours, 4),
        Kind::Limit => (&LIMITS, limits, 1),
        Kind::Peer | Kind::Library => (&COLOURS, others, 2),
    };
    let colour = colours.iter().cycle().nth(*seen).unwrap_or(&BLACK);
    let again = *seen >= colours.len();
    *seen += 1;
    colour.stroke_width(if again { 1 } else { width })
}

/// A line of the list beside the chart, which is in the order of the lines' right ends.
fn name<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    place: i32,
    curve: &Curve,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let height = 50 + place * NAME;
    area.draw(&PathElement::new(
        vec![(4, height), (34, height)],
        curve.style,
    ))?;
    area.draw(&Circle::new((19, height), 3, curve.style.color.filled()))?;
    area.draw(&Text::new(
        curve.name.to_owned(),
        (42, height - 7),
        ("sans-serif", 14),
    ))
}

fn label(value: f64) -> String {
    if value >= 1_000.0 {
        format!("{:.0}k", value / 1_000.0)
    } else if value >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
