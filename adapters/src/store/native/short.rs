//! Reads that are over in microseconds, unless they have to wait for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::run_blocking;
use crate::store::Result;

/// Where short reads run: on the thread that asks, as long as another thread of the runtime is
/// free of them, or else on one of those that may wait for the disk.
///
/// Most find all they need in memory, and handing them to another thread and back then costs more
/// than they do. One that does wait for the disk holds up a thread that serves requests; that
/// never happens to all of them at once.
#[derive(Debug, Clone, Default)]
pub(super) struct ShortReads {
    running: Arc<AtomicUsize>,
}

impl ShortReads {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.enter() {
            Some(_place) => read(),
            None => run_blocking(read).await,
        }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let handle = Handle::current();
        let threads = match handle.runtime_flavor() {
            RuntimeFlavor::MultiThread => handle.metrics().num_workers(),
            _ => 1,
        };
        let place = Place(&self.running);
        (self.running.fetch_add(1, Ordering::Relaxed) + 1 < threads).then_some(place)
    }
}

/// One that runs, or that found no place and leaves again.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
