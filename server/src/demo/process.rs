//! The server of the demo: the same binary, in a process of its own, so that it can be killed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::Trouble;

/// Longest wait for a server to say that it serves.
const START: Duration = Duration::from_secs(20);

/// A server in a process of its own.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Its process id.
    pub(super) pid: u32,
}

/// What a server is started with.
#[derive(Debug)]
pub(super) struct Setup {
    /// Folder for everything: data, socket, log.
    pub(super) folder: PathBuf,
    /// Addresses of the command handlers, by domain.
    pub(super) handlers: Vec<(&'static str, String)>,
}

impl Setup {
    /// Where the server listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("angzarr.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn aggregates(&self) -> String {
        let entry = |(domain, address): &(&str, String)| {
            format!("{{domain: {domain}, address: '{address}'}}")
        };
        format!(
            "[{}]",
            self.handlers
                .iter()
                .map(entry)
                .collect::<Vec<_>>()
                .join(", ")
        )
    }
}

impl Process {
    /// Starts a server and waits until it says that it serves.
    pub(super) async fn start(setup: &Setup) -> Result<Self, Trouble> {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(setup.log())
            .map_err(Trouble::io("open the server's log"))?;
        let mut command =
            Command::new(std::env::current_exe().map_err(Trouble::io("find angzarr"))?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANGZARR") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("serve")
            .arg("--data")
            .arg(setup.folder.join("data"))
            .arg("--listen")
            .arg(format!("unix:{}", setup.socket().display()))
            .arg("--set")
            .arg(format!("aggregates={}", setup.aggregates()))
            .current_dir(&setup.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(Trouble::io("start angzarr"))?;
        let pid = child.id().unwrap_or_default();
        let Some(stdout) = child.stdout.take() else {
            return Err(Trouble::wrong("the server has no standard output"));
        };
        // The server prints its first line once it serves; it prints nothing when it cannot.
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = timeout(START, lines.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(length)) if length > 0) {
            return Err(Trouble::wrong(format!(
                "the server did not start; it said: {}",
                last_words(&setup.log())
            )));
        }
        tokio::spawn(async move { while lines.read_line(&mut line).await.is_ok_and(|n| n > 0) {} });
        Ok(Self { child, pid })
    }

    /// Sends SIGTERM and waits for a clean end.
    pub(super) async fn stop(mut self) -> Result<(), Trouble> {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else {
            return Err(Trouble::wrong("the server has no process id"));
        };
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(|error| {
            Trouble::Io {
                what: "stop the server",
                error: error.into(),
            }
        })?;
        let ended = timeout(START, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Trouble::wrong(format!("the server stopped with {status}"))),
            Ok(Err(error)) => Err(Trouble::Io {
                what: "wait for the server",
                error,
            }),
            Err(_) => Err(Trouble::wrong(
                "the server did not stop when it was asked to",
            )),
        }
    }

    /// Sends SIGKILL, which nobody can catch, and waits for the end.
    pub(super) async fn kill(mut self) -> Result<(), Trouble> {
        use std::os::unix::process::ExitStatusExt;
        self.child
            .start_kill()
            .map_err(Trouble::io("kill the server"))?;
        let status = self
            .child
            .wait()
            .await
            .map_err(Trouble::io("wait for the server"))?;
        match status.signal() {
            Some(9) => Ok(()),
            _ => Err(Trouble::wrong(format!(
                "the server ended by itself: {status}"
            ))),
        }
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .rev()
        .take(3)
        .rev()
        .copied()
        .collect::<Vec<_>>()
        .join(" | ")
}
