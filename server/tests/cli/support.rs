//! Starting the binary, and looking at how it ends.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// An aggregate of the tests.
pub(crate) const ROOT: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output of a command that must have ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a command that must have ended with this code and no result.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}

/// The binary with a clean environment, in a folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_angzarr"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANGZARR") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the binary in a folder to its end.
pub(crate) fn angzarr(folder: &Path, arguments: &[&str]) -> Ended {
    Ended::of(command(folder).args(arguments).output().unwrap())
}

/// A server in a process of its own, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    folder: std::path::PathBuf,
}

impl Server {
    /// A server on `folder/data` and a free port.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        let mut serve = command(folder);
        serve.arg("serve").args(arguments);
        Self::spawn(serve, folder)
    }

    /// A server whose files cannot grow beyond this many KiB: to it, the disk is full there.
    pub(crate) fn start_on_small_disk(folder: &Path, kib: u32, arguments: &[&str]) -> Self {
        // The signal would end the process before it sees the error.
        Self::start_limited(folder, &format!("trap '' XFSZ; ulimit -f {kib}"), arguments)
    }

    /// A server that may have this many files and connections open.
    pub(crate) fn start_with_descriptors(folder: &Path, count: u32, arguments: &[&str]) -> Self {
        Self::start_limited(folder, &format!("ulimit -n {count}"), arguments)
    }

    fn start_limited(folder: &Path, limit: &str, arguments: &[&str]) -> Self {
        let mut shell = Command::new("bash");
        let limited = format!("{limit}; exec \"$@\"");
        shell.args(["-c", &limited, "bash", env!("CARGO_BIN_EXE_angzarr")]);
        shell.arg("serve").args(arguments);
        shell.current_dir(folder).stdin(Stdio::null());
        Self::spawn(shell, folder)
    }

    fn spawn(mut serve: Command, folder: &Path) -> Self {
        let mut child = serve
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some((_, url)) = line.trim_end().split_once(" serves on ") else {
            let mut errors = String::new();
            child
                .stderr
                .as_mut()
                .unwrap()
                .read_to_string(&mut errors)
                .unwrap();
            panic!("the server did not start: {line}{errors}");
        };
        let url = url.split(" and ").next().unwrap().to_owned();
        Self {
            child,
            url,
            folder: folder.to_path_buf(),
        }
    }

    /// Runs a tool against this server to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        Ended::of(command.output().unwrap())
    }

    /// Stores a little of everything: correlated events, a pending one, a branch of its own.
    pub(crate) fn fill(&self) {
        let run = |arguments: &[&str]| {
            self.run(arguments).ok();
        };
        for text in ["one", "two", "three"] {
            run(&[
                "append",
                "order",
                ROOT,
                "--data",
                text,
                "--correlation",
                "c-1",
            ]);
        }
        run(&[
            "append",
            "stock",
            ROOT,
            "--data",
            "maybe",
            "--cascade",
            "k-1",
        ]);
        run(&["fork", "what-if", "order=2"]);
        run(&[
            "append",
            "order",
            ROOT,
            "--data",
            "instead",
            "--edition",
            "what-if",
        ]);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.folder);
        command.env("ANGZARR_TARGET", &self.url).args(arguments);
        command
    }

    /// Memory that the server occupies, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
