//! Raw RocksDB in this process: one key for each event and one for each aggregate's head.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use rocksdb::{DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};

use super::batched::{Batched, Event, Sink, stale};
use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, disk};

/// Locks over the aggregates, for the check and the write to be one step.
const LOCKS: usize = 4_096;

/// Written by each client, or by one thread that batches what is queued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RocksDb {
    pub(crate) batched: bool,
}

#[async_trait]
impl Contender for RocksDb {
    fn id(&self) -> &'static str {
        if self.batched {
            "rocksdb-gc"
        } else {
            "rocksdb"
        }
    }

    fn name(&self) -> &'static str {
        if self.batched {
            "RocksDB in process, one writer that batches"
        } else {
            "RocksDB in process, each client writes"
        }
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn settings(&self) -> &'static str {
        "WriteOptions.sync, write-ahead log on"
    }

    fn version(&self, _: &Field) -> Result<String> {
        Ok("RocksDB 11.8.1".to_owned())
    }

    fn blocks(&self) -> bool {
        !self.batched
    }

    async fn start(&self, _: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let folder = folder.join("rocksdb");
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_size(128 << 20);
        options.increase_parallelism(2);
        let events = Arc::new(Events {
            db: DB::open(&options, &folder)?,
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        });
        let batched = match self.batched {
            true => Some(Batched::start(Writer(Arc::clone(&events)))?),
            false => None,
        };
        Ok(Box::new(Open {
            events,
            batched,
            folder,
        }))
    }
}

struct Open {
    events: Arc<Events>,
    batched: Option<Batched>,
    folder: PathBuf,
}

#[async_trait]
impl Store for Open {
    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let client = |_| -> Box<dyn Client> {
            Box::new(RocksClient {
                events: Arc::clone(&self.events),
                batched: self.batched.clone(),
                workload: Arc::clone(workload),
            })
        };
        Ok((0..clients).map(client).collect())
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(Some(disk::used(&self.folder)?))
    }
}

struct Events {
    db: DB,
    locks: Vec<Mutex<()>>,
}

impl Events {
    /// The next sequence of an aggregate.
    fn next(&self, root: &[u8; 16]) -> Result<u32> {
        match self.db.get_pinned(root)? {
            None => Ok(0),
            Some(head) => Ok(u32::from_be_bytes(head.as_ref().try_into()?)),
        }
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    fn append(&self, event: &Event) -> Result<(), AppendError> {
        let failed = |error: crate::Error| AppendError::Failed(error.to_string());
        let [first, second, ..] = event.root;
        let lock = usize::from(u16::from_be_bytes([first, second])) % LOCKS;
        let lock = self.locks.get(lock).map(Mutex::lock);
        let _held = lock.map(|lock| lock.unwrap_or_else(PoisonError::into_inner));
        if self.next(&event.root).map_err(failed)? != event.sequence {
            return Err(stale());
        }
        let mut batch = WriteBatch::default();
        put(&mut batch, event);
        self.write(batch).map_err(failed)
    }
}

fn put(batch: &mut WriteBatch, event: &Event) {
    batch.put(key(&event.root, event.sequence), &event.payload);
    batch.put(event.root, (event.sequence + 1).to_be_bytes());
}

/// Events follow their aggregate's head.
fn key(root: &[u8; 16], sequence: u32) -> [u8; 20] {
    let mut key = [0; 20];
    let (left, right) = key.split_at_mut(16);
    left.copy_from_slice(root);
    right.copy_from_slice(&sequence.to_be_bytes());
    key
}

struct Writer(Arc<Events>);

impl Sink for Writer {
    fn commit(&mut self, events: &[Event]) -> Result<Vec<bool>> {
        let mut heads = HashMap::new();
        let mut batch = WriteBatch::default();
        let mut accepted = Vec::with_capacity(events.len());
        for event in events {
            let next = match heads.get(&event.root) {
                Some(next) => *next,
                None => self.0.next(&event.root)?,
            };
            let is_next = next == event.sequence;
            if is_next {
                put(&mut batch, event);
                heads.insert(event.root, next + 1);
            }
            accepted.push(is_next);
        }
        self.0.write(batch)?;
        Ok(accepted)
    }
}

struct RocksClient {
    events: Arc<Events>,
    batched: Option<Batched>,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for RocksClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let event = Event {
            root: self.workload.root(aggregate),
            sequence,
            payload: self.workload.payload(aggregate, sequence),
        };
        match &self.batched {
            Some(batched) => batched.append(event).await,
            None => self.events.append(&event),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let root = self.workload.root(aggregate);
        let first = key(&root, 0);
        let from = IteratorMode::From(&first, Direction::Forward);
        let mut payloads = Vec::new();
        for found in self.events.db.iterator(from) {
            let (key, payload) = found?;
            if !key.starts_with(&root) {
                break;
            }
            payloads.push(payload.into_vec());
        }
        Ok(payloads)
    }
}
