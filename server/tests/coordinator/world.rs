//! A server on a free port over a scratch folder, with the counter as business code.
//! With `ANGZARR_TEST_STORE=remote` its database is another server.

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::{EventBus, EventStore, Limits, NativeStore, RemoteStore};
use angzarr_engine::Options;
use angzarr_proto::Dialect;
use angzarr_proto::store::v1::{
    CommitCascadeRequest, Filter, ReadAllRequest, RollbackCascadeRequest, StatsRequest,
    read_all_response,
};
use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_proto::v1::event_query_service_client::EventQueryServiceClient;
use angzarr_proto::v1::event_stream_service_client::EventStreamServiceClient;
use angzarr_proto::v1::{
    AngzarrDeadLetter, CommandRequest, CommandResponse, Cover, EventBook, EventPage, Query,
};
use angzarr_server::admin::DeadLetters;
use angzarr_server::coordinator::{
    BusSettings, Consumers, Coordinator, Progress, Queries, Reacting, Settings, Streams,
};
use angzarr_server::grpc::{GrpcServer, MESSAGE_BYTES_MAX};
use angzarr_server::json::Json;
use angzarr_server::listener::Listener;
use angzarr_server::registry::{
    HandlerSettings, ReactionSettings, Registry, Snapshots, UpcasterSettings,
};
use angzarr_server::service::{
    CommandService, ConsumerService, DeadLetterService, ProcessManagerService, ProjectorService,
    QueryService, SagaService, StoreService, StreamService,
};
use futures::StreamExt;
use prost::Message;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use crate::counter::{Counter, State, fold};
use crate::messages::*;
use crate::mortal::{Death, Interruption, MortalStore};

pub(crate) struct World {
    pub(crate) counter: Counter,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) channel: Channel,
    pub(crate) consumers: Consumers,
    /// `None` once it is stopped.
    reacting: Option<Reacting>,
    shutdown: CancellationToken,
    /// Ends the database that is another server, if it is one.
    database: CancellationToken,
    native: Arc<NativeStore>,
    folder: Option<TempDir>,
}

