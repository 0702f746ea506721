//! A disk in memory that forgets what was not synced, sector by sector.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rand::Rng;

use super::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    /// Names as the running process sees them, and as a power failure leaves them.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    next: u64,
    fail: Option<Fail>,
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// Which operation fails from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Write,
    Sync,
}

impl SimDisk {
    /// Makes operations of a kind fail until the next crash.
    pub(crate) fn fail(&self, fail: Fail) {
        self.0.lock().unwrap().fail = Some(fail);
    }

    /// The folder after a power failure: names and sectors that were not synced are there or not,
    /// as chance has it.
    pub(crate) fn crash(&self, random: &mut impl Rng) -> Self {
        let state = self.0.lock().unwrap();
        let mut after = State {
            next: state.next,
            ..State::default()
        };
        let names = if random.random_bool(0.5) {
            &state.names
        } else {
            &state.durable_names
        };
        after.names.clone_from(names);
        after.durable_names.clone_from(names);
        let luck = [0.0, 0.2, 0.5, 0.8, 1.0][random.random_range(0..5)];
        for (&id, content) in &state.files {
            let mut kept = content.durable.clone();
            if content.now.len() > kept.len() {
                let longer = random.random_range(kept.len()..=content.now.len());
                kept.resize(longer, 0);
            }
            for start in (0..content.now.len()).step_by(SECTOR) {
                let end = (start + SECTOR).min(content.now.len()).min(kept.len());
                if start < end && random.random_bool(luck) {
                    kept[start..end].copy_from_slice(&content.now[start..end]);
                }
            }
            after.files.insert(
                id,
                Content {
                    now: kept.clone(),
                    durable: kept,
                },
            );
        }
        Self(Arc::new(Mutex::new(after)))
    }

    /// Changes the stored bytes of a file behind everybody's back.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let id = state.names[name];
        let content = state.files.get_mut(&id).unwrap();
        change(&mut content.now);
        content.durable = content.now.clone();
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock().unwrap();
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock().unwrap();
        let id = state.next;
        state.next += 1;
        state.names.insert(name.to_owned(), id);
        state.files.insert(id, Content::default());
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0
            .lock()
            .unwrap()
            .names
            .remove(name)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock().unwrap();
        let content = &state.files[&self.id].now;
        let start = usize::try_from(offset).unwrap().min(content.len());
        let n = buffer.len().min(content.len() - start);
        buffer[..n].copy_from_slice(&content[start..start + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        if state.fail == Some(Fail::Write) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let content = &mut state.files.get_mut(&self.id).unwrap().now;
        let start = usize::try_from(offset).unwrap();
        if content.len() < start + bytes.len() {
            content.resize(start + bytes.len(), 0);
        }
        content[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        if state.fail == Some(Fail::Sync) {
            return Err(io::Error::other("the disk did not take it"));
        }
        let content = state.files.get_mut(&self.id).unwrap();
        content.durable = content.now.clone();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().files[&self.id].now.len() as u64)
    }
}
