//! SQLite in this process: one table, a transaction for each event or for each group.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use rusqlite::Connection;

use super::batched::{Batched, Event, Sink, stale};
use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, disk};

const CREATE: &str = "CREATE TABLE events (
    root BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (root, sequence)
) WITHOUT ROWID";

const NEXT: &str = "SELECT COALESCE(MAX(sequence) + 1, 0) FROM events WHERE root = ?1";

const INSERT: &str = "INSERT INTO events (root, sequence, payload) VALUES (?1, ?2, ?3)";

const SELECT: &str = "SELECT payload FROM events WHERE root = ?1 ORDER BY sequence";

/// Written by each client in turn, or by one thread that batches what is queued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sqlite {
    pub(crate) batched: bool,
}

#[async_trait]
impl Contender for Sqlite {
    fn id(&self) -> &'static str {
        if self.batched { "sqlite-gc" } else { "sqlite" }
    }

    fn name(&self) -> &'static str {
        if self.batched {
            "SQLite in process, one writer that batches"
        } else {
            "SQLite in process, each client writes"
        }
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn settings(&self) -> &'static str {
        "journal_mode=WAL, synchronous=FULL"
    }

    fn version(&self, _: &Field) -> Result<String> {
        Ok(format!("SQLite {}", rusqlite::version()))
    }

    fn blocks(&self) -> bool {
        !self.batched
    }

    async fn start(&self, _: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let folder = folder.join("sqlite");
        std::fs::create_dir(&folder)?;
        let connection = open(&folder)?;
        connection.execute_batch(CREATE)?;
        let table = Arc::new(Mutex::new(Table(connection)));
        let batched = match self.batched {
            true => Some(Batched::start(Writer(Arc::clone(&table)))?),
            false => None,
        };
        Ok(Box::new(Open {
            table,
            batched,
            folder,
        }))
    }
}

fn open(folder: &Path) -> Result<Connection> {
    let connection = Connection::open(folder.join("events"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

struct Open {
    table: Arc<Mutex<Table>>,
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
            Box::new(SqliteClient {
                table: Arc::clone(&self.table),
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

struct Table(Connection);

impl Table {
    /// Stores those that are their aggregate's next, in one transaction.
    fn append(&mut self, events: &[Event]) -> Result<Vec<bool>> {
        let transaction = self.0.transaction()?;
        let mut accepted = Vec::with_capacity(events.len());
        {
            let mut next = transaction.prepare_cached(NEXT)?;
            let mut insert = transaction.prepare_cached(INSERT)?;
            for event in events {
                let next: u32 = next.query_row([&event.root], |row| row.get(0))?;
                let is_next = next == event.sequence;
                if is_next {
                    insert.execute((&event.root, event.sequence, &event.payload))?;
                }
                accepted.push(is_next);
            }
        }
        transaction.commit()?;
        Ok(accepted)
    }

    fn read(&self, root: [u8; 16]) -> Result<Vec<Vec<u8>>> {
        let mut select = self.0.prepare_cached(SELECT)?;
        let payloads = select.query_map([root], |row| row.get(0))?;
        Ok(payloads.collect::<Result<_, _>>()?)
    }
}

struct Writer(Arc<Mutex<Table>>);

impl Sink for Writer {
    fn commit(&mut self, events: &[Event]) -> Result<Vec<bool>> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.append(events)
    }
}

struct SqliteClient {
    table: Arc<Mutex<Table>>,
    batched: Option<Batched>,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for SqliteClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let event = Event {
            root: self.workload.root(aggregate),
            sequence,
            payload: self.workload.payload(aggregate, sequence),
        };
        if let Some(batched) = &self.batched {
            return batched.append(event).await;
        }
        let appended = Writer(Arc::clone(&self.table)).commit(&[event]);
        match appended.as_deref() {
            Ok([true]) => Ok(()),
            Ok(_) => Err(stale()),
            Err(error) => Err(AppendError::Failed(error.to_string())),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.read(self.workload.root(aggregate))
    }
}
