use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use angzarr_server::bench::load::{self, Plan};
use angzarr_server::bench::workload::Workload;
use serde::Serialize;

use super::append::{events, whole};
use crate::contender::{Contender, Driven, Field};
use crate::{Args, Result};

/// System calls that wait for the disk.
const CALLS: [&str; 4] = ["fsync", "fdatasync", "msync", "sync_file_range"];

/// Whether a contender syncs before it answers, as the kernel saw it.
#[derive(Debug, Serialize)]
pub(crate) struct Syncs {
    pub(crate) contender: &'static str,
    pub(crate) syncs: usize,
    pub(crate) appends: u64,
}

/// Traces the syncs of one client's appends. They are slower by it, and not measured.
pub(crate) async fn count(contender: &dyn Contender, field: &Field, args: &Args) -> Result<Syncs> {
    let folder = tempfile::tempdir_in(&field.scratch)?;
    let workload = Arc::new(Workload::fresh(args.aggregates, args.payload));
    let store = contender.start(field, folder.path()).await?;
    let clients = store.connect(1, &workload).await?;
    let mut server_pids = store.pids()?;
    if server_pids.is_empty() {
        server_pids.push(std::process::id());
    }
    let trace = Trace::start(&server_pids, folder.path())?;
    let plan = Plan {
        workload: Arc::clone(&workload),
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(args.trace_seconds),
        contended: false,
        server_pids,
    };
    let measured = load::run(&plan, clients.into_iter().map(Driven).collect()).await;
    let syncs = trace.stop()?;
    whole(&measured)?;
    Ok(Syncs {
        contender: contender.id(),
        syncs,
        appends: events(&workload, &measured.heads),
    })
}

/// A running strace.
struct Trace {
    strace: Child,
    output: PathBuf,
}

impl Trace {
    /// Attaches to the processes and returns when it sees all of them.
    fn start(pids: &[u32], folder: &Path) -> Result<Self> {
        let output = folder.join("strace");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={}", CALLS.join(","))]);
        command.arg("-o").arg(&output);
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        let mut strace = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let messages = strace.stderr.take().ok_or("strace without messages")?;
        let mut messages = BufReader::new(messages).lines();
        let mut attached = 0;
        while attached < pids.len() {
            let message = messages.next().ok_or("strace ended")??;
            if !message.contains("attached") {
                return Err(message.into());
            }
            attached += 1;
        }
        // What else it says must not block it.
        std::thread::spawn(move || messages.for_each(drop));
        Ok(Self { strace, output })
    }

    /// Detaches and counts.
    fn stop(mut self) -> Result<usize> {
        // SIGTERM, so that it lets go of the processes and writes out what it has.
        Command::new("kill")
            .arg(self.strace.id().to_string())
            .status()?;
        self.strace.wait()?;
        let calls = CALLS.map(|call| format!("{call}("));
        let began = |line: &&str| calls.iter().any(|call| line.contains(call));
        Ok(fs::read_to_string(&self.output)?
            .lines()
            .filter(began)
            .count())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It has ended already unless something failed.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
