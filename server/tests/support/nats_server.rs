//! A NATS server with JetStream on a port of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Names the binary; the makefile sets it. Without it, one in the search path will do.
const VARIABLE: &str = "NATS_SERVER";

/// A process, killed when dropped. Its folder and port outlive it.
pub(crate) struct NatsServer {
    child: Child,
    place: Place,
}

/// Where a server is, or will be.
#[derive(Clone)]
pub(crate) struct Place {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Place {
    /// `None`, said aloud, where no server is installed.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let program = std::env::var_os(VARIABLE).map_or("nats-server".into(), PathBuf::from);
        let asked = Command::new(&program).arg("--version").output();
        if asked.is_err() {
            eprintln!("SKIPPED: there is no nats-server here (make tools-servers installs it)");
            return None;
        }
        // Nobody listens until the server does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        Some(Self {
            program,
            folder: folder.join("nats"),
            port,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, and returns when it takes connections.
    pub(crate) fn start(&self) -> NatsServer {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, arguments: &[&str]) -> NatsServer {
        let mut child = Command::new(&self.program)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .arg("-js")
            .arg("-sd")
            .arg(&self.folder)
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("no server: {told}"));
            told.push_str(&line.unwrap());
            told.push('\n');
            if told.contains("Server is ready") {
                break;
            }
        }
        // It must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        NatsServer {
            child,
            place: self.clone(),
        }
    }
}

impl NatsServer {
    /// SIGKILL; it can be started again.
    pub(crate) fn kill(self) -> Place {
        self.place.clone()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
