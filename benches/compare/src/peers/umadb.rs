//! UmaDB over gRPC: every event has its aggregate as a tag, and an append fails when there is an
//! event with that tag after the last one known.

mod protocol;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::child::Server;
use angzarr_server::bench::grpc;
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;
use tonic::Code;

use self::protocol::{AppendCondition, AppendRequest, Dcb, Event, Query, QueryItem, ReadRequest};
use super::hex;
use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, disk, process};

/// The only one there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UmaDb;

#[async_trait]
impl Contender for UmaDb {
    fn id(&self) -> &'static str {
        "umadb"
    }

    fn name(&self) -> &'static str {
        "UmaDB"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        "defaults: synced before the answer, commits grouped"
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
        let server = process::serve(&program(field)?, folder, |command, address| {
            command.args(["--listen", &address.to_string(), "--db-path"]);
            command.arg(store.join("uma.db"));
        })?;
        Ok(Box::new(Running { server, store }))
    }
}

fn program(field: &Field) -> Result<PathBuf> {
    field.program("umadb", "bin/umadb")
}

struct Running {
    server: Server,
    store: PathBuf,
}

#[async_trait]
impl Store for Running {
    fn pids(&self) -> Result<Vec<u32>> {
        Ok(vec![self.server.pid()])
    }

    /// As many clients share a connection as for Angzarr.
    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let channels = grpc::connect(&self.server.url(), clients, 0).await?;
        let clients = channels.iter().cycle().take(clients as usize);
        let client = |channel: &tonic::transport::Channel| -> Box<dyn Client> {
            Box::new(UmaClient {
                dcb: Dcb::new(channel.clone()),
                last: HashMap::new(),
                workload: Arc::clone(workload),
            })
        };
        Ok(clients.map(client).collect())
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(Some(disk::used(&self.store)?))
    }
}

struct UmaClient {
    dcb: Dcb,
    /// Position of each aggregate's last event.
    last: HashMap<u32, u64>,
    workload: Arc<Workload>,
}

impl UmaClient {
    fn tags(&self, aggregate: u32) -> Vec<String> {
        vec![format!("account:{}", hex(&self.workload.root(aggregate)))]
    }

    fn query(&self, aggregate: u32) -> Query {
        let tags = self.tags(aggregate);
        Query {
            items: vec![QueryItem {
                types: Vec::new(),
                tags,
            }],
        }
    }
}

#[async_trait]
impl Client for UmaClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let after = match sequence {
            0 => None,
            _ => self.last.get(&aggregate).copied(),
        };
        let request = AppendRequest {
            events: vec![Event {
                event_type: "event".to_owned(),
                tags: self.tags(aggregate),
                data: self.workload.payload(aggregate, sequence),
                uuid: String::new(),
            }],
            condition: Some(AppendCondition {
                fail_if_events_match: Some(self.query(aggregate)),
                after,
            }),
        };
        match self.dcb.append(request).await {
            Ok(answer) => {
                self.last.insert(aggregate, answer.position);
                Ok(())
            }
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(AppendError::Refused(status.to_string()))
            }
            Err(status) => Err(AppendError::Failed(status.to_string())),
        }
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let request = ReadRequest {
            query: Some(self.query(aggregate)),
        };
        let mut batches = self.dcb.read(request).await?;
        let mut payloads = Vec::new();
        while let Some(batch) = batches.message().await? {
            let events = batch.events.into_iter().filter_map(|stored| stored.event);
            payloads.extend(events.map(|event| event.data));
        }
        Ok(payloads)
    }
}
