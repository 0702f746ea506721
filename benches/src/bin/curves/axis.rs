//! An axis with its marks where they are wanted.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;

/// A linear axis.
pub(crate) struct Axis {
    range: RangedCoordf64,
    marks: Vec<f64>,
}

impl Axis {
    pub(crate) fn new(range: Range<f64>, marks: Vec<f64>) -> Self {
        Self {
            range: range.into(),
            marks,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        self.range.map(value, pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}
