//! Addresses to serve on.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

const UNIX: &str = "unix:";

/// A bound address on which the server answers.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket and its path, which is removed when serving ends.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds `host:port` (port 0: any free one) or `unix:/path`.
    ///
    /// The socket file of a server that died is replaced; that of a living one is not.
    ///
    /// # Errors
    /// Those of binding. A text that is no address fails as [`io::ErrorKind::InvalidInput`].
    pub async fn bind(address: &str) -> io::Result<Self> {
        let Some(path) = address.strip_prefix(UNIX) else {
            return Ok(Self::Tcp(TcpListener::bind(address).await?));
        };
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        bind_unix_remove_stale(&path).await?;
        Ok(Self::Unix(UnixListener::bind(&path)?, path))
    }

    /// The address a client on this machine connects to: `http://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// When the operating system does not know the port, which it does after a bind.
    pub fn url(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("http://{}", listener.local_addr()?)),
            Self::Unix(_, path) => Ok(format!("{UNIX}{}", path.display())),
        }
    }
}

async fn bind_unix_remove_stale(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "another server answers on {}: stop it or choose another path",
                path.display()
            ),
        )),
        // Nobody listens on a socket that exists. Any other file refuses in the same way, and
        // must not be removed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            if std::fs::symlink_metadata(path)?.file_type().is_socket() {
                std::fs::remove_file(path)?;
            }
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
