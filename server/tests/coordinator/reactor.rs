//! Business code that reacts to events, scripted by each test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::process_manager_service_server::{
    ProcessManagerService, ProcessManagerServiceServer,
};
use angzarr_proto::v1::projector_service_server::{ProjectorService, ProjectorServiceServer};
use angzarr_proto::v1::saga_service_server::{SagaService, SagaServiceServer};
use angzarr_proto::v1::{
    CommandBook, CommandPage, Cover, EventBook, EventPage, ProcessManagerHandleRequest,
    ProcessManagerHandleResponse, Projection, SagaHandleRequest, SagaResponse, command_page,
};
use angzarr_server::handler::Retries;
use angzarr_server::registry::{Input, ReactionKind, ReactionSettings};
use futures::future::BoxFuture;
use prost_types::Any;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tower::util::MapRequestLayer;

use crate::counter::rename;

type Script<I, O> = Arc<dyn Fn(I) -> BoxFuture<'static, Result<O, Status>> + Send + Sync>;

/// What was asked of a component, in order.
#[derive(Clone)]
pub(crate) struct Calls<T> {
    calls: Arc<Mutex<Vec<T>>>,
    changed: Arc<Notify>,
}

impl<T: Clone> Calls<T> {
    pub(crate) fn new() -> Self {
        Self {
            calls: Arc::default(),
            changed: Arc::default(),
        }
    }

    pub(crate) fn push(&self, call: T) {
        self.calls.lock().unwrap().push(call);
        self.changed.notify_waiters();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until there are at least so many calls.
    pub(crate) async fn reach(&self, count: usize) -> Vec<T> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let calls = self.all();
            if calls.len() >= count {
                return calls;
            }
            let waited = tokio::time::timeout(Duration::from_secs(20), changed).await;
            assert!(waited.is_ok(), "only {} of {count} calls came", calls.len());
        }
    }
}

#[derive(Clone)]
pub(crate) struct Reactor {
    pub(crate) projected: Calls<EventBook>,
    pub(crate) translated: Calls<SagaHandleRequest>,
    pub(crate) processed: Calls<ProcessManagerHandleRequest>,
    pub(crate) speculated: Calls<EventBook>,
    project: Script<EventBook, Projection>,
    translate: Script<SagaHandleRequest, SagaResponse>,
    process: Script<ProcessManagerHandleRequest, ProcessManagerHandleResponse>,
}

impl Reactor {
    pub(crate) fn new() -> Self {
        Self {
            projected: Calls::new(),
            translated: Calls::new(),
            processed: Calls::new(),
            speculated: Calls::new(),
            project: Arc::new(|_| Box::pin(async { Ok(Projection::default()) })),
            translate: Arc::new(|_| Box::pin(async { Ok(SagaResponse::default()) })),
            process: Arc::new(|_| Box::pin(async { Ok(ProcessManagerHandleResponse::default()) })),
        }
    }

