//! RocksDB as the index's files: the only place that names it.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompactionStyle,
    DBCompressionType, DataBlockIndexType, FlushOptions, IteratorMode, Options, ReadOptions,
    SliceTransform, UniversalCompactOptions, WriteBatch, WriteOptions,
};

use super::keys::applied;
use super::{AggregateId, Base, Direction, Entry, Family, Layer, Range};
use crate::error::{Error, Result};

/// An open database with one column family for each family of the index.
pub(crate) struct Rocks {
    db: DB,
}

impl Rocks {
    /// Opens the database in a folder, or creates it. One that another version of this program has
    /// made is replaced by an empty one.
    pub(crate) fn open(folder: &Path, cache_bytes: usize, buffer_bytes: usize) -> Result<Self> {
        let opened = Self::open_any(folder, cache_bytes, buffer_bytes)?;
        if opened.is_current()? {
            return Ok(opened);
        }
        drop(opened);
        tracing::warn!(
            folder = %folder.display(),
            "the index is of another version and is built anew from the log"
        );
        discard(folder).map_err(Error::io(format!("removing {}", folder.display())))?;
        Self::open_any(folder, cache_bytes, buffer_bytes)
    }

    fn open_any(folder: &Path, cache_bytes: usize, buffer_bytes: usize) -> Result<Self> {
        let cache = new_cache(cache_bytes);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Without it families are written at different times, and `applied` can get ahead of them.
        options.set_atomic_flush(true);
        options.set_max_background_jobs(2);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1024 * 1024);
        options.set_db_write_buffer_size(buffer_bytes.saturating_mul(2));
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache, buffer_bytes))
        });
        let db = DB::open_cf_descriptors(&options, folder, families)
            .map_err(failed("opening the index"))?;
        Ok(Self { db })
    }

    /// Opens the database in a folder for reading; changes nothing there.
    pub(crate) fn open_read_only(folder: &Path, cache_bytes: usize) -> Result<Self> {
        let cache = new_cache(cache_bytes);
        let mut options = Options::default();
        options.set_max_open_files(512);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache, cache_bytes))
        });
        let db = DB::open_cf_descriptors_read_only(&options, folder, families, false)
            .map_err(failed("opening the index"))?;
        Ok(Self { db })
    }

    /// Whether what it holds, if anything, is in the form of this version.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let facts = self.scan(&Range::prefix(Family::Meta, &[]), Direction::Forwards, 2)?;
        Ok(facts.iter().all(|(name, _)| name == applied::KEY))
    }

    fn family(&self, family: Family) -> Result<&rocksdb::ColumnFamily> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| Error::Corrupt {
                file: "index".to_owned(),
                offset: 0,
                address: crate::types::Address::default(),
                problem: format!("the column family {} is missing", family.name()),
            })
    }
}

fn family_options(family: Family, cache: &Cache, buffer_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    // A look-up then takes a few KiB of a file's filter and index into the cache, in place of all
    // of them, which in a large store would push each other out at every look-up.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(4096);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.set_write_buffer_size(buffer_bytes.saturating_mul(2));
    options.set_compression_type(DBCompressionType::Lz4);
    if family == Family::Heads {
        // Random keys, small values and a look-up for each append: nothing to compress, and filters
        // that are at hand. They take 1.5 bytes of memory for an aggregate.
        options.set_compression_type(DBCompressionType::None);
        blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        blocks.set_cache_index_and_filter_blocks(false);
        blocks.set_index_type(BlockBasedIndexType::BinarySearch);
        blocks.set_partition_filters(false);
    }
    if has_prefix(family) {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(AggregateId::LEN));
        blocks.set_whole_key_filtering(false);
    }
    options.set_block_based_table_factory(&blocks);
    // Changes come at random places: merging files of like size writes each entry a few times,
    // levels would rewrite a whole level for each small file that arrives.
    options.set_compaction_style(DBCompactionStyle::Universal);
    let mut universal = UniversalCompactOptions::default();
    universal.set_size_ratio(20);
    universal.set_max_size_amplification_percent(100);
    options.set_universal_compaction_options(&universal);
    options.set_level_zero_file_num_compaction_trigger(6);
    options
}

/// One whose look-ups take no lock.
fn new_cache(bytes: usize) -> Cache {
    Cache::new_hyper_clock_cache(bytes, 0)
}

/// Whether entries are asked for by their aggregate.
fn has_prefix(family: Family) -> bool {
    matches!(family, Family::Pages | Family::Snapshots | Family::Marks)
}

/// Whether a range lies within one aggregate, so that files without it need not be looked into.
fn within_prefix(range: &Range) -> bool {
    let prefix = range.from.get(..AggregateId::LEN);
    let last = range
        .to
        .as_deref()
        .and_then(|to| to.get(..AggregateId::LEN));
    has_prefix(range.family) && prefix.is_some() && prefix == last
}

impl Base for Rocks {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db
            .get_cf(self.family(family)?, key)
            .map_err(failed("reading the index"))
    }

    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>> {
        let mut read = ReadOptions::default();
        if within_prefix(range) {
            read.set_prefix_same_as_start(true);
        } else {
            read.set_total_order_seek(true);
        }
        read.set_iterate_lower_bound(range.from.as_slice());
        if let Some(to) = &range.to {
            read.set_iterate_upper_bound(to.as_slice());
        }
        let mode = match direction {
            Direction::Forwards => IteratorMode::Start,
            Direction::Backwards => IteratorMode::End,
        };
        self.db
            .iterator_cf_opt(self.family(range.family)?, read, mode)
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(failed("reading the index"))?;
                Ok((key.into_vec(), value.into_vec()))
            })
            .collect()
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        let mut batch = WriteBatch::default();
        for family in Family::ALL {
            let handle = self.family(family)?;
            layer.for_each(family, |key, value| match value {
                Some(value) => batch.put_cf(handle, key, value),
                None => batch.delete_cf(handle, key),
            });
        }
        // The log is the write-ahead log.
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        self.db
            .write_opt(batch, &write)
            .map_err(failed("writing the index"))?;
        let handles = Family::ALL
            .into_iter()
            .map(|f| self.family(f))
            .collect::<Result<Vec<_>>>()?;
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        self.db
            .flush_cfs_opt(&handles, &flush)
            .map_err(failed("writing the index"))
    }
}

/// Removes a folder, which a crash leaves whole or unnamed.
fn discard(folder: &Path) -> std::io::Result<()> {
    let aside = folder.with_extension("old");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(folder, &aside)?;
    std::fs::remove_dir_all(&aside)
}

fn failed(action: &'static str) -> impl FnOnce(rocksdb::Error) -> Error {
    move |error| Error::Io {
        action: action.to_owned(),
        source: Arc::new(std::io::Error::other(error.into_string())),
    }
}
