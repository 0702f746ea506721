//! The middle of some measurements.

/// The median; not a number when there is no value.
#[must_use]
pub fn of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (
        values.len() % 2,
        values.get(middle.wrapping_sub(1)),
        values.get(middle),
    ) {
        (0, Some(low), Some(high)) => f64::midpoint(*low, *high),
        (_, _, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}
