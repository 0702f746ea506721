//! The cheapest way to a place on disk by key: one RocksDB, with the filters and the cache that
//! the engine's index has.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Error, Options, WriteOptions};

/// Bytes of the block cache, the engine's default.
const CACHE_BYTES: usize = 64 << 20;

/// Values by key.
#[derive(Debug)]
pub struct Rocks {
    db: DB,
}

impl Rocks {
    /// Creates it with these entries, in files and compacted.
    ///
    /// # Errors
    /// When RocksDB fails.
    pub fn filled<K, V>(
        path: &Path,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Error>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&table);
        let db = DB::open(&options, path)?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        for (key, value) in entries {
            db.put_opt(key, value, &unlogged)?;
        }
        db.flush()?;
        db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(Self { db })
    }

    /// Looks a value up.
    ///
    /// # Errors
    /// When RocksDB fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<impl AsRef<[u8]>>, Error> {
        self.db.get_pinned(key)
    }
}
