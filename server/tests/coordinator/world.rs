//! A server on a free port over a scratch folder, with the counter as business code.

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::{EventStore, Limits, NativeStore};
use angzarr_engine::Options;
use angzarr_proto::Dialect;
use angzarr_proto::store::v1::{
    CommitCascadeRequest, Filter, ReadAllRequest, RollbackCascadeRequest, read_all_response,
};
use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_proto::v1::event_query_service_client::EventQueryServiceClient;
use angzarr_proto::v1::event_stream_service_client::EventStreamServiceClient;
use angzarr_proto::v1::{
    AngzarrDeadLetter, CommandBook, CommandPage, CommandRequest, CommandResponse, Cover, Edition,
    EventBook, EventPage, MergeStrategy, PageHeader, Query, SyncMode, Uuid, command_page,
    event_page, page_header,
};
use angzarr_server::coordinator::{Consumers, Coordinator, Queries, Settings, Streams};
use angzarr_server::grpc::GrpcServer;
use angzarr_server::handler::Retries;
use angzarr_server::json::Json;
use angzarr_server::listener::Listener;
use angzarr_server::registry::{
    HandlerSettings, ReactionSettings, Registry, Snapshots, UpcasterSettings,
};
use angzarr_server::service::{
    CommandService, ProcessManagerService, ProjectorService, QueryService, SagaService,
    StreamService,
};
use futures::StreamExt;
use prost::Message;
use prost_types::Any;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use crate::counter::{Amount, Counter, State, Text, any, fold};

