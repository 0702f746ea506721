//! The bytes of a file, and what of them a power failure leaves.

use std::collections::BTreeMap;

use rand::Rng;

/// Bytes that are written as a whole or not at all.
pub(crate) const SECTOR: usize = 512;
/// Unsynced versions of one sector that are told apart.
const VERSIONS_MAX: usize = 3;

/// The bytes of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    durable_len: usize,
    /// Sectors that differ from what is durable, each with what it was since then, the durable
    /// one first.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Sectors the system believes to be saved, with what is saved of them in truth.
    forgotten: BTreeMap<usize, Vec<u8>>,
}

impl Content {
    pub(super) fn write(&mut self, bytes: &[u8], start: usize) {
        let end = start + bytes.len();
        if bytes.is_empty() {
            return;
        }
        for sector in start / SECTOR..=(end - 1) / SECTOR {
            let before = self.sector(sector);
            let durable = self.forgotten.remove(&sector);
            let versions = self.dirty.entry(sector).or_default();
            versions.extend(durable);
            if versions.len() < VERSIONS_MAX {
                versions.push(before);
            }
        }
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[start..end].copy_from_slice(bytes);
    }

    fn sector(&self, number: usize) -> Vec<u8> {
        let start = (number * SECTOR).min(self.now.len());
        let end = (start + SECTOR).min(self.now.len());
        self.now[start..end].to_vec()
    }

    pub(super) fn sync(&mut self) {
        self.dirty.clear();
        self.durable_len = self.now.len();
    }

    pub(super) fn sync_some(&mut self, mut saved: impl FnMut() -> bool) {
        for (sector, mut versions) in std::mem::take(&mut self.dirty) {
            if !saved() {
                self.forgotten.insert(sector, versions.swap_remove(0));
            }
        }
        if saved() {
            self.durable_len = self.now.len();
        }
    }

    /// What is found when the power is back. `luck` is the share of unsynced sectors that were
    /// written in time.
    pub(super) fn after_power_failure(&self, luck: f64, random: &mut impl Rng) -> Self {
        let mut now = self.now.clone();
        for (sector, versions) in &self.dirty {
            if !random.random_bool(luck) {
                put(
                    &mut now,
                    *sector,
                    &versions[random.random_range(0..versions.len())],
                );
            }
        }
        for (sector, durable) in &self.forgotten {
            put(&mut now, *sector, durable);
        }
        if now.len() > self.durable_len {
            now.truncate(random.random_range(self.durable_len..=now.len()));
        }
        Self {
            durable_len: now.len(),
            now,
            ..Self::default()
        }
    }

    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.now);
        self.sync();
    }
}

/// Puts back a sector that was shorter, or not there, at the time.
fn put(now: &mut [u8], sector: usize, bytes: &[u8]) {
    let start = (sector * SECTOR).min(now.len());
    let end = (start + SECTOR).min(now.len());
    let place = &mut now[start..end];
    let n = bytes.len().min(place.len());
    place[..n].copy_from_slice(&bytes[..n]);
    place[n..].fill(0);
}
