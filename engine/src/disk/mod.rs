//! The whole contact of the log with the file system.

mod os;
#[cfg(test)]
pub(crate) mod sim;

use std::io;
use std::sync::Arc;

pub(crate) use os::LockFile;
pub use os::OsDisk;

/// A folder for the log's files.
///
/// What a method did survives a power failure only after the sync that its documentation names.
pub trait Disk: Send + Sync + 'static {
    /// Names of the files in the folder, in no particular order.
    ///
    /// # Errors
    /// What the system reports.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the system reports; `NotFound` for a file that is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates an empty file, replacing what has its name. Its name is durable after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// What the system reports.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what has it. Durable after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// What the system reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// What the system reports.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// What the system reports.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes and returns how many there were; fewer only at the end.
    ///
    /// # Errors
    /// What the system reports.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it, extending the file as needed. Durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the system reports; some of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error nothing is known about what was written
    /// since the last success, and a second call may wrongly succeed.
    ///
    /// # Errors
    /// What the system reports.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    ///
    /// # Errors
    /// What the system reports.
    fn size(&self) -> io::Result<u64>;
}

/// Reads until the buffer is full or the file ends: one call of the system may return less than
/// there is, or be interrupted.
fn read_fully(
    buffer: &mut [u8],
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match read(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