/// What a test wants to be different.
pub(crate) struct Setup {
    pub(crate) counter: Counter,
    pub(crate) dialect: Dialect,
    pub(crate) snapshots: Snapshots,
    pub(crate) others: Vec<HandlerSettings>,
    pub(crate) upcasters: Vec<UpcasterSettings>,
    pub(crate) descriptors: Option<Json>,
    pub(crate) death: Option<Death>,
    pub(crate) interruption: Option<Interruption>,
    pub(crate) reactions: Vec<ReactionSettings>,
    pub(crate) bus: Option<(Arc<dyn EventBus>, BusSettings)>,
    /// Of an earlier world.
    pub(crate) folder: Option<TempDir>,
    pub(crate) settings: Settings,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            counter: Counter::new(),
            dialect: Dialect::V1,
            snapshots: Snapshots::Auto,
            others: Vec::new(),
            upcasters: Vec::new(),
            descriptors: None,
            death: None,
            interruption: None,
            reactions: Vec::new(),
            bus: None,
            folder: None,
            settings: Settings::default(),
        }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> World {
        let address = self.counter.serve(self.dialect).await;
        let mut handlers = self.others;
        handlers.push(HandlerSettings {
            snapshots: self.snapshots,
            ..handler("counter", &address)
        });
        let folder = self.folder.unwrap_or_else(|| tempfile::tempdir().unwrap());
        let native = open_store(&folder);
        let database = CancellationToken::new();
        let store: Arc<dyn EventStore> = match std::env::var("ANGZARR_TEST_STORE").as_deref() {
            Ok("remote") => Arc::new(elsewhere(native.clone(), database.clone()).await),
            _ => native.clone(),
        };
        // Tests look at what is stored whether or not the coordinator is dead.
        let own: Arc<dyn EventStore> = Arc::new(MortalStore {
            store: Arc::clone(&store),
            death: self.death,
            interruption: self.interruption,
        });
        let settings = self.settings;
        let limits = settings.limits;
        let registry = Registry::new(handlers, self.upcasters, limits)
            .unwrap()
            .with_reactions(self.reactions, limits)
            .unwrap();
        let registry = Arc::new(registry);
        let coordinator = Coordinator::new(Arc::clone(&own), Arc::clone(&registry), settings);
        let coordinator = match self.descriptors {
            Some(descriptors) => coordinator.with_descriptors(descriptors),
            None => coordinator,
        };
        let coordinator = Arc::new(match self.bus {
            Some((bus, settings)) => coordinator.with_bus(bus, settings),
            None => coordinator,
        });
        let queries =
            Queries::new(Arc::clone(&store), limits).with_upcasters(Arc::clone(&registry));
        let shutdown = CancellationToken::new();
        let reactions = coordinator.reactions(&shutdown);
        let consumers = reactions.consumers();
        let reacting = reactions.start();
        let letters = DeadLetters::new(store.clone(), coordinator.clone(), Json::new([]).unwrap());
        let server = GrpcServer::new(limits.message_bytes)
            .add_service(CommandService::server(
                Arc::clone(&coordinator),
                limits.message_bytes,
            ))
            .add_service(SagaService::server(
                Arc::clone(&coordinator),
                limits.message_bytes,
            ))
            .add_service(ProcessManagerService::server(
                Arc::clone(&coordinator),
                limits.message_bytes,
            ))
            .add_service(ProjectorService::server(coordinator, limits.message_bytes))
            .add_service(ConsumerService::server(
                consumers.clone(),
                Arc::clone(&store),
                limits.message_bytes,
            ))
            .add_service(DeadLetterService::server(
                Arc::new(letters),
                limits.message_bytes,
            ))
            .add_service(QueryService::server(queries, limits.message_bytes))
            .add_service(StreamService::server(
                Streams::new(Arc::clone(&store)).with_upcasters(registry),
                shutdown.clone(),
            ));
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.url().unwrap();
        tokio::spawn(server.serve(vec![listener], shutdown.clone(), Duration::from_secs(1)));
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        World {
            counter: self.counter,
            store,
            channel,
            consumers,
            reacting: Some(reacting),
            shutdown,
            database,
            native,
            folder: Some(folder),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.database.cancel();
        // Before its folder is gone: RocksDB waits a second when it cannot write.
        let closed = self.native.engine().close();
        if !std::thread::panicking() {
            closed.unwrap();
        }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Ends as a server does that is told to; the next world may go on in the folder.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        self.reacting.take().unwrap().stopped().await;
        self.database.cancel();
        self.close().await
    }

    /// Ends at once; the next world may go on in the folder.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.shutdown.cancel();
        drop(self.reacting.take());
        self.database.cancel();
        self.close().await
    }

    /// A copy of the folder: requests that are under way keep the folder locked a little longer.
    async fn close(&mut self) -> TempDir {
        let native = Arc::clone(&self.native);
        tokio::task::spawn_blocking(move || native.engine().close().unwrap())
            .await
            .unwrap();
        let folder = self.folder.take().unwrap();
        let copy = tempfile::tempdir().unwrap();
        for part in ["log", "index"] {
            let Ok(files) = std::fs::read_dir(folder.path().join(part)) else {
                continue;
            };
            std::fs::create_dir(copy.path().join(part)).unwrap();
            for file in files {
                let file = file.unwrap();
                let place = copy.path().join(part).join(file.file_name());
                std::fs::copy(file.path(), place).unwrap();
            }
        }
        copy
    }

    /// Waits until a consumer is done with all that is stored now.
    pub(crate) async fn done(&self, consumer: &str) -> Progress {
        let head = self.store.stats(StatsRequest {}).await.unwrap().position;
        let mut progress = self.consumers.follow(consumer).unwrap();
        let done = progress.wait_for(|progress| progress.done >= head);
        let done = tokio::time::timeout(Duration::from_secs(20), done).await;
        let done = done.unwrap_or_else(|_| panic!("{consumer} does not reach {head}"));
        done.unwrap().clone()
    }

    pub(crate) async fn commit(&self, cascade_id: &str) {
        commit(&self.store, cascade_id).await;
    }

    pub(crate) async fn rollback(&self, cascade_id: &str) {
        rollback(&self.store, cascade_id).await;
    }

    /// What was put aside for a domain.
    pub(crate) async fn dead_letters(&self, domain: &str) -> Vec<AngzarrDeadLetter> {
        let book = self.book(dead_letter_cover(domain)).await;
        book.pages.iter().map(unpack).collect()
    }

    /// Waits for the first dead letter of a domain.
    pub(crate) async fn dead_letter(&self, domain: &str) -> AngzarrDeadLetter {
        let domain = format!("angzarr.dlq.{domain}");
        unpack(&self.stored(&domain, 1).await[0])
    }

    /// Waits until so many pages are stored in a domain, on whatever timeline.
    pub(crate) async fn stored(&self, domain: &str, count: usize) -> Vec<EventPage> {
        let request = ReadAllRequest {
            after_position: 0,
            filter: Some(Filter {
                domains: vec![domain.to_owned()],
                ..Filter::default()
            }),
        };
        let mut records = self.store.subscribe(request).await.unwrap();
        let mut pages = Vec::new();
        let reading = async {
            while pages.len() < count {
                let record = records.next().await.unwrap().unwrap();
                if let Some(read_all_response::Item::Book(book)) = record.item {
                    let decoded = book.pages.iter().cloned();
                    pages.extend(decoded.map(|page| EventPage::decode(page).unwrap()));
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(read.is_ok(), "{} of {count} in {domain}", pages.len());
        pages
    }

    pub(crate) fn commands(&self) -> CommandHandlerCoordinatorServiceClient<Channel> {
        CommandHandlerCoordinatorServiceClient::new(self.channel.clone())
    }

    pub(crate) fn queries(&self) -> EventQueryServiceClient<Channel> {
        EventQueryServiceClient::new(self.channel.clone())
    }

    pub(crate) fn streams(&self) -> EventStreamServiceClient<Channel> {
        EventStreamServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn send(&self, request: CommandRequest) -> Result<CommandResponse, Status> {
        self.commands()
            .handle_command(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// The new pages of a command that must succeed.
    pub(crate) async fn sent(&self, request: CommandRequest) -> EventBook {
        self.send(request).await.unwrap().events.unwrap()
    }

    /// Adds an amount to the aggregate, whatever its sequence.
    pub(crate) async fn add(&self, root: u8, amount: u32) -> EventBook {
        self.sent(at_head(root, add(amount))).await
    }

    pub(crate) async fn book(&self, cover: Cover) -> EventBook {
        let query = Query {
            cover: Some(cover),
            selection: None,
        };
        self.queries()
            .get_event_book(query)
            .await
            .unwrap()
            .into_inner()
    }

    /// Domains of the aggregates with a correlation id.
    pub(crate) async fn correlated(&self, id: &str) -> Vec<String> {
        let query = Query {
            cover: Some(Cover {
                correlation_id: id.into(),
                ..Cover::default()
            }),
            selection: None,
        };
        let mut books = self.queries().get_events(query).await.unwrap().into_inner();
        let mut domains = Vec::new();
        while let Some(book) = books.message().await.unwrap() {
            domains.push(book.cover.unwrap().domain);
        }
        domains
    }

    /// The aggregate with this root in another domain.
    pub(crate) async fn book_of(&self, domain: &str, root: u8) -> EventBook {
        self.book(cover_in(domain, root)).await
    }

    /// What the amounts in an aggregate of another domain add up to.
    pub(crate) async fn total(&self, domain: &str, root: u8) -> u32 {
        fold(None, &self.book_of(domain, root).await.pages).value
    }

    pub(crate) async fn state(&self, root: u8) -> State {
        fold(None, &self.book(cover(root)).await.pages)
    }
}

/// The store as a coordinator sees it whose database is another process.
async fn elsewhere(native: Arc<NativeStore>, shutdown: CancellationToken) -> RemoteStore {
    let server = GrpcServer::new(MESSAGE_BYTES_MAX);
    let server = StoreService::new(native, shutdown.clone()).add_to(server);
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.url().unwrap();
    tokio::spawn(server.serve(vec![listener], shutdown, Duration::from_secs(1)));
    RemoteStore::connect(&url).unwrap()
}

fn open_store(folder: &TempDir) -> Arc<NativeStore> {
    let options = Options {
        segment_bytes: 1024 * 1024,
        ..Options::default()
    };
    Arc::new(NativeStore::open(folder.path(), options, Limits::default()).unwrap())
}

pub(crate) async fn commit(store: &Arc<dyn EventStore>, cascade_id: &str) {
    let cascade_id = cascade_id.to_owned();
    let request = CommitCascadeRequest { cascade_id };
    store.commit_cascade(request).await.unwrap();
}

pub(crate) async fn rollback(store: &Arc<dyn EventStore>, cascade_id: &str) {
    let request = RollbackCascadeRequest {
        cascade_id: cascade_id.to_owned(),
        reason: "test".to_owned(),
    };
    store.rollback_cascade(request).await.unwrap();
}
