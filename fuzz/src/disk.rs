//! A disk in memory that stops at a chosen operation and forgets what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use angzarr_engine::{Disk, DiskFile};

/// Bytes that a power failure keeps or loses together.
const SECTOR: usize = 512;

/// Names with contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    next: u64,
    /// Operations that succeed before all fail.
    left: Option<u32>,
}

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Byte range that differs between the two, at most.
    unsynced: std::ops::Range<usize>,
}

impl MemoryDisk {
    /// A folder with these files, all of them synced.
    pub(crate) fn with(files: &Files) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.lock();
            for (name, bytes) in files {
                let id = state.next;
                state.next += 1;
                let content = Content {
                    now: bytes.clone(),
                    durable: bytes.clone(),
                    unsynced: 0..0,
                };
                state.files.insert(id, content);
                state.names.insert(name.clone(), id);
            }
            state.durable_names = state.names.clone();
        }
        disk
    }

    /// Lets this many more operations succeed.
    pub(crate) fn fail_after(&self, operations: u32) {
        self.lock().left = Some(operations);
    }

    /// The files as the process sees them.
    pub(crate) fn files(&self) -> Files {
        let state = self.lock();
        let named = state.names.iter();
        named
            .filter_map(|(name, id)| Some((name.clone(), state.files.get(id)?.now.clone())))
            .collect()
    }

    /// The files as a power failure may leave them: `keep` is asked for the names and for each
    /// sector that was not synced.
    pub(crate) fn after_power_failure(&self, mut keep: impl FnMut() -> bool) -> Files {
        let state = self.lock();
        let names = if keep() {
            &state.names
        } else {
            &state.durable_names
        };
        let mut files = Files::new();
        for (name, id) in names {
            let Some(content) = state.files.get(id) else {
                continue;
            };
            files.insert(name.clone(), content.after_power_failure(&mut keep));
        }
        files
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }

    fn operation(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        match &mut state.left {
            Some(0) => Err(io::Error::other("the disk is gone")),
            Some(left) => {
                *left -= 1;
                Ok(state)
            }
            None => Ok(state),
        }
    }
}

impl Content {
    fn after_power_failure(&self, keep: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut kept = self.durable.clone();
        if self.now.len() > kept.len() && keep() {
            kept.resize(self.now.len(), 0);
        }
        let first = self.unsynced.start / SECTOR * SECTOR;
        for start in (first..self.unsynced.end).step_by(SECTOR) {
            let end = (start + SECTOR).min(self.now.len()).min(kept.len());
            if start < end && kept[start..end] != self.now[start..end] && keep() {
                kept[start..end].copy_from_slice(&self.now[start..end]);
            }
        }
        kept
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            id,
        }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.operation()?;
        let id = state.next;
        state.next += 1;
        state.names.insert(name.to_owned(), id);
        state.files.insert(id, Content::default());
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.operation()?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    id: u64,
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let content = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.now.get(start..).unwrap_or_default();
        let n = buffer.len().min(rest.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.operation()?;
        let content = state.files.get_mut(&self.id);
        let content = content.ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[start..end].copy_from_slice(bytes);
        let unsynced = &mut content.unsynced;
        *unsynced = if unsynced.start == unsynced.end {
            start..end
        } else {
            unsynced.start.min(start)..unsynced.end.max(end)
        };
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.operation()?;
        let content = state.files.get_mut(&self.id);
        let content = content.ok_or(io::ErrorKind::NotFound)?;
        let Content {
            now,
            durable,
            unsynced,
        } = content;
        durable.resize(now.len(), 0);
        let changed = std::mem::replace(unsynced, 0..0);
        durable[changed.clone()].copy_from_slice(&now[changed]);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        let content = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.now.len() as u64)
    }
}
