use std::{path::PathBuf, time::Duration};

use super::{ClientTls, ConfigError, Endpoint, section::Section, value};

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// The built-in engine, in this process.
    Native(NativeStorage),
    /// Another Angzarr server.
    Remote(RemoteStorage),
}

/// The built-in engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeStorage {
    /// The data folder. Made when it is not there.
    pub path: PathBuf,
    /// What has happened to an event when its append is answered.
    pub durability: Durability,
    /// Where the index is kept; as this build prefers when `None`.
    pub index: Option<Index>,
    /// Bytes of one segment of the log.
    pub segment_bytes: u64,
    /// Bytes of appends that may wait for the writer.
    pub queue_bytes: u64,
    /// Bytes of index changes kept in memory before they are written to its files.
    pub index_buffer_bytes: u64,
    /// Bytes of the index's cache.
    pub index_cache_bytes: u64,
    /// Bytes of log per second at which full segments are rewritten in the background; 0 for
    /// never.
    pub seal_rate: u64,
    /// Bytes of the cache for rewritten segments.
    pub segment_cache_bytes: u64,
    /// Bytes of books of aggregates that are kept for their next commands; 0 for none.
    pub book_cache_bytes: u64,
}

impl Default for NativeStorage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data"),
            durability: Durability::Fsync,
            index: None,
            segment_bytes: 64 << 20,
            queue_bytes: 16 << 20,
            index_buffer_bytes: 16 << 20,
            index_cache_bytes: 64 << 20,
            seal_rate: 32 << 20,
            segment_cache_bytes: 64 << 20,
            book_cache_bytes: 64 << 20,
        }
    }
}

/// Where the index is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// In memory, rebuilt from the log at opening.
    Memory,
    /// In RocksDB files beside the log.
    RocksDb,
}

/// A store behind `angzarr.store.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStorage {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// How it is trusted; for `https://` addresses.
    pub tls: Option<ClientTls>,
}

/// What has happened to an event when its append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It was written and synced.
    Fsync,
    /// It was written; a sync follows within this time.
    Interval(Duration),
    /// It was written; the operating system syncs when it likes.
    Os,
}

impl Storage {
    pub(super) fn read(mut section: Section) -> Result<Self, ConfigError> {
        let kind = section.text("type")?;
        let storage = match kind.as_ref().map_or("angzarr", |(_, kind)| kind.as_str()) {
            "angzarr" => Self::Native(NativeStorage::read(&mut section)?),
            "remote" => Self::Remote(RemoteStorage::read(&mut section)?),
            other => {
                const LATER: [&str; 6] = [
                    "sqlite", "postgres", "redis", "bigtable", "dynamo", "immudb",
                ];
                let problem = not_built_in(other, &LATER, "angzarr, remote");
                return Err(refuse(&section, kind, problem));
            }
        };
        section.finish()?;
        Ok(storage)
    }
}

impl RemoteStorage {
    fn read(section: &mut Section) -> Result<Self, ConfigError> {
        let endpoint = section.require("url", Endpoint::parse_with_tls)?;
        let tls = ClientTls::read(section)?;
        match (&endpoint, &tls) {
            (Endpoint::Https(_), None) => Err(section.missing(
                "tls",
                "is missing: name the authority of the server in storage.tls.ca",
            )),
            (Endpoint::Http(_) | Endpoint::Unix(_), Some(_)) => {
                Err(section.missing("tls", "is for addresses that begin with https://"))
            }
            _ => Ok(Self { endpoint, tls }),
        }
    }
}

impl NativeStorage {
    fn read(section: &mut Section) -> Result<Self, ConfigError> {
        let default = Self::default();
        let size = value::positive_bytes;
        Ok(Self {
            path: section.parse("path", default.path, path)?,
            durability: durability(section)?,
            index: section.parse("index", default.index, index)?,
            segment_bytes: section.parse("segment_bytes", default.segment_bytes, segment_bytes)?,
            queue_bytes: section.parse("queue_bytes", default.queue_bytes, size)?,
            index_buffer_bytes: section.parse(
                "index_buffer_bytes",
                default.index_buffer_bytes,
                size,
            )?,
            index_cache_bytes: section.parse(
                "index_cache_bytes",
                default.index_cache_bytes,
                size,
            )?,
            seal_rate: section.parse("seal_rate", default.seal_rate, value::bytes)?,
            segment_cache_bytes: section.parse(
                "segment_cache_bytes",
                default.segment_cache_bytes,
                size,
            )?,
            book_cache_bytes: section.parse(
                "book_cache_bytes",
                default.book_cache_bytes,
                value::bytes,
            )?,
        })
    }
}

fn index(text: &str) -> Result<Option<Index>, String> {
    let index = value::choice(
        &[("memory", Index::Memory), ("rocksdb", Index::RocksDb)],
        text,
    )?;
    if index == Index::RocksDb && !cfg!(feature = "rocksdb") {
        return Err("rocksdb is not in this build; write memory, or build with RocksDB".to_owned());
    }
    Ok(Some(index))
}

fn segment_bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 10;
    match value::bytes(text)? {
        bytes if bytes < LEAST => Err("must be at least 64KiB".to_owned()),
        bytes => Ok(bytes),
    }
}

fn durability(section: &mut Section) -> Result<Durability, ConfigError> {
    const CHOICES: [(&str, Durability); 3] = [
        ("fsync", Durability::Fsync),
        ("interval", Durability::Interval(Duration::from_millis(100))),
        ("os", Durability::Os),
    ];
    let chosen = section.parse("durability", Durability::Fsync, |text| {
        value::choice(&CHOICES, text)
    })?;
    match (chosen, section.text("sync_interval")?) {
        (Durability::Interval(_), Some((origin, text))) => value::positive_duration(&text)
            .map(Durability::Interval)
            .map_err(|problem| section.bad("sync_interval", &origin, problem)),
        (_, Some((origin, _))) => {
            Err(section.bad("sync_interval", &origin, "needs durability: interval"))
        }
        (chosen, None) => Ok(chosen),
    }
}

pub(super) fn not_built_in(kind: &str, later: &[&str], built_in: &str) -> String {
    if later.contains(&kind) {
        format!("{kind} is not built in yet; this version has {built_in}")
    } else {
        format!("{kind:?} is not known; this version has {built_in}")
    }
}

pub(super) fn refuse(
    section: &Section,
    kind: Option<(super::Origin, String)>,
    problem: String,
) -> ConfigError {
    let origin = kind.map_or(super::Origin::Default, |(origin, _)| origin);
    section.bad("type", &origin, problem)
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("needs a path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}
