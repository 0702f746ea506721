//! message-db, an event store in PostgreSQL's procedures, in a database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::postgres::{self, Cluster};
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client as Sql, Statement};

use super::hex;
use crate::Result;
use crate::contender::{Client, Contender, Field, Kind, Store};

/// Categories the aggregates are spread over: each has one lock, held until the commit.
const CATEGORIES: u32 = 100;

/// What its installation runs, in this order, except roles, views and privileges.
const FILES: [&str; 19] = [
    "schema/message-store",
    "extensions/pgcrypto",
    "tables/messages",
    "types/message",
    "functions/message-store-version",
    "functions/hash-64",
    "functions/acquire-lock",
    "functions/category",
    "functions/is-category",
    "functions/id",
    "functions/cardinal-id",
    "functions/stream-version",
    "functions/write-message",
    "functions/get-stream-messages",
    "functions/get-category-messages",
    "functions/get-last-stream-message",
    "indexes/messages-id",
    "indexes/messages-stream",
    "indexes/messages-category",
];

const WRITE: &str = "SELECT write_message($1::text::varchar, $2::text::varchar, 'event', \
     $3::text::jsonb, NULL, $4::bigint)";

const READ: &str = "SELECT data::text FROM get_stream_messages($1::text::varchar, 0, 1000000)";

/// The only one there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageDb;

#[async_trait]
impl Contender for MessageDb {
    fn id(&self) -> &'static str {
        "message-db"
    }

    fn name(&self) -> &'static str {
        "message-db"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        "PostgreSQL as above; 100 categories, payloads as base64 in JSON"
    }

    fn version(&self, field: &Field) -> Result<String> {
        let version = fs::read_to_string(sql(field)?.join("VERSION.txt"))?;
        let postgres = field.cluster()?.version()?;
        Ok(format!("message-db {}, {postgres}", version.trim()))
    }

    fn serves_reads(&self) -> bool {
        true
    }

    async fn start(&self, field: &Field, _: &Path) -> Result<Box<dyn Store>> {
        let cluster = field.cluster()?;
        let control = postgres::connect(&cluster.connection()).await?;
        control
            .execute("DROP DATABASE IF EXISTS message_store WITH (FORCE)", &[])
            .await?;
        control
            .execute("CREATE DATABASE message_store", &[])
            .await?;
        let control = postgres::connect(&connection(&cluster)).await?;
        let folder = sql(field)?;
        for file in FILES {
            let statements = fs::read_to_string(folder.join(file).with_extension("sql"))?;
            let done = control.batch_execute(&statements).await;
            done.map_err(|error| format!("{file}.sql: {error:?}"))?;
        }
        control.batch_execute("CHECKPOINT").await?;
        Ok(Box::new(Running { cluster, control }))
    }
}

/// Where its SQL is.
fn sql(field: &Field) -> Result<PathBuf> {
    field.program("message-db", "database")
}

fn connection(cluster: &Cluster) -> String {
    let database = cluster
        .connection()
        .replace("dbname=postgres", "dbname=message_store");
    format!("{database} options='-c search_path=message_store,public'")
}

struct Running {
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
        let connection = connection(&self.cluster);
        let mut connected: Vec<Box<dyn Client>> = Vec::new();
        for _ in 0..clients {
            let sql = postgres::connect(&connection).await?;
            connected.push(Box::new(MessageDbClient {
                write: sql.prepare(WRITE).await?,
                read: sql.prepare(READ).await?,
                sql,
                workload: Arc::clone(workload),
            }));
        }
        Ok(connected)
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        super::postgres::bytes(&self.control, "messages").await
    }
}

struct MessageDbClient {
    sql: Sql,
    write: Statement,
    read: Statement,
    workload: Arc<Workload>,
}

impl MessageDbClient {
    fn stream(&self, aggregate: u32) -> String {
        let root = hex(&self.workload.root(aggregate));
        format!("account{}-{root}", aggregate % CATEGORIES)
    }
}

#[async_trait]
impl Client for MessageDbClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let id = uuid::Uuid::new_v4().to_string();
        let payload = STANDARD.encode(self.workload.payload(aggregate, sequence));
        let data = format!(r#"{{"payload": "{payload}"}}"#);
        let last = i64::from(sequence) - 1;
        let written = self
            .sql
            .query_one(&self.write, &[&id, &self.stream(aggregate), &data, &last])
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::RAISE_EXCEPTION) => {
                Err(AppendError::Refused(format!("{error:?}")))
            }
            Err(error) => Err(AppendError::Failed(format!("{error:?}"))),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let stream = self.stream(aggregate);
        let rows = self.sql.query(&self.read, &[&stream]).await?;
        let payload = |row: &tokio_postgres::Row| {
            let data: serde_json::Value = serde_json::from_str(row.try_get(0)?)?;
            let payload = data.get("payload").and_then(|payload| payload.as_str());
            Ok(STANDARD.decode(payload.ok_or("no payload")?)?)
        };
        rows.iter().map(payload).collect()
    }
}
