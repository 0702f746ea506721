//! Programs that print their version, and servers that are one process.

use std::path::Path;
use std::process::Command;

use angzarr_benches::child::{Server, free_address};

use crate::Result;

/// The first line that a program prints when asked for its version.
pub(crate) fn version(program: &Path, flag: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(flag)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default().trim();
    if !output.status.success() || line.is_empty() {
        return Err(format!("{} {flag} says nothing", program.display()).into());
    }
    Ok(line.to_owned())
}

/// Starts a program on a free loopback address; `arguments` gets the address.
pub(crate) fn serve(
    program: &Path,
    folder: &Path,
    arguments: impl FnOnce(&mut Command, std::net::SocketAddr),
) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program);
    command.current_dir(folder);
    arguments(&mut command, address);
    Ok(Server::start(command, address, &folder.join("output"))?)
}
