use angzarr_benches::median;
use serde::Serialize;

/// What a ratio is to be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// One thing beside what it is held against, measured in turn.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) against: String,
    pub(crate) unit: &'static str,
    /// Once a round.
    pub(crate) values: Vec<f64>,
    /// Of what it is held against, in the same rounds.
    pub(crate) limits: Vec<f64>,
    pub(crate) goal: Option<Goal>,
}

impl Ratio {
    pub(crate) fn new(what: &str, against: &str, unit: &'static str, goal: Option<Goal>) -> Self {
        Self {
            what: what.to_owned(),
            against: against.to_owned(),
            unit,
            values: Vec::new(),
            limits: Vec::new(),
            goal,
        }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, value: f64, limit: f64) {
        self.values.push(value);
        self.limits.push(limit);
    }

    /// Of the medians.
    pub(crate) fn ratio(&self) -> f64 {
        median::of(self.values.clone()) / median::of(self.limits.clone())
    }

    /// The least and the most of any round.
    pub(crate) fn range(&self) -> (f64, f64) {
        let rounds = self.values.iter().zip(&self.limits);
        rounds.fold((f64::INFINITY, 0.0), |(least, most), (value, limit)| {
            let ratio = value / limit;
            (f64::min(least, ratio), f64::max(most, ratio))
        })
    }

    /// Whether the goal is met; none when there is no goal.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met(self.ratio()))
    }
}

#[cfg(test)]
mod tests;
