use angzarr_benches::median;
use serde::Serialize;

/// One panel: what is measured, against what.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) x: &'static str,
    /// What is measured, with its unit.
    pub(crate) y: &'static str,
    /// Whether the vertical axis is logarithmic; the other always is.
    pub(crate) log: bool,
    pub(crate) lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// In the order of `x`.
    pub(crate) points: Vec<Point>,
}

/// What was measured at one place, once a round.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) samples: Vec<f64>,
}

impl Curve {
    pub(crate) fn new(
        title: &'static str,
        (x, y): (&'static str, &'static str),
        log: bool,
        lines: &[&'static str],
    ) -> Self {
        let line = |name: &&'static str| Line {
            name,
            points: Vec::new(),
        };
        Self {
            title,
            x,
            y,
            log,
            lines: lines.iter().map(line).collect(),
        }
    }

    /// Adds one value for each line.
    ///
    /// # Panics
    /// When there is another number of values.
    pub(crate) fn add(&mut self, x: u32, values: &[f64]) {
        assert_eq!(self.lines.len(), values.len(), "{}", self.title);
        let x = f64::from(x);
        for (line, value) in self.lines.iter_mut().zip(values) {
            match line.points.iter_mut().find(|point| point.x == x) {
                Some(point) => point.samples.push(*value),
                None => line.points.push(Point {
                    x,
                    samples: vec![*value],
                }),
            }
        }
    }
}

impl Point {
    pub(crate) fn median(&self) -> f64 {
        median::of(self.samples.clone())
    }
}
