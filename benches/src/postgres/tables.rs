use std::sync::Arc;
use std::time::SystemTime;

use angzarr_proto::v1::{PageHeader, page_header};
use angzarr_server::bench::grpc;
use angzarr_server::bench::load::{AppendError, Writer};
use angzarr_server::bench::workload::Workload;
use futures::TryStreamExt;
use prost::Message;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage, Statement, Transaction};

/// Which table, and how an event gets into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Four columns, PRIMARY KEY (domain, root, sequence), one prepared autocommit INSERT.
    Plain,
    /// The table that Angzarr publishes for PostgreSQL, with its four round trips: BEGIN, SELECT
    /// MAX(sequence), INSERT, COMMIT, the middle two as SQL text.
    Angzarr,
    /// The same with both statements prepared.
    AngzarrPrepared,
}

const PLAIN: &str = "
CREATE TABLE events (
    domain text NOT NULL,
    root bytea NOT NULL,
    sequence integer NOT NULL,
    event_data bytea NOT NULL,
    PRIMARY KEY (domain, root, sequence)
)";

const ANGZARR: &str = "
CREATE TABLE events (
    domain varchar(255) NOT NULL,
    edition varchar(255) NOT NULL,
    root varchar(36) NOT NULL,
    sequence integer NOT NULL,
    created_at varchar(64) NOT NULL,
    event_data bytea NOT NULL,
    correlation_id varchar(255) NOT NULL,
    PRIMARY KEY (domain, edition, root, sequence)
);
CREATE INDEX events_aggregate ON events (domain, root);
CREATE INDEX events_created ON events (domain, root, created_at);
CREATE INDEX events_correlation ON events (correlation_id)";

const PLAIN_INSERT: &str =
    "INSERT INTO events (domain, root, sequence, event_data) VALUES ($1, $2, $3, $4)";

const PLAIN_SELECT: &str =
    "SELECT event_data FROM events WHERE domain = $1 AND root = $2 ORDER BY sequence";

const MAX: &str = "SELECT MAX(sequence) FROM events \
     WHERE domain = $1 AND edition = 'angzarr' AND root = $2";

const INSERT: &str = "INSERT INTO events \
     (domain, edition, root, sequence, created_at, event_data, correlation_id) \
     VALUES ($1, 'angzarr', $2, $3, $4, $5, '')";

/// Events inserted at once when a table is filled.
const FILL_BATCH: usize = 1_000;

/// Opens a connection and lets it run.
///
/// # Errors
/// When the server refuses it.
pub async fn connect(connection: &str) -> Result<Client, Error> {
    let (client, driver) = tokio_postgres::connect(connection, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            eprintln!("a connection to PostgreSQL broke: {error}");
        }
    });
    Ok(client)
}

/// An empty table, and nothing left to write from before.
///
/// # Errors
/// When the server refuses it.
pub async fn create(client: &Client, table: Table) -> Result<(), Error> {
    let create = match table {
        Table::Plain => PLAIN,
        Table::Angzarr | Table::AngzarrPrepared => ANGZARR,
    };
    client
        .batch_execute(&format!("DROP TABLE IF EXISTS events; {create}"))
        .await?;
    client.batch_execute("CHECKPOINT").await
}

/// Writes the events of the workload's first aggregate into a [`Table::Plain`], unmeasured.
///
/// # Errors
/// When the server refuses it.
pub async fn fill(client: &mut Client, workload: &Workload, events: u32) -> Result<(), Error> {
    let root = workload.root(0).to_vec();
    let transaction = client.transaction().await?;
    let insert = transaction.prepare(PLAIN_INSERT).await?;
    let rows: Vec<_> = (0..events)
        .map(|sequence| (column(sequence), data(workload, 0, sequence)))
        .collect();
    for batch in rows.chunks(FILL_BATCH) {
        let inserts = batch.iter().map(|(sequence, data)| {
            let values: [&(dyn ToSql + Sync); 4] = [&workload.domain, &root, sequence, data];
            let (transaction, insert) = (&transaction, &insert);
            async move { transaction.execute(insert, &values).await }
        });
        futures::future::try_join_all(inserts).await?;
    }
    transaction.commit().await?;
    client.batch_execute("VACUUM ANALYZE events; ").await?;
    client.batch_execute("CHECKPOINT").await
}

/// Writes one event of each of the workload's aggregates into a [`Table::Angzarr`].
pub(super) async fn insert_of_each(
    transaction: &Transaction<'_>,
    workload: &Workload,
    sequence: u32,
) -> Result<(), Error> {
    let insert = transaction.prepare(INSERT).await?;
    let now = now();
    let rows: Vec<_> = (0..workload.aggregates)
        .map(|aggregate| {
            (
                hex(&workload.root(aggregate)),
                data(workload, aggregate, sequence),
            )
        })
        .collect();
    for batch in rows.chunks(FILL_BATCH) {
        let inserts = batch.iter().map(|(root, data)| {
            let column = column(sequence);
            let (now, insert) = (&now, &insert);
            async move {
                let values: [&(dyn ToSql + Sync); 5] = [&workload.domain, root, &column, now, data];
                transaction.execute(insert, &values).await
            }
        });
        futures::future::try_join_all(inserts).await?;
    }
    Ok(())
}

