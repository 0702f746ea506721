//! Servers as processes of their own, ended by their id.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(120);

/// A server process; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start until it accepted a connection.
    pub start_time: Duration,
}

impl Server {
    /// Starts a command whose server will listen on `address` and waits until it does. What it
    /// prints goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen in time; the text names the log.
    pub fn start(mut command: Command, address: SocketAddr, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let failed = |what: String| io::Error::other(format!("{what}; see {}", log.display()));
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(failed(format!("the server ended with {status}")));
            }
            if started.elapsed() > START_MAX {
                child.kill()?;
                child.wait()?;
                return Err(failed(format!("nothing listens on {address}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self {
            child,
            address,
            start_time: started.elapsed(),
        })
    }

    /// Starts a server of this database on a free loopback address, with its data in `folder`
    /// and every setting at its default but those given as `key=value`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn angzarr(program: &Path, folder: &Path, settings: &[&str]) -> io::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program.canonicalize()?);
        command.args(["serve", "--listen", &address.to_string(), "--data"]);
        // The folder decides which configuration file counts: none.
        command.arg(folder.join("data")).current_dir(folder);
        for setting in settings {
            command.args(["--set", setting]);
        }
        Self::start(command, address, &folder.join("output"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its memory.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn memory(&self) -> io::Result<Memory> {
        Memory::of(self.pid())
    }

    /// Ends it as a power cut would, as far as a process can tell: SIGKILL.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Memory {
    /// What is in memory now, pages of files included.
    pub resident: u64,
    /// The part of it that is no file.
    pub anonymous: u64,
    /// The most that ever was resident.
    pub peak: u64,
}

impl Memory {
    /// Of a process.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn of(process: u32) -> io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        let missing = || io::Error::other("/proc does not tell resident memory");
        Ok(Self {
            resident: bytes("VmRSS:").ok_or_else(missing)?,
            anonymous: bytes("RssAnon:").ok_or_else(missing)?,
            peak: bytes("VmHWM:").ok_or_else(missing)?,
        })
    }
}

/// A loopback address on which nobody listens.
///
/// # Errors
/// When there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
