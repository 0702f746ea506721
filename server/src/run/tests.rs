#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use angzarr_proto::v1::{
    BusinessResponse, CommandBook, CommandPage, CommandRequest, CommandResponse, ContextualCommand,
    Cover, EventBook, FactRequest, Query, ReplayRequest, ReplayResponse, Uuid,
    command_handler_coordinator_service_client as commands,
    command_handler_service_server as handler, command_page, event_query_service_client as queries,
};
use prost_types::Any;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, server::TcpIncoming};
use tonic::{Request, Response, Status};

use super::*;
use crate::config::{Listen, NativeStorage, Sources, Storage};
use crate::handler::one_event;

/// Business code that answers when it is told to.
struct Slow {
    called: mpsc::Sender<()>,
    answer: Arc<Notify>,
}

#[tonic::async_trait]
impl handler::CommandHandlerService for Slow {
    async fn handle(
        &self,
        _: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        self.called.send(()).await.unwrap();
        self.answer.notified().await;
        let event = Any {
            type_url: "type.googleapis.com/shop.Done".to_owned(),
            value: Vec::new(),
        };
        Ok(Response::new(one_event(event)))
    }

    async fn handle_fact(&self, _: Request<FactRequest>) -> Result<Response<EventBook>, Status> {
        Err(Status::unimplemented("no facts"))
    }

    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<ReplayResponse>, Status> {
        Err(Status::unimplemented("no replay"))
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    called: mpsc::Receiver<()>,
    answer: Arc<Notify>,
    address: String,
}

impl Fixture {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, called) = mpsc::channel(1);
        let answer = Arc::new(Notify::new());
        let slow = Slow {
            called: sender,
            answer: answer.clone(),
        };
        let service = handler::CommandHandlerServiceServer::new(slow);
        let router = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        Self {
            folder: tempfile::tempdir().unwrap(),
            called,
            answer,
            address,
        }
    }

    fn config(&self, drain: Duration) -> Config {
        let folder = self.folder.path();
        let aggregates = format!("[{{domain: order, address: '{}'}}]", self.address);
        let sources = Sources {
            folder: folder.to_path_buf(),
            flags: vec![("test".to_owned(), "aggregates".to_owned(), aggregates)],
            ..Sources::default()
        };
        let mut config = Config::load(&sources).unwrap();
        config.server.listen = vec![Listen::Unix(socket(folder))];
        config.server.drain_timeout = drain;
        config.storage = Storage::Native(NativeStorage {
            path: folder.join("data"),
            ..NativeStorage::default()
        });
        config
    }

    async fn start(&self, drain: Duration) -> Running {
        let instance = Instance::open(&self.config(drain)).await.unwrap();
        let shutdown = instance.shutdown();
        Running {
            shutdown,
            serving: tokio::spawn(instance.serve()),
        }
    }

    async fn channel(&self) -> Channel {
        let uri = format!("unix:{}", socket(self.folder.path()).display());
        Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// Sends a command that the business code has got, and has not answered, on return.
    async fn command(&mut self) -> JoinHandle<Result<Response<CommandResponse>, Status>> {
        let mut client =
            commands::CommandHandlerCoordinatorServiceClient::new(self.channel().await);
        let command = Any {
            type_url: "type.googleapis.com/shop.Do".to_owned(),
            value: Vec::new(),
        };
        let page = CommandPage {
            payload: Some(command_page::Payload::Command(command)),
            ..CommandPage::default()
        };
        let book = CommandBook {
            cover: Some(cover()),
            pages: vec![page],
        };
        let request = CommandRequest {
            command: Some(book),
            ..CommandRequest::default()
        };
        let answer = tokio::spawn(async move { client.handle_command(request).await });
        self.called.recv().await.unwrap();
        answer
    }

    async fn events(&self) -> usize {
        let mut client = queries::EventQueryServiceClient::new(self.channel().await);
        let query = Query {
            cover: Some(cover()),
            selection: None,
        };
        client
            .get_event_book(query)
            .await
            .unwrap()
            .into_inner()
            .pages
            .len()
    }
}

struct Running {
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("socket")
}

fn cover() -> Cover {
    Cover {
        domain: "order".to_owned(),
        root: Some(Uuid { value: vec![7; 16] }),
        ..Cover::default()
    }
}

#[tokio::test]
async fn a_command_under_way_ends_before_the_server_does() {
    let mut fixture = Fixture::new().await;
    let running = fixture.start(Duration::from_secs(60)).await;
    let answer = fixture.command().await;
    running.shutdown.cancel();
    fixture.answer.notify_one();
    let answer = answer.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.events.unwrap().pages.len(), 1);
    running.serving.await.unwrap().unwrap();

    let running = fixture.start(Duration::from_secs(60)).await;
    assert_eq!(fixture.events().await, 1, "what was answered was stored");
    running.stop().await;
}

#[tokio::test]
async fn a_handler_that_hangs_does_not_keep_the_server() {
    let mut fixture = Fixture::new().await;
    let running = fixture.start(Duration::from_millis(20)).await;
    let answer = fixture.command().await;
    running.stop().await;
    assert!(!answer.is_finished(), "nobody answered it");
}

#[tokio::test]
async fn what_cannot_be_opened_leaves_nothing_open() {
    let fixture = Fixture::new().await;
    let mut config = fixture.config(Duration::from_secs(1));
    config
        .server
        .listen
        .push(Listen::Unix("/no/such/folder/socket".into()));
    let refused = Instance::open(&config).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, RunError::Listen { .. }), "{refused}");
    fixture.start(Duration::from_secs(1)).await.stop().await;
}
