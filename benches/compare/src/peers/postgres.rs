//! PostgreSQL: a plain table, and the one that Angzarr publishes.

use std::path::Path;
use std::sync::Arc;

use angzarr_benches::postgres::{self, Cluster, Connection, Table};
use angzarr_server::bench::load::{AppendError, Writer};
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use tokio_postgres::{Client as Sql, Statement};

use super::angzarr::payload;
use crate::Result;
use crate::contender::{Client, Contender, Field, Kind, Store};

/// What both tables are measured with.
pub(crate) const SETTINGS: &str = "fsync=on, synchronous_commit=on, full_page_writes=on";

const PLAIN_SELECT: &str =
    "SELECT event_data FROM events WHERE domain = $1 AND root = $2 ORDER BY sequence";

const ANGZARR_SELECT: &str = "SELECT event_data FROM events \
     WHERE domain = $1 AND edition = 'angzarr' AND root = encode($2::bytea, 'hex') \
     ORDER BY sequence";

/// One of the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postgres(pub(crate) Table);

#[async_trait]
impl Contender for Postgres {
    fn id(&self) -> &'static str {
        match self.0 {
            Table::Plain => "pg",
            Table::Angzarr => "pg-angzarr",
            Table::AngzarrPrepared => "pg-angzarr-prepared",
        }
    }

    fn name(&self) -> &'static str {
        match self.0 {
            Table::Plain => "PostgreSQL, plain table, prepared INSERT",
            Table::Angzarr => "PostgreSQL, Angzarr's table",
            Table::AngzarrPrepared => "PostgreSQL, Angzarr's table, prepared",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        SETTINGS
    }

    fn version(&self, field: &Field) -> Result<String> {
        Ok(field.cluster()?.version()?)
    }

    fn serves_reads(&self) -> bool {
        true
    }

    async fn start(&self, field: &Field, _: &Path) -> Result<Box<dyn Store>> {
        let cluster = field.cluster()?;
        let control = postgres::connect(&cluster.connection()).await?;
        postgres::create(&control, self.0).await?;
        Ok(Box::new(Running {
            table: self.0,
            cluster,
            control,
        }))
    }
}

struct Running {
    table: Table,
    cluster: Arc<Cluster>,
    control: Sql,
}

#[async_trait]
impl Store for Running {
    fn pids(&self) -> Result<Vec<u32>> {
        Ok(self.cluster.pids()?)
    }

    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let connection = self.cluster.connection();
        let mut connected: Vec<Box<dyn Client>> = Vec::new();
        for _ in 0..clients {
            connected.push(Box::new(PostgresClient {
                writer: Connection::open(&connection, self.table, workload).await?,
                connection: connection.clone(),
                reader: None,
                table: self.table,
                workload: Arc::clone(workload),
            }));
        }
        Ok(connected)
    }

    /// The table with its indexes; the write-ahead log, which is recycled, does not count.
    async fn bytes(&self) -> Result<Option<u64>> {
        bytes(&self.control, "events").await
    }
}

/// Bytes of a table and its indexes.
pub(crate) async fn bytes(control: &Sql, table: &str) -> Result<Option<u64>> {
    let select = "SELECT pg_total_relation_size($1::text::regclass)";
    let bytes: i64 = control.query_one(select, &[&table]).await?.try_get(0)?;
    Ok(Some(u64::try_from(bytes)?))
}

struct PostgresClient {
    writer: Connection,
    connection: String,
    /// Connected when first read from, so that appends have the server to themselves.
    reader: Option<(Sql, Statement)>,
    table: Table,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for PostgresClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        self.writer.append(aggregate, sequence).await
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let (client, select) = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let client = postgres::connect(&self.connection).await?;
                let select = client.prepare(select(self.table)).await?;
                none.insert((client, select))
            }
        };
        let root = self.workload.root(aggregate).to_vec();
        let rows = client
            .query(&*select, &[&self.workload.domain, &root])
            .await?;
        rows.iter().map(|row| payload(row.try_get(0)?)).collect()
    }
}

fn select(table: Table) -> &'static str {
    match table {
        Table::Plain => PLAIN_SELECT,
        Table::Angzarr | Table::AngzarrPrepared => ANGZARR_SELECT,
    }
}
