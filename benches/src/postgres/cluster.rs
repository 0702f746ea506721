use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::free_address;

/// What differs from the defaults: memory enough to never read from disk, and no checkpoint
/// within a run. Durability is written out although it is the default.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
max_connections = 400
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 1GB
wal_buffers = 64MB
min_wal_size = 2GB
max_wal_size = 16GB
checkpoint_timeout = 30min
autovacuum = off
";

/// A database cluster in a folder of its own, reached over loopback like the servers it is
/// compared with.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<&'static str>,
    port: u16,
    pid: u32,
}

impl Cluster {
    /// Creates a cluster below `parent` and starts it. Run as root, the server gets the user
    /// `postgres`, because it refuses to be root.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the text says what to do.
    pub fn start(parent: &Path) -> io::Result<Self> {
        let folder = parent.join("postgres");
        fs::create_dir_all(&folder)?;
        let port = free_address()?.port();
        let user = is_root()?.then_some("postgres");
        let mut cluster = Self {
            folder,
            programs: programs()?,
            user,
            port,
            pid: 0,
        };
        if let Some(user) = user {
            run(Command::new("chown").arg(user).arg(&cluster.folder))?;
        }
        let data = cluster.folder.join("data");
        run(cluster
            .command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg("-D")
            .arg(&data))?;
        let settings = format!(
            "{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n",
            cluster.folder.display()
        );
        fs::write(data.join("postgresql.auto.conf"), settings)?;
        let log = cluster.folder.join("log");
        run(cluster
            .command("pg_ctl")
            .args(["start", "-w", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(log))?;
        cluster.pid = read_pid(&data)?;
        Ok(cluster)
    }

    /// How clients connect.
    #[must_use]
    pub fn connection(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname=postgres",
            self.port
        )
    }

    /// Processes of the server now: the postmaster and its children.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = vec![self.pid];
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if parent(pid) == Some(self.pid) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// `SELECT version()` without a connection.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn version(&self) -> io::Result<String> {
        let output = Command::new(self.programs.join("postgres"))
            .arg("--version")
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A program of the installation, run as the server's user.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
        };
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let stop = run(self
            .command("pg_ctl")
            .args(["stop", "-m", "immediate", "-D"])
            .arg(data));
        if let Err(error) = stop {
            eprintln!("PostgreSQL was left running: {error}");
        }
    }
}

/// Debian keeps the programs out of the path.
fn programs() -> io::Result<PathBuf> {
    let found = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<_> = found.map(|entry| entry.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found
        .pop()
        .ok_or_else(|| io::Error::other("PostgreSQL is not installed: apt-get install postgresql"))
}

fn is_root() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

fn read_pid(data: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid"))?;
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    pid.ok_or_else(|| io::Error::other("postmaster.pid names no process"))
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Not `output()`: a server started by the command would keep the pipe open.
    let status = output.stderr(Stdio::inherit()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?} ended with {status}")))
}
