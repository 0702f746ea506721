//! Processor time, so that a saturated client is not taken for a slow server.

use std::time::Duration;

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time this process has used, its threads included. Zero where there is no `/proc`.
#[must_use]
pub fn own() -> Duration {
    read("self").unwrap_or_default()
}

/// Processor time these processes have used, children they waited for included.
#[must_use]
pub fn of(pids: &[u32]) -> Duration {
    pids.iter().filter_map(|pid| read(&pid.to_string())).sum()
}

/// The kernel tells it twice: in ticks, which hide what a process has used of its current one,
/// and in nanoseconds, which leave out threads that ended. Neither is ever too much.
fn read(pid: &str) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(parse(&stat)?.max(scheduled(pid).unwrap_or_default()))
}

/// Adds what the threads of a process have run.
fn scheduled(pid: &str) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let run = threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(run.sum()))
}

/// Adds utime, stime, cutime and cstime: fields 14 to 17. The name, field 2, may hold blanks.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
    let mut ticks = 0;
    for _ in 0..4 {
        ticks += fields.next()?.ok()?;
    }
    Some(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests;
