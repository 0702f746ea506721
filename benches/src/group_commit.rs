//! A log that does nothing but what durability and the expected sequence cost: one thread, one
//! map of versions, one checksum, one write and one sync for whatever is queued.

use std::collections::HashMap;
use std::io;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::zeroed::ZeroedFile;

/// Events that may wait for the next group.
const QUEUE_MAX: usize = 8_192;

/// Events in one group.
const GROUP_MAX: usize = 4_096;

/// One event to be stored.
#[derive(Debug)]
pub struct Entry {
    /// Whose event it is.
    pub root: [u8; 16],
    /// The sequence it must get; none is not checked.
    pub expected: Option<u32>,
    /// What is stored.
    pub bytes: Vec<u8>,
}

/// The aggregate was not where the entry expected it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// Its next sequence.
    pub actual: u32,
}

type Answer = oneshot::Sender<Result<u32, Stale>>;

/// The way into the log. Its thread ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct GroupCommit {
    queue: mpsc::Sender<(Entry, Answer)>,
}

impl GroupCommit {
    /// Starts the thread that owns the file.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(file: ZeroedFile) -> io::Result<Self> {
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        thread::Builder::new()
            .name("group-commit".to_owned())
            .spawn(move || run(file, entries))?;
        Ok(Self { queue })
    }

    /// Stores an event and returns its sequence when it is durable; none when the disk failed.
    pub async fn append(&self, entry: Entry) -> Option<Result<u32, Stale>> {
        let (answer, answered) = oneshot::channel();
        self.queue.send((entry, answer)).await.ok()?;
        answered.await.ok()
    }
}

fn run(mut file: ZeroedFile, mut entries: mpsc::Receiver<(Entry, Answer)>) {
    let mut next: HashMap<[u8; 16], u32> = HashMap::new();
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut bytes = Vec::new();
    let mut outcomes = Vec::with_capacity(GROUP_MAX);
    while entries.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        bytes.clear();
        for (entry, answer) in group.drain(..) {
            outcomes.push((admit(&mut next, &entry, &mut bytes), answer));
        }
        if file.write_durably(&bytes).is_err() {
            return;
        }
        for (outcome, answer) in outcomes.drain(..) {
            // A caller that went away needs no answer.
            let _ = answer.send(outcome);
        }
    }
}

/// Checks an entry and adds its frame to the group: length, checksum, root, sequence, bytes.
fn admit(
    next: &mut HashMap<[u8; 16], u32>,
    entry: &Entry,
    group: &mut Vec<u8>,
) -> Result<u32, Stale> {
    let next = next.entry(entry.root).or_default();
    let sequence = *next;
    if entry.expected.is_some_and(|expected| expected != sequence) {
        return Err(Stale { actual: sequence });
    }
    let length = u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX);
    group.extend_from_slice(&length.to_le_bytes());
    group.extend_from_slice(&crc32fast::hash(&entry.bytes).to_le_bytes());
    group.extend_from_slice(&entry.root);
    group.extend_from_slice(&sequence.to_le_bytes());
    group.extend_from_slice(&entry.bytes);
    *next += 1;
    Ok(sequence)
}

#[cfg(test)]
mod tests;
