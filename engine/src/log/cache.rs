//! Decompressed blocks of sealed segments, for all readers together.

use bytes::Bytes;
use foldhash::fast::FixedState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

/// A file and an offset in it.
type Key = (u64, u64);

/// Holds blocks up to a number of bytes; the least used go first.
pub(crate) struct BlockCache(Option<Blocks>);

type Blocks = Cache<Key, Bytes, Size, FixedState>;

impl BlockCache {
    /// A cache for about this many bytes; 0 for none.
    pub(crate) fn new(bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(bytes / crate::limits::BLOCK_BYTES + 1)
            .weight_capacity(bytes as u64)
            .shards(4)
            .build()
            .ok()
            .filter(|_| bytes > 0);
        Self(options.map(|options| {
            Cache::with_options(
                options,
                Size,
                // Without a seed of its own: a simulation must take the same course twice.
                FixedState::default(),
                DefaultLifecycle::default(),
            )
        }))
    }

    pub(crate) fn get(&self, key: Key) -> Option<Bytes> {
        self.0.as_ref()?.get(&key)
    }

    pub(crate) fn insert(&self, key: Key, block: Bytes) {
        if let Some(cache) = &self.0 {
            cache.insert(key, block);
        }
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Bytes> for Size {
    fn weight(&self, _: &Key, block: &Bytes) -> u64 {
        block.len() as u64 + 64
    }
}
