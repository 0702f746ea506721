//! The engine without gRPC, and the bare group commit it is held against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::engine;
use angzarr_benches::group_commit::{Entry, GroupCommit};
use angzarr_benches::zeroed::ZeroedFile;
use angzarr_engine::{Engine, Error, Sequence};
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;

use super::batched::stale;
use crate::contender::{Checks, Client, Contender, Field, Kind, Store};
use crate::{Result, disk};

/// Size of the bare log's file.
const FILE_BYTES: u64 = 512 << 20;

/// Most bytes of pages taken from the engine at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InProcess {
    Engine,
    GroupCommit,
}

#[async_trait]
impl Contender for InProcess {
    fn id(&self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::GroupCommit => "log",
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Engine => "Angzarr's engine in process",
            Self::GroupCommit => "limit: bare group commit in process",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Engine => Kind::Angzarr,
            Self::GroupCommit => Kind::Limit,
        }
    }

    fn settings(&self) -> &'static str {
        match self {
            Self::Engine => "defaults: fdatasync before the answer, commits grouped",
            Self::GroupCommit => "fdatasync before the answer, one for each group",
        }
    }

    fn version(&self, _: &Field) -> Result<String> {
        Ok("this tree".to_owned())
    }

    fn serves_reads(&self) -> bool {
        *self == Self::Engine
    }

    fn checks(&self) -> Checks {
        match self {
            Self::Engine => Checks::All,
            Self::GroupCommit => Checks::Stale,
        }
    }

    async fn start(&self, _: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        Ok(match self {
            Self::Engine => {
                let engine = engine::open(&folder.join("data"))?;
                // As the server does.
                tokio::spawn(engine.deliver_answers());
                Box::new(EngineStore {
                    engine: Arc::new(engine),
                    index: folder.join("data/index"),
                })
            }
            Self::GroupCommit => {
                let file = ZeroedFile::create(&folder.join("log"), FILE_BYTES)?;
                Box::new(LogStore(GroupCommit::start(file)?))
            }
        })
    }
}

struct EngineStore {
    engine: Arc<Engine>,
    index: PathBuf,
}

#[async_trait]
impl Store for EngineStore {
    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let client = |_| -> Box<dyn Client> {
            Box::new(EngineClient {
                engine: Arc::clone(&self.engine),
                workload: Arc::clone(workload),
            })
        };
        Ok((0..clients).map(client).collect())
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(Some(
            self.engine.stats().log_bytes + disk::used(&self.index)?,
        ))
    }
}

struct EngineClient {
    engine: Arc<Engine>,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for EngineClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let commit = engine::commit(&self.workload, aggregate, sequence);
        match self.engine.commit(commit).await {
            Ok(_) => Ok(()),
            Err(error @ Error::Conflict { .. }) => Err(AppendError::Refused(error.to_string())),
            Err(error) => Err(AppendError::Failed(error.to_string())),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let view = self
            .engine
            .aggregate(&engine::key(&self.workload, aggregate), None)?;
        let mut cursor = self
            .engine
            .pages(&view, Sequence::new(0), view.next(), false);
        let mut payloads = Vec::new();
        loop {
            let chunk = cursor.next_chunk(CHUNK_BYTES)?;
            if chunk.is_empty() {
                return Ok(payloads);
            }
            payloads.extend(chunk.iter().map(|page| page.body.to_vec()));
        }
    }
}

struct LogStore(GroupCommit);

#[async_trait]
impl Store for LogStore {
    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let client = |_| -> Box<dyn Client> {
            Box::new(LogClient {
                log: self.0.clone(),
                workload: Arc::clone(workload),
            })
        };
        Ok((0..clients).map(client).collect())
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

struct LogClient {
    log: GroupCommit,
    workload: Arc<Workload>,
}

#[async_trait]
impl Client for LogClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let entry = Entry {
            root: self.workload.root(aggregate),
            expected: Some(sequence),
            bytes: self.workload.payload(aggregate, sequence),
        };
        match self.log.append(entry).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(stale()),
            None => Err(AppendError::Failed("the disk failed".to_owned())),
        }
    }

    async fn read(&mut self, _: u32) -> Result<Vec<Vec<u8>>> {
        Err("the bare log is never read".into())
    }
}
