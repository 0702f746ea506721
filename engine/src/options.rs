//! How an engine is opened.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::limits;

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// What an answer to an append promises.
    pub durability: Durability,
    /// Bytes of one segment file, at least 64 KiB. Segments are filled with zeros ahead of use.
    pub segment_bytes: u64,
    /// Bytes of appends that may wait for the writer before submitters are made to wait.
    pub queue_bytes: usize,
    /// Bytes of index changes kept in memory before they are handed to the index's files.
    pub index_buffer_bytes: usize,
    /// Bytes of the index's block cache.
    pub index_cache_bytes: usize,
    /// Where the index is kept.
    pub index: IndexKind,
    /// Bytes of log per second at which full segments are rewritten in the background: smaller,
    /// gathered by aggregate, without what is out of reach. It is a sixty-fourth of that where one
    /// waits, and grows with the square of those that do. 0 leaves them as they are.
    pub seal_rate: u64,
    /// Bytes of decompressed blocks of rewritten segments that are kept for readers.
    pub cache_bytes: usize,
}

/// Default of [`Options::cache_bytes`]: what a few readers of the whole store need to decompress
/// nothing twice.
pub(crate) const CACHE_BYTES: usize = 64 * 1024 * 1024;

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            segment_bytes: 64 * 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
            index_buffer_bytes: 16 * 1024 * 1024,
            index_cache_bytes: 64 * 1024 * 1024,
            index: IndexKind::default(),
            seal_rate: 32 * 1024 * 1024,
            cache_bytes: CACHE_BYTES,
        }
    }
}

impl Options {
    /// # Errors
    /// [`Error::Invalid`] that names the setting and its range.
    pub fn validate(&self) -> Result<()> {
        if self.segment_bytes < limits::SEGMENT_MIN {
            return Err(Error::invalid(format!(
                "segment_bytes is {}, the least is {}",
                self.segment_bytes,
                limits::SEGMENT_MIN
            )));
        }
        if self.queue_bytes == 0 || self.index_buffer_bytes == 0 {
            return Err(Error::invalid(
                "queue_bytes and index_buffer_bytes must not be 0",
            ));
        }
        if let Durability::Interval(every) = self.durability
            && every.is_zero()
        {
            return Err(Error::invalid("the sync interval must not be 0"));
        }
        Ok(())
    }
}

/// What an answer to an append promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The events survive a power failure.
    Fsync,
    /// The events survive a crash of the process; a power failure loses at most this much time.
    Interval(Duration),
    /// The events survive a crash of the process; after a power failure it is up to the
    /// operating system.
    Os,
}

impl Durability {
    /// The setting's name: `fsync`, `interval` or `os`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval(_) => "interval",
            Self::Os => "os",
        }
    }
}

/// Where the index is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// In memory; rebuilt from the log at opening.
    Memory,
    /// In RocksDB files beside the log.
    #[cfg(feature = "rocksdb")]
    RocksDb,
}

impl Default for IndexKind {
    #[cfg(feature = "rocksdb")]
    fn default() -> Self {
        Self::RocksDb
    }

    #[cfg(not(feature = "rocksdb"))]
    fn default() -> Self {
        Self::Memory
    }
}

impl IndexKind {
    /// `rocksdb` or `memory`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            #[cfg(feature = "rocksdb")]
            Self::RocksDb => "rocksdb",
        }
    }
}
