//! NATS JetStream: one stream, a subject for each aggregate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_benches::child::Server;
use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use async_trait::async_trait;
use futures::StreamExt;

use super::hex;
use crate::contender::{Client, Contender, Field, Kind, Store};
use crate::{Result, disk, process};

const STREAM: &str = "events";

/// Messages asked for at once: whole aggregates.
const BATCH: u32 = 1_000_000;

/// The only one there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nats;

#[async_trait]
impl Contender for Nats {
    fn id(&self) -> &'static str {
        "nats"
    }

    fn name(&self) -> &'static str {
        "NATS JetStream"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn settings(&self) -> &'static str {
        "sync_interval: always; file storage, one subject for each aggregate, expected last sequence of \
         the subject"
    }

    fn version(&self, field: &Field) -> Result<String> {
        process::version(&program(field)?, "--version")
    }

    fn serves_reads(&self) -> bool {
        true
    }

    async fn start(&self, field: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        let store = folder.join("store");
        let settings = format!(
            "jetstream {{\n  store_dir: \"{}\"\n  sync_interval: always\n}}\n",
            store.display()
        );
        let file = folder.join("nats.conf");
        std::fs::write(&file, settings)?;
        let server = process::serve(&program(field)?, folder, |command, address| {
            command.arg("--config").arg(&file);
            command.args(["--addr", "127.0.0.1"]);
            command.args(["--port", &address.port().to_string()]);
        })?;
        let control = async_nats::connect(server.address.to_string()).await?;
        jetstream::new(control.clone())
            .create_stream(stream::Config {
                name: STREAM.to_owned(),
                subjects: vec!["event.*".to_owned()],
                storage: stream::StorageType::File,
                allow_direct: true,
                ..Default::default()
            })
            .await?;
        Ok(Box::new(Running { server, store }))
    }
}

fn program(field: &Field) -> Result<PathBuf> {
    field.program("nats", "bin/nats-server")
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

    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let mut connected: Vec<Box<dyn Client>> = Vec::new();
        for _ in 0..clients {
            let client = async_nats::connect(self.server.address.to_string()).await?;
            let inbox = client.new_inbox();
            connected.push(Box::new(NatsClient {
                stream: jetstream::new(client.clone()),
                answers: client.subscribe(inbox.clone()).await?,
                inbox,
                client,
                last: HashMap::new(),
                workload: Arc::clone(workload),
            }));
        }
        Ok(connected)
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(Some(disk::used(&self.store)?))
    }
}

struct NatsClient {
    client: async_nats::Client,
    stream: jetstream::Context,
    inbox: String,
    answers: async_nats::Subscriber,
    /// The stream's sequence of each aggregate's last event: what NATS compares.
    last: HashMap<u32, u64>,
    workload: Arc<Workload>,
}

impl NatsClient {
    fn subject(&self, aggregate: u32) -> String {
        format!("event.{}", hex(&self.workload.root(aggregate)))
    }
}

#[async_trait]
impl Client for NatsClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let last = match sequence {
            0 => 0,
            _ => self.last.get(&aggregate).copied().unwrap_or_default(),
        };
        let message = PublishMessage::build()
            .payload(self.workload.payload(aggregate, sequence).into())
            .expected_last_subject_sequence(last);
        let published = match self
            .stream
            .send_publish(self.subject(aggregate), message)
            .await
        {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        match published {
            Ok(acknowledged) => {
                self.last.insert(aggregate, acknowledged.sequence);
                Ok(())
            }
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(AppendError::Refused(error.to_string()))
            }
            Err(error) => Err(AppendError::Failed(error.to_string())),
        }
    }

    /// One request, answered by each message and then by one that has none.
    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let subject = self.subject(aggregate);
        let request = format!(r#"{{"seq": 1, "batch": {BATCH}, "next_by_subj": "{subject}"}}"#);
        let to = format!("$JS.API.DIRECT.GET.{STREAM}");
        self.client
            .publish_with_reply(to, self.inbox.clone(), request.into())
            .await?;
        let mut payloads = Vec::new();
        loop {
            let answer = self.answers.next().await.ok_or("the connection ended")?;
            match answer.status {
                None => payloads.push(answer.payload.to_vec()),
                // The end of the batch, or nothing at all.
                Some(status) if matches!(status.as_u16(), 204 | 404) => return Ok(payloads),
                Some(status) => {
                    return Err(format!("{status}: {:?}", answer.description).into());
                }
            }
        }
    }
}
