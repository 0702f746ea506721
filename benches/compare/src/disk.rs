//! What a folder takes on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of one block in `st_blocks`, whatever the file system's.
const BLOCK_BYTES: u64 = 512;

/// Bytes of everything below `folder`: neither holes nor blocks allocated ahead count.
pub(crate) fn used(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may go away while the folder is read: a compaction.
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += used(&entry.path())?,
            Ok(found) => bytes += found.len().min(found.blocks() * BLOCK_BYTES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
