//! SierraDB, which speaks Redis' protocol: a stream for each aggregate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::child::Server;
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::hex;
use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, process};

/// One node on its own.
const SETTINGS: &str = "\
[network]
cluster_enabled = false
[replication]
factor = 1
";

/// With its events compressed, as they are by default, or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SierraDb {
    pub(crate) compressed: bool,
}

#[async_trait]
impl Contender for SierraDb {
    fn id(&self) -> &'static str {
        if self.compressed {
            "sierradb"
        } else {
            "sierradb-uncompressed"
        }
    }

    fn name(&self) -> &'static str {
        if self.compressed {
            "SierraDB"
        } else {
            "SierraDB, uncompressed"
        }
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        if self.compressed {
            "defaults: synced before the answer, after 5 ms, 50 events or 4 KiB; one node"
        } else {
            "the same with segment.compression = false"
        }
    }

    fn version(&self, field: &Field) -> Result<String> {
        process::version(&program(field)?, "--version")
    }

    fn serves_reads(&self) -> bool {
        true
    }

    async fn start(&self, field: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let store = folder.join("store");
        std::fs::create_dir(&store)?;
        let file = folder.join("sierra.toml");
        let compression = format!("[segment]\ncompression = {}\n", self.compressed);
        std::fs::write(&file, SETTINGS.to_owned() + &compression)?;
        let server = process::serve(&program(field)?, folder, |command, address| {
            command.arg("--config").arg(&file).arg("--dir").arg(&store);
            command.args(["--client-address", &address.to_string(), "--log", "warn"]);
        })?;
        Ok(Box::new(Running { server }))
    }
}

fn program(field: &Field) -> Result<PathBuf> {
    field.program("sierradb", "bin/sierradb")
}

struct Running {
    server: Server,
}

#[async_trait]
impl Store for Running {
    fn pids(&self) -> Result<Vec<u32>> {
        Ok(vec![self.server.pid()])
    }

    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let url = format!("redis://{}/?protocol=resp3", self.server.address);
        let mut connected: Vec<Box<dyn Client>> = Vec::new();
        for _ in 0..clients {
            connected.push(Box::new(SierraClient {
                connection: super::redis::connect(&url).await?,
                workload: Arc::clone(workload),
            }));
        }
        Ok(connected)
    }

    /// Its segments are allocated and filled ahead: their size says nothing.
    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

struct SierraClient {
    connection: MultiplexedConnection,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for SierraClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let mut command = redis::cmd("EAPPEND");
        command
            .arg(hex(&self.workload.root(aggregate)))
            .arg("event");
        command.arg("EXPECTED_VERSION");
        match sequence.checked_sub(1) {
            None => command.arg("EMPTY"),
            Some(last) => command.arg(last),
        };
        command.arg("PAYLOAD");
        command.arg(self.workload.payload(aggregate, sequence));
        let answer: Result<Value, _> = command.query_async(&mut self.connection).await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("WRONGVER") => {
                Err(AppendError::Refused(error.to_string()))
            }
            Err(error) => Err(AppendError::Failed(error.to_string())),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let mut command = redis::cmd("ESCAN");
        command.arg(hex(&self.workload.root(aggregate)));
        command.arg("-").arg("+").arg("COUNT").arg(1_000_000);
        let found: Value = command.query_async(&mut self.connection).await?;
        let Some(Value::Array(events)) = field_of(found, "events") else {
            return Err("an answer without events".into());
        };
        let payload = |event| match field_of(event, "payload") {
            Some(Value::BulkString(payload)) => Ok(payload),
            other => Err(format!("an event with the payload {other:?}").into()),
        };
        events.into_iter().map(payload).collect()
    }
}

/// A field of a map, whatever kind of string its name is.
fn field_of(map: Value, name: &str) -> Option<Value> {
    let Value::Map(fields) = map else { return None };
    let named = |key: &Value| match key {
        Value::SimpleString(key) => key == name,
        Value::BulkString(key) => key == name.as_bytes(),
        _ => false,
    };
    let mut fields = fields.into_iter();
    fields.find(|(key, _)| named(key)).map(|(_, value)| value)
}
