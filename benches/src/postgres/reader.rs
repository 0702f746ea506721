use std::sync::Arc;

use angzarr_server::bench::workload::Workload;
use futures::TryStreamExt;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::tables::{self, Table, connect};

const SELECT: &str = "SELECT event_data FROM events \
     WHERE domain = $1 AND edition = 'angzarr' AND root = $2 ORDER BY sequence";

/// Writes the first events of each of the workload's aggregates into an empty
/// [`Table::Angzarr`], sequence by sequence, unmeasured.
///
/// # Errors
/// When the server refuses it.
pub async fn fill_angzarr(
    client: &mut Client,
    workload: &Workload,
    events: u32,
) -> Result<(), Error> {
    tables::create(client, Table::Angzarr).await?;
    let transaction = client.transaction().await?;
    for sequence in 0..events {
        tables::insert_of_each(&transaction, workload, sequence).await?;
    }
    transaction.commit().await?;
    client.batch_execute("VACUUM ANALYZE events").await?;
    client.batch_execute("CHECKPOINT").await
}

/// One connection that reads whole aggregates of a [`Table::Angzarr`].
#[derive(Debug)]
pub struct Reader {
    client: Client,
    select: Statement,
    workload: Arc<Workload>,
}

impl Reader {
    /// Connects and prepares the query.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn open(connection: &str, workload: &Arc<Workload>) -> Result<Self, Error> {
        let client = connect(connection).await?;
        let select = client.prepare(SELECT).await?;
        Ok(Self {
            client,
            select,
            workload: Arc::clone(workload),
        })
    }

    /// Reads an aggregate once, in order. Returns its events and their bytes.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn events(&self, aggregate: u32) -> Result<(u64, u64), Error> {
        let root = tables::hex(&self.workload.root(aggregate));
        let values: [&(dyn ToSql + Sync); 2] = [&self.workload.domain, &root];
        let rows = self.client.query_raw(&self.select, values).await?;
        rows.try_fold((0, 0), |(events, bytes), row| async move {
            let data: &[u8] = row.try_get(0)?;
            Ok((events + 1, bytes + data.len() as u64))
        })
        .await
    }
}
