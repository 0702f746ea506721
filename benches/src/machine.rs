//! The machine a report was made on.

use std::fs;
use std::io;

use serde::Serialize;

/// Where and when a report was made.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// As the kernel names it.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory, all of it.
    pub memory_gib: f64,
    /// Release of the kernel.
    pub kernel: String,
    /// Of the minute before the run: what else was going on.
    pub load_before: f64,
}

impl Machine {
    /// Looks now.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn observe() -> io::Result<Self> {
        let processor = field("/proc/cpuinfo", "model name")?;
        let memory = field("/proc/meminfo", "MemTotal")?;
        let kib: f64 = number(memory.trim_end_matches(" kB"))?;
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            load_before: number(load.split(' ').next().unwrap_or_default())?,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {} cores, {:.0} GiB, Linux {}; load before the run {}",
            self.processor, self.cores, self.memory_gib, self.kernel, self.load_before
        )
    }
}

fn number(text: &str) -> io::Result<f64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text} is not a number")))
}

fn field(file: &str, name: &str) -> io::Result<String> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    Ok(value
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned())
}
