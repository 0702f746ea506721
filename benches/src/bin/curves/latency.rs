//! One call after the other, each timed.

use std::future::Future;
use std::time::Instant;

use angzarr_benches::median;

use crate::Result;

/// The median time of `count` calls, in microseconds.
pub(crate) async fn of<F>(count: u32, mut call: impl FnMut(u32) -> F) -> Result<f64>
where
    F: Future<Output = Result<()>>,
{
    let mut times = Vec::new();
    for number in 0..count {
        let started = Instant::now();
        call(number).await?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median::of(times))
}
