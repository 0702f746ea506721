//! The cheapest durable write there is: into a file that was filled with zeros before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file whose size and extents never change again, so that a sync writes data only.
#[derive(Debug)]
pub struct ZeroedFile {
    file: File,
    bytes: u64,
    at: u64,
}

impl ZeroedFile {
    /// Creates the file, writes `bytes` zeros and syncs them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let zeros = vec![0; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(zeros.get(..step).unwrap_or(&zeros))?;
            left -= step as u64;
        }
        file.sync_all()?;
        Ok(Self { file, bytes, at: 0 })
    }

    /// Writes after the previous write and returns when it is durable. Begins again at the start
    /// of the file when its end is reached: this is a limit, not a store.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_durably(&mut self, group: &[u8]) -> io::Result<()> {
        let length = group.len() as u64;
        if self.at + length > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(group, self.at)?;
        self.file.sync_data()?;
        self.at += length;
        Ok(())
    }
}
