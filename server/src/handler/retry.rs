use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How often and how patiently a call to business code is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Calls in all, the first included.
    pub attempts: u32,
    /// Pause before the second call.
    pub min: Duration,
    /// Longest pause between two calls.
    pub max: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 10,
            min: Duration::from_millis(10),
            max: Duration::from_secs(2),
        }
    }
}

impl Retries {
    /// Pauses between the calls: doubling, with jitter, one fewer than the attempts.
    pub fn delays(self) -> impl Iterator<Item = Duration> + Send {
        let pauses = self.attempts.saturating_sub(1);
        ExponentialBuilder::new()
            .with_min_delay(self.min)
            .with_max_delay(self.max)
            .with_max_times(usize::try_from(pauses).unwrap_or(usize::MAX))
            .with_jitter()
            .build()
    }
}

#[cfg(test)]
mod tests;
