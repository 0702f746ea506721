use std::collections::HashMap;
use std::hash::Hash;

use foldhash::quality::RandomState;

/// A bounded map that drops what has not been touched for two generations. Nothing depends on the
/// order of its entries.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Copy> Cache<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    pub(super) fn set(&mut self, key: &K, value: V) {
        match self.young.get_mut(key) {
            Some(young) => *young = value,
            None => drop(self.young.insert(key.clone(), value)),
        }
    }

    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.young.len() >= limit
    }

    pub(super) fn rotate(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.young.retain(|key, _| keep(key));
        self.old.retain(|key, _| keep(key));
    }
}