pub(crate) struct World {
    pub(crate) counter: Counter,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) channel: Channel,
    /// `None` once it is stopped.
    pub(crate) consumers: Option<Consumers>,
    shutdown: CancellationToken,
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
    pub(crate) reactions: Vec<ReactionSettings>,
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
            reactions: Vec::new(),
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
        let store: Arc<dyn EventStore> = native.clone();
        let settings = self.settings;
        let limits = settings.limits;
        let registry = Registry::new(handlers, self.upcasters, limits)
            .unwrap()
            .with_reactions(self.reactions, limits)
            .unwrap();
        let registry = Arc::new(registry);
        let coordinator = Coordinator::new(Arc::clone(&store), Arc::clone(&registry), settings);
        let coordinator = Arc::new(match self.descriptors {
            Some(descriptors) => coordinator.with_descriptors(descriptors),
            None => coordinator,
        });
        let queries =
            Queries::new(Arc::clone(&store), limits).with_upcasters(Arc::clone(&registry));
        let shutdown = CancellationToken::new();
        let consumers = coordinator.start_reactions(&shutdown);
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
            consumers: Some(consumers),
            shutdown,
            native,
            folder: Some(folder),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Ends as a server does that is told to; the next world may go on in the folder.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        self.consumers.take().unwrap().stopped().await;
        let native = Arc::clone(&self.native);
        tokio::task::spawn_blocking(move || native.engine().close().unwrap())
            .await
            .unwrap();
        self.folder.take().unwrap()
    }

    pub(crate) async fn commit(&self, cascade_id: &str) {
        let cascade_id = cascade_id.to_owned();
        let request = CommitCascadeRequest { cascade_id };
        self.store.commit_cascade(request).await.unwrap();
    }

    pub(crate) async fn rollback(&self, cascade_id: &str) {
        let request = RollbackCascadeRequest {
            cascade_id: cascade_id.to_owned(),
            reason: "test".to_owned(),
        };
        self.store.rollback_cascade(request).await.unwrap();
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

pub(crate) fn handler(domain: &str, address: &str) -> HandlerSettings {
    HandlerSettings {
        domain: domain.into(),
        address: address.into(),
        dialect: None,
        timeout: Duration::from_secs(30),
        retries: Retries {
            attempts: 3,
            min: Duration::from_millis(1),
            max: Duration::from_millis(5),
        },
        concurrency: 1024,
        snapshots: Snapshots::Auto,
    }
}

pub(crate) fn root(number: u8) -> Uuid {
    Uuid {
        value: vec![number; 16],
    }
}

pub(crate) fn cover(number: u8) -> Cover {
    Cover {
        domain: "counter".into(),
        root: Some(root(number)),
        ..Cover::default()
    }
}

pub(crate) fn cover_in(domain: &str, root: u8) -> Cover {
    Cover {
        domain: domain.into(),
        ..cover(root)
    }
}

pub(crate) fn dead_letter_cover(domain: &str) -> Cover {
    Cover {
        domain: format!("angzarr.dlq.{domain}"),
        root: Some(root(0)),
        ..Cover::default()
    }
}

pub(crate) fn on_branch(mut cover: Cover, name: &str) -> Cover {
    cover.edition = Some(Edition {
        name: name.into(),
        divergences: vec![],
    });
    cover
}

pub(crate) fn command(cover: Cover, command: Any, sequence: u32) -> CommandRequest {
    let header = PageHeader {
        sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
        sync_mode: None,
    };
    let page = CommandPage {
        header: Some(header),
        payload: Some(command_page::Payload::Command(command)),
        merge_strategy: MergeStrategy::MergeStrict.into(),
    };
    CommandRequest {
        command: Some(CommandBook {
            cover: Some(cover),
            pages: vec![page],
        }),
        ..CommandRequest::default()
    }
}

/// A command that no other one can make stale.
pub(crate) fn at_head(root: u8, payload: Any) -> CommandRequest {
    merged(
        command(cover(root), payload, 0),
        MergeStrategy::MergeAggregateHandles,
    )
}

pub(crate) fn merged(mut request: CommandRequest, strategy: MergeStrategy) -> CommandRequest {
    page_mut(&mut request).merge_strategy = strategy.into();
    request
}

pub(crate) fn in_cascade(mut request: CommandRequest, cascade_id: &str) -> CommandRequest {
    request.cascade_id = Some(cascade_id.into());
    request
}

pub(crate) fn in_mode(mut request: CommandRequest, mode: SyncMode) -> CommandRequest {
    request.sync_mode = mode.into();
    request
}

pub(crate) fn correlated(mut request: CommandRequest, id: &str) -> CommandRequest {
    cover_mut(&mut request).correlation_id = id.into();
    request
}

pub(crate) fn page_mut(request: &mut CommandRequest) -> &mut CommandPage {
    &mut request.command.as_mut().unwrap().pages[0]
}

pub(crate) fn cover_mut(request: &mut CommandRequest) -> &mut Cover {
    request.command.as_mut().unwrap().cover.as_mut().unwrap()
}

pub(crate) fn add(amount: u32) -> Any {
    any("Add", &Amount { amount })
}

pub(crate) fn label(text: &str) -> Any {
    any("Label", &Text { text: text.into() })
}

pub(crate) fn plain(name: &str) -> Any {
    any(name, &Amount { amount: 1 })
}

/// The numbers of the pages.
pub(crate) fn sequences(book: &EventBook) -> Vec<u32> {
    let sequence = |page: &EventPage| match page.header.as_ref().unwrap().sequence_type {
        Some(page_header::SequenceType::Sequence(sequence)) => sequence,
        ref other => panic!("{other:?} is no sequence"),
    };
    book.pages.iter().map(sequence).collect()
}

pub(crate) fn event(page: &EventPage) -> &Any {
    match &page.payload {
        Some(event_page::Payload::Event(any)) => any,
        other => panic!("{other:?} is no event"),
    }
}

/// Last parts of the type names of the pages.
pub(crate) fn types(book: &EventBook) -> Vec<&str> {
    book.pages
        .iter()
        .map(|page| event(page).type_url.rsplit('.').next().unwrap())
        .collect()
}

pub(crate) fn unpack<M: Message + Default>(page: &EventPage) -> M {
    M::decode(event(page).value.as_slice()).unwrap()
}

fn open_store(folder: &TempDir) -> Arc<NativeStore> {
    let options = Options {
        segment_bytes: 4 * 1024 * 1024,
        ..Options::default()
    };
    Arc::new(NativeStore::open(folder.path(), options, Limits::default()).unwrap())
}