/// Reads the first aggregate once, in order. Returns its events and their bytes.
///
/// # Errors
/// When the query fails.
pub async fn replay(
    client: &Client,
    select: &Statement,
    workload: &Workload,
) -> Result<(u64, u64), Error> {
    let root = workload.root(0).to_vec();
    let values: [&(dyn ToSql + Sync); 2] = [&workload.domain, &root];
    let rows = client.query_raw(select, values).await?;
    rows.try_fold((0, 0), |(events, bytes), row| async move {
        let data: &[u8] = row.try_get(0)?;
        Ok((events + 1, bytes + data.len() as u64))
    })
    .await
}

/// The statement for [`replay`].
///
/// # Errors
/// When the server refuses it.
pub async fn prepare_replay(client: &Client) -> Result<Statement, Error> {
    client.prepare(PLAIN_SELECT).await
}

/// One connection that appends.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    table: Table,
    insert: Statement,
    max: Option<Statement>,
    workload: Arc<Workload>,
}

impl Connection {
    /// Connects and prepares what the table's way of appending prepares.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn open(
        connection: &str,
        table: Table,
        workload: &Arc<Workload>,
    ) -> Result<Self, Error> {
        let client = connect(connection).await?;
        let (insert, max) = match table {
            Table::Plain => (client.prepare(PLAIN_INSERT).await?, None),
            Table::Angzarr | Table::AngzarrPrepared => (
                client.prepare(INSERT).await?,
                Some(client.prepare(MAX).await?),
            ),
        };
        Ok(Self {
            client,
            table,
            insert,
            max,
            workload: Arc::clone(workload),
        })
    }

    async fn plain(&self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let root = self.workload.root(aggregate).to_vec();
        let data = data(&self.workload, aggregate, sequence);
        let values: [&(dyn ToSql + Sync); 4] =
            [&self.workload.domain, &root, &column(sequence), &data];
        self.client
            .execute(&self.insert, &values)
            .await
            .map(drop)
            .map_err(append_error)
    }

    async fn prepared(&self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let root = hex(&self.workload.root(aggregate));
        let data = data(&self.workload, aggregate, sequence);
        self.client
            .batch_execute("BEGIN")
            .await
            .map_err(append_error)?;
        if let Some(max) = &self.max {
            let values: [&(dyn ToSql + Sync); 2] = [&self.workload.domain, &root];
            let row = self
                .client
                .query_one(max, &values)
                .await
                .map_err(append_error)?;
            let last: Option<i32> = row.try_get(0).map_err(append_error)?;
            self.check(last, sequence).await?;
        }
        let values: [&(dyn ToSql + Sync); 5] = [
            &self.workload.domain,
            &root,
            &column(sequence),
            &now(),
            &data,
        ];
        self.client
            .execute(&self.insert, &values)
            .await
            .map_err(append_error)?;
        self.client
            .batch_execute("COMMIT")
            .await
            .map_err(append_error)
    }

    async fn text(&self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let (domain, root) = (&self.workload.domain, hex(&self.workload.root(aggregate)));
        let data = hex(&data(&self.workload, aggregate, sequence));
        self.client
            .batch_execute("BEGIN")
            .await
            .map_err(append_error)?;
        let select = format!(
            "SELECT MAX(sequence) FROM events \
             WHERE domain = '{domain}' AND edition = 'angzarr' AND root = '{root}'"
        );
        let answer = self
            .client
            .simple_query(&select)
            .await
            .map_err(append_error)?;
        let last = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        self.check(last, sequence).await?;
        let insert = format!(
            "INSERT INTO events \
             (domain, edition, root, sequence, created_at, event_data, correlation_id) \
             VALUES ('{domain}', 'angzarr', '{root}', {sequence}, '{}', '\\x{data}', '')",
            now()
        );
        self.client
            .batch_execute(&insert)
            .await
            .map_err(append_error)?;
        self.client
            .batch_execute("COMMIT")
            .await
            .map_err(append_error)
    }

    async fn check(&self, last: Option<i32>, sequence: u32) -> Result<(), AppendError> {
        let next = last.map_or(0, |last| i64::from(last) + 1);
        if next == i64::from(sequence) {
            return Ok(());
        }
        self.client
            .batch_execute("ROLLBACK")
            .await
            .map_err(append_error)?;
        Err(AppendError::Refused(format!("the aggregate is at {next}")))
    }
}

impl Writer for Connection {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        match self.table {
            Table::Plain => self.plain(aggregate, sequence).await,
            Table::Angzarr => self.text(aggregate, sequence).await,
            Table::AngzarrPrepared => self.prepared(aggregate, sequence).await,
        }
    }
}

/// An event as Angzarr's tables hold it: an encoded `EventPage`.
fn data(workload: &Workload, aggregate: u32, sequence: u32) -> Vec<u8> {
    let mut page = grpc::page(workload.payload(aggregate, sequence));
    let sequence = page_header::SequenceType::Sequence(sequence);
    page.header = Some(PageHeader {
        sequence_type: Some(sequence),
        ..Default::default()
    });
    page.encode_to_vec()
}

fn column(sequence: u32) -> i32 {
    i32::try_from(sequence).unwrap_or(i32::MAX)
}

/// Any text of the length of an RFC 3339 time, growing.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:020}.{:09}Z", since.as_secs(), since.subsec_nanos())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn append_error(error: Error) -> AppendError {
    match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => AppendError::Refused(error.to_string()),
        _ => AppendError::Failed(error.to_string()),
    }
}