    pub(crate) fn projecting<F>(
        mut self,
        script: impl Fn(EventBook) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Projection, Status>> + Send + 'static,
    {
        self.project = Arc::new(move |book| Box::pin(script(book)));
        self
    }

    pub(crate) fn translating<F>(
        mut self,
        script: impl Fn(SagaHandleRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<SagaResponse, Status>> + Send + 'static,
    {
        self.translate = Arc::new(move |request| Box::pin(script(request)));
        self
    }

    pub(crate) fn processing<F>(
        mut self,
        script: impl Fn(ProcessManagerHandleRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<ProcessManagerHandleResponse, Status>> + Send + 'static,
    {
        self.process = Arc::new(move |request| Box::pin(script(request)));
        self
    }

    /// Serves under the package of a dialect and no other.
    pub(crate) async fn serve(&self, dialect: Dialect) -> String {
        self.serve_at("127.0.0.1:0", dialect).await
    }

    pub(crate) async fn serve_at(&self, address: &str, dialect: Dialect) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let layer = MapRequestLayer::new(move |request| rename(request, dialect));
        let server = Server::builder()
            .layer(layer)
            .add_service(ProjectorServiceServer::new(self.clone()))
            .add_service(SagaServiceServer::new(self.clone()))
            .add_service(ProcessManagerServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    /// Serves under the package of one dialect until `redeployed`, then under that of another.
    pub(crate) async fn serve_redeployed(
        &self,
        before: Dialect,
        after: Dialect,
        redeployed: Arc<AtomicBool>,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let layer = MapRequestLayer::new(move |request| {
            let now = redeployed.load(Ordering::SeqCst);
            rename(request, if now { after } else { before })
        });
        let server = Server::builder()
            .layer(layer)
            .add_service(SagaServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    /// Settings of a component that this business code serves in the canonical dialect.
    pub(crate) async fn component(&self, kind: ReactionKind, name: &str) -> ReactionSettings {
        component(kind, name, &self.serve(Dialect::V1).await)
    }
}

/// A component that reacts to the events of the counter.
pub(crate) fn component(kind: ReactionKind, name: &str, address: &str) -> ReactionSettings {
    ReactionSettings {
        kind,
        name: name.into(),
        domain: (kind == ReactionKind::ProcessManager).then(|| name.into()),
        address: address.into(),
        dialect: None,
        timeout: Duration::from_secs(10),
        retries: Retries {
            attempts: 4,
            min: Duration::from_millis(1),
            max: Duration::from_millis(5),
        },
        concurrency: 8,
        inputs: vec![input("counter", &[])],
        targets: Vec::new(),
        all_editions: kind != ReactionKind::Projector,
        from_now: false,
    }
}

pub(crate) fn input(domain: &str, types: &[&str]) -> Input {
    Input {
        domain: domain.into(),
        types: types.iter().map(|name| (*name).into()).collect(),
    }
}

/// A command as a component emits it: without a header.
pub(crate) fn emitted(domain: &str, root: u8, command: Any) -> CommandBook {
    CommandBook {
        cover: Some(Cover {
            domain: domain.into(),
            root: Some(crate::messages::root(root)),
            ..Cover::default()
        }),
        pages: vec![CommandPage {
            payload: Some(command_page::Payload::Command(command)),
            ..CommandPage::default()
        }],
    }
}

/// A fact as a component emits it: without an id.
pub(crate) fn fact(domain: &str, root: u8, page: EventPage) -> EventBook {
    EventBook {
        cover: Some(Cover {
            domain: domain.into(),
            root: Some(crate::messages::root(root)),
            ..Cover::default()
        }),
        pages: vec![page],
        ..EventBook::default()
    }
}

/// First byte of the root of a book.
pub(crate) fn root_of(book: &EventBook) -> u8 {
    book.cover.as_ref().unwrap().root.as_ref().unwrap().value[0]
}

#[tonic::async_trait]
impl ProjectorService for Reactor {
    async fn handle(&self, request: Request<EventBook>) -> Result<Response<Projection>, Status> {
        let book = request.into_inner();
        self.projected.push(book.clone());
        (self.project)(book).await.map(Response::new)
    }

    async fn handle_speculative(
        &self,
        request: Request<EventBook>,
    ) -> Result<Response<Projection>, Status> {
        let book = request.into_inner();
        self.speculated.push(book.clone());
        (self.project)(book).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl SagaService for Reactor {
    async fn handle(
        &self,
        request: Request<SagaHandleRequest>,
    ) -> Result<Response<SagaResponse>, Status> {
        let request = request.into_inner();
        self.translated.push(request.clone());
        (self.translate)(request).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl ProcessManagerService for Reactor {
    async fn handle(
        &self,
        request: Request<ProcessManagerHandleRequest>,
    ) -> Result<Response<ProcessManagerHandleResponse>, Status> {
        let request = request.into_inner();
        self.processed.push(request.clone());
        (self.process)(request).await.map(Response::new)
    }
}
