use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use angzarr_proto::v1::Cover;
use tokio::sync::OwnedMutexGuard;

use super::{Error, validate};

/// One turn after another for each aggregate, all aggregates side by side.
///
/// An aggregate nobody works on takes no memory.
#[derive(Debug)]
pub(super) struct Queues {
    lines: Arc<Mutex<HashMap<Key, Line>>>,
    depth_max: usize,
    wait_max: Duration,
}

/// The right to work on one aggregate. Ends when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    // Dropped first: the next in line starts before the place is given up.
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

/// Length and text of domain and edition, then the root.
type Key = Arc<[u8]>;

#[derive(Debug, Default)]
struct Line {
    mutex: Arc<tokio::sync::Mutex<()>>,
    /// Those who wait and the one who works.
    places: usize,
}

/// Counts a request in its line, also when it stops waiting early.
#[derive(Debug)]
struct Place {
    lines: Arc<Mutex<HashMap<Key, Line>>>,
    key: Key,
}

impl Queues {
    pub(super) fn new(depth_max: usize, wait_max: Duration) -> Self {
        Self {
            lines: Arc::default(),
            depth_max,
            wait_max,
        }
    }

    /// Waits for the turn of this request on its aggregate, first come first served.
    pub(super) async fn enter(&self, cover: &Cover) -> Result<Turn, Error> {
        let (place, mutex) = self.queue(cover)?;
        // Never before those who wait: what is let go of is theirs at once.
        if let Ok(guard) = Arc::clone(&mutex).try_lock_owned() {
            return Ok(Turn {
                _guard: guard,
                _place: place,
            });
        }
        let guard = tokio::time::timeout(self.wait_max, mutex.lock_owned())
            .await
            .map_err(|_| {
                Error::Busy(format!(
                    "waited {:?} for earlier requests to {} {}: try again later",
                    self.wait_max,
                    cover.domain,
                    validate::root_hex(cover)
                ))
            })?;
        Ok(Turn {
            _guard: guard,
            _place: place,
        })
    }

    fn queue(&self, cover: &Cover) -> Result<(Place, Arc<tokio::sync::Mutex<()>>), Error> {
        let key = key_of(cover);
        let mut lines = lock(&self.lines);
        let line = lines.entry(key.clone()).or_default();
        if line.places >= self.depth_max {
            return Err(Error::Busy(format!(
                "{} requests to {} {} are waiting already: try again later",
                self.depth_max,
                cover.domain,
                validate::root_hex(cover)
            )));
        }
        line.places += 1;
        let mutex = Arc::clone(&line.mutex);
        Ok((
            Place {
                lines: Arc::clone(&self.lines),
                key,
            },
            mutex,
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get_mut(&self.key) {
            line.places -= 1;
            if line.places == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

fn key_of(cover: &Cover) -> Key {
    let root = cover.root.as_ref().map_or(&[][..], |root| &root.value);
    let edition = validate::edition_name(cover);
    let lens = [cover.domain.len(), edition.len()].map(usize::to_be_bytes);
    let [domain_len, edition_len] = &lens;
    let parts: [&[u8]; 5] = [
        domain_len,
        cover.domain.as_bytes(),
        edition_len,
        edition.as_bytes(),
        root,
    ];
    parts.concat().into()
}

fn lock(lines: &Mutex<HashMap<Key, Line>>) -> MutexGuard<'_, HashMap<Key, Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
