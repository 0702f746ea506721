//! The index's files: a map that takes a layer as a whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::sim::{Fault, SimDisk};
use crate::error::{Error, Result};
use crate::index::{Base, Direction, Entry, Family, Layer, Range};

type Map = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// Earlier contents that are kept, for an index that is restored from an older copy.
const COPIES_MAX: usize = 3;

/// The files of an index on the same machine as a disk.
#[derive(Clone)]
pub(super) struct SimBase {
    disk: SimDisk,
    files: Arc<Mutex<Files>>,
}

#[derive(Clone, Default)]
struct Files {
    now: Map,
    earlier: Vec<Map>,
}

impl SimBase {
    pub(super) fn new(disk: SimDisk) -> Self {
        Self {
            disk,
            files: Arc::default(),
        }
    }

    /// The same files on another disk.
    pub(super) fn moved_to(&self, disk: SimDisk) -> Self {
        let files = self.files.lock().unwrap().clone();
        Self {
            disk,
            files: Arc::new(Mutex::new(files)),
        }
    }

    /// Puts an older copy in the place of the files; an empty one for 0.
    pub(super) fn go_back(&self, copy: usize) {
        let mut files = self.files.lock().unwrap();
        let older = copy.checked_sub(1).and_then(|n| files.earlier.get(n));
        files.now = older.cloned().unwrap_or_default();
    }
}

impl Base for SimBase {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let files = self.files.lock().unwrap();
        Ok(files.now.get(&(family, key.to_vec())).cloned())
    }

    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>> {
        let files = self.files.lock().unwrap();
        let from = (range.family, range.from.clone());
        let inside = |key: &(Family, Vec<u8>)| {
            key.0 == range.family && range.to.as_ref().is_none_or(|to| key.1 < *to)
        };
        let found = files.now.range(from..).take_while(|(key, _)| inside(key));
        let found = found.map(|((_, key), value)| (key.clone(), value.clone()));
        Ok(match direction {
            Direction::Forwards => found.take(limit).collect(),
            Direction::Backwards => {
                let all: Vec<_> = found.collect();
                all.into_iter().rev().take(limit).collect()
            }
        })
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        let failed = |when: &str| Error::io("writing the index")(io::Error::other(when.to_owned()));
        self.disk
            .boundary("index")
            .map_err(Error::io("writing the index"))?;
        let fails = self.disk.faults(|faults| faults.hits(Fault::Index));
        if fails && self.disk.faults(crate::disk::sim::Faults::coin) {
            return Err(failed("before"));
        }
        let mut files = self.files.lock().unwrap();
        if files.earlier.len() < COPIES_MAX {
            let copy = files.now.clone();
            files.earlier.push(copy);
        }
        for family in Family::ALL {
            layer.for_each(family, |key, value| {
                match value {
                    Some(value) => files.now.insert((family, key.to_vec()), value.to_vec()),
                    None => files.now.remove(&(family, key.to_vec())),
                };
            });
        }
        drop(files);
        // It may die, or fail to learn that it succeeded, when all is written.
        self.disk
            .boundary("index written")
            .map_err(Error::io("writing the index"))?;
        if fails {
            return Err(failed("after"));
        }
        Ok(())
    }
}
