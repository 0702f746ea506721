//! Redis with its append-only file synced before each answer: a list for each aggregate, the
//! expected version checked by a script.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::child::Server;
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};

use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, disk, process};

/// Pushes an event when the list has the expected length, which is the next sequence.
const APPEND: &str = "\
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
return 1";

/// The only one there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redis;

#[async_trait]
impl Contender for Redis {
    fn id(&self) -> &'static str {
        "redis"
    }

    fn name(&self) -> &'static str {
        "Redis"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        "appendonly yes, appendfsync always; a list for each aggregate, a script checks its length"
    }

    fn version(&self, field: &Field) -> Result<String> {
        let line = process::version(&program(field)?, "--version")?;
        let version = line.split(' ').find_map(|word| word.strip_prefix("v="));
        Ok(format!("Redis {}", version.unwrap_or(&line)))
    }

    fn serves_reads(&self) -> bool {
        true
    }

    async fn start(&self, field: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let server = process::serve(&program(field)?, folder, |command, address| {
            command.args(["--port", &address.port().to_string()]);
            command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]);
            command.arg(folder);
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        })?;
        Ok(Box::new(Running {
            server,
            folder: folder.to_owned(),
        }))
    }
}

fn program(field: &Field) -> Result<PathBuf> {
    field.program("redis", "redis-server")
}

/// A connection whose answers may take as long as they take.
pub(super) async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let url = redis::Client::open(url)?;
    let connection = url.get_multiplexed_async_connection_with_config(&patient);
    Ok(connection.await?)
}

struct Running {
    server: Server,
    folder: PathBuf,
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
        let url = format!("redis://{}", self.server.address);
        let script = Arc::new(Script::new(APPEND));
        let mut connected: Vec<Box<dyn Client>> = Vec::new();
        for _ in 0..clients {
            connected.push(Box::new(RedisClient {
                connection: connect(&url).await?,
                script: Arc::clone(&script),
                workload: Arc::clone(workload),
            }));
        }
        Ok(connected)
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(Some(disk::used(&self.folder)?))
    }
}

struct RedisClient {
    connection: MultiplexedConnection,
    script: Arc<Script>,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for RedisClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let stored: u8 = self
            .script
            .key(&self.workload.root(aggregate)[..])
            .arg(sequence)
            .arg(self.workload.payload(aggregate, sequence))
            .invoke_async(&mut self.connection)
            .await
            .map_err(|error| AppendError::Failed(error.to_string()))?;
        match stored {
            1 => Ok(()),
            _ => Err(super::batched::stale()),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let root = self.workload.root(aggregate);
        let mut command = redis::cmd("LRANGE");
        command.arg(&root[..]).arg(0).arg(-1);
        Ok(command.query_async(&mut self.connection).await?)
    }
}
