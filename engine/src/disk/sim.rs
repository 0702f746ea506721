//! A disk in memory that forgets what was not synced, sector by sector, and fails when told to.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod content;
mod faults;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;

use super::{Disk, DiskFile, read_fully};
use content::Content;
pub(crate) use content::SECTOR;
pub(crate) use faults::{Fault, Faults};

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    /// Names as the running process sees them, and as a power failure leaves them at least.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the folder was synced, in order.
    renamed: Vec<NameChange>,
    next: u64,
    fail: Option<Fail>,
    faults: Faults,
}

#[derive(Debug, Clone)]
enum NameChange {
    Add(String, u64),
    Move(String, String, u64),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Add(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Move(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// Which operation fails from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Read,
    Write,
    Sync,
}

impl SimDisk {
    /// Makes operations of a kind fail until the next crash.
    pub(crate) fn fail(&self, fail: Fail) {
        self.state().fail = Some(fail);
    }

    /// What goes wrong from now on.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// What has gone wrong, and how far the machine has got.
    pub(crate) fn faults<T>(&self, look: impl FnOnce(&mut Faults) -> T) -> T {
        look(&mut self.state().faults)
    }

    /// A step of something else that is on the same machine.
    pub(crate) fn boundary(&self, name: &str) -> io::Result<()> {
        self.state().faults.step(|| format!("boundary {name}"))
    }

    /// The folder after a power failure: names and sectors that were not synced are there or not,
    /// as chance has it.
    pub(crate) fn crash(&self, random: &mut impl Rng) -> Self {
        let state = self.state();
        let mut after = State {
            next: state.next,
            ..State::default()
        };
        let mut names = state.durable_names.clone();
        match random.random_range(0..3) {
            0 => names.clone_from(&state.names),
            1 => {
                let kept = random.random_range(0..=state.renamed.len());
                state.renamed[..kept]
                    .iter()
                    .for_each(|change| change.apply(&mut names));
            }
            _ => {
                for change in &state.renamed {
                    if random.random_bool(0.5) {
                        change.apply(&mut names);
                    }
                }
            }
        }
        let luck = [0.0, 0.2, 0.5, 0.8, 1.0][random.random_range(0..5)];
        for id in names.values() {
            after
                .files
                .insert(*id, state.files[id].after_power_failure(luck, random));
        }
        after.names.clone_from(&names);
        after.durable_names = names;
        Self(Arc::new(Mutex::new(after)))
    }

    /// The folder as the next process finds it: the system still has what was written, and what
    /// it could not save when it was told to, it never will.
    pub(crate) fn handed_over(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            renamed: state.renamed.clone(),
            next: state.next,
            ..State::default()
        })))
    }

    /// Changes the stored bytes of a file behind everybody's back.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.names[name];
        state.files.get_mut(&id).unwrap().damage(change);
    }

    /// Loses a file behind everybody's back.
    pub(crate) fn lose(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Names and contents, as the running process sees them.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(name, id)| (name.clone(), state.files[id].now.clone()))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renamed.push(change);
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|id| self.files[id].now.len() as u64)
            .sum()
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.faults.step(|| "list".to_owned())?;
        state.faults.roll(Fault::List)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.faults.step(|| format!("open {name}"))?;
        state.faults.roll(Fault::Open)?;
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.faults.step(|| format!("create {name}"))?;
        state.faults.roll(Fault::Create)?;
        let id = state.next;
        state.next += 1;
        state.files.insert(id, Content::default());
        state.change(NameChange::Add(name.to_owned(), id));
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.faults.step(|| format!("rename {from} {to}"))?;
        let failed = state.faults.roll(Fault::Rename);
        let id = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        // A failed one may have happened all the same.
        if failed.is_ok() || state.faults.coin() {
            state.change(NameChange::Move(from.to_owned(), to.to_owned(), id));
        }
        failed
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.faults.step(|| format!("remove {name}"))?;
        state.faults.roll(Fault::Remove)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.faults.step(|| "sync folder".to_owned())?;
        state.faults.roll(Fault::SyncFolder)?;
        state.durable_names = state.names.clone();
        state.renamed.clear();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if state.fail == Some(Fail::Read) {
            return Err(io::Error::other("the disk does not answer"));
        }
        state.faults.step(|| format!("read {offset}"))?;
        state.faults.roll(Fault::Read)?;
        let State { files, faults, .. } = &mut *state;
        let content = &files[&self.id].now;
        read_fully(buffer, offset, |buffer, offset| {
            faults.interrupt()?;
            let start = usize::try_from(offset).unwrap().min(content.len());
            let whole = buffer.len().min(content.len() - start);
            let n = faults.shorten(whole);
            buffer[..n].copy_from_slice(&content[start..start + n]);
            Ok(n)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let start = usize::try_from(offset).unwrap();
        if state.fail == Some(Fail::Write) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let used = state.used();
        let State { files, faults, .. } = &mut *state;
        let content = files.get_mut(&self.id).unwrap();
        let alive = faults.step(|| format!("write {}+{}", offset, bytes.len()));
        if alive.is_err() {
            // The machine died somewhere in the middle of it.
            if faults.died_now() {
                content.write(&bytes[..faults.part(bytes.len())], start);
            }
            return alive;
        }
        let growth = (start + bytes.len()).saturating_sub(content.now.len()) as u64;
        let failed = faults
            .roll(Fault::Write)
            .and_then(|()| faults.room(used, growth));
        let written = match failed {
            Ok(()) => bytes.len(),
            Err(_) => faults.part(bytes.len()),
        };
        content.write(&bytes[..written], start);
        failed
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.fail == Some(Fail::Sync) {
            return Err(io::Error::other("the disk did not take it"));
        }
        let State { files, faults, .. } = &mut *state;
        let content = files.get_mut(&self.id).unwrap();
        faults.step(|| "sync".to_owned())?;
        let failed = faults.roll(Fault::Sync);
        match failed {
            Ok(()) => content.sync(),
            // Some of it was saved; the system forgets that the rest was not.
            Err(_) => content.sync_some(|| faults.coin()),
        }
        failed
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.faults.step(|| "size".to_owned())?;
        state.faults.roll(Fault::Read)?;
        Ok(state.files[&self.id].now.len() as u64)
    }
}
