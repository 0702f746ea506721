//! A server in this process, and both ways to talk to it.

use angzarr_proto::status::dlq_admin_service_client::DlqAdminServiceClient;
use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_proto::v1::event_query_service_client::EventQueryServiceClient;
use angzarr_proto::v1::{
    CommandBook, CommandPage, CommandRequest, Cover, EventBook, MergeStrategy, PageHeader, Query,
    Uuid, command_page, page_header,
};
use angzarr_server::config::{Config, Sources};
use angzarr_server::run::{Instance, RunError};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost_types::Any;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::counter::Counter;

/// A server with the counter as the business code of domain `counter`.
pub(crate) struct Server {
    pub(crate) counter: Counter,
    pub(crate) url: String,
    pub(crate) channel: Channel,
    pub(crate) folder: TempDir,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<Result<(), RunError>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further settings: key and value in YAML.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings).await
    }

    pub(crate) async fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let counter = Counter::default();
        let aggregates = format!(
            "[{{domain: counter, address: '{}'}}]",
            counter.serve().await
        );
        let flag = |key: &str, value: &str| ("test".to_owned(), key.to_owned(), value.to_owned());
        let data = folder.path().join("data").display().to_string();
        let mut flags = vec![
            flag("server.listen", "127.0.0.1:0"),
            flag("server.drain_timeout", "1s"),
            flag("aggregates", &aggregates),
        ];
        if settings.iter().all(|(key, _)| *key != "storage") {
            flags.push(flag("storage.path", &data));
        }
        flags.extend(settings.iter().map(|(key, value)| flag(key, value)));
        let sources = Sources {
            folder: folder.path().to_path_buf(),
            flags,
            ..Sources::default()
        };
        let instance = Instance::open(&Config::load(&sources).unwrap())
            .await
            .unwrap();
        let (url, shutdown) = (instance.urls()[0].clone(), instance.shutdown());
        let serving = Some(tokio::spawn(instance.serve()));
        let channel = Channel::from_shared(url.clone()).unwrap().connect_lazy();
        Self {
            counter,
            url,
            channel,
            folder,
            shutdown,
            serving,
        }
    }

    /// Ends the server and gives what it left behind.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    pub(crate) fn commands(&self) -> CommandHandlerCoordinatorServiceClient<Channel> {
        CommandHandlerCoordinatorServiceClient::new(self.channel.clone())
    }

    pub(crate) fn queries(&self) -> EventQueryServiceClient<Channel> {
        EventQueryServiceClient::new(self.channel.clone())
    }

    pub(crate) fn dead_letters(&self) -> DlqAdminServiceClient<Channel> {
        DlqAdminServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn book(&self, cover: Cover) -> EventBook {
        let query = Query {
            cover: Some(cover),
            selection: None,
        };
        let book = self.queries().get_event_book(query).await;
        book.unwrap().into_inner()
    }

    /// One HTTP request, and its answer as it begins.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = request.body(Body::from(body)).unwrap();
        client.request(request).await.unwrap().map(Body::new)
    }

    /// One HTTP request, and the whole answer.
    pub(crate) async fn http(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let (parts, body) = self.open(method, path, headers, body).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        (parts.status, parts.headers, body.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.json(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.json(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, headers, body) = self.http(method, path, &[], body).await;
        assert_eq!(headers["content-type"], "application/json");
        (status, serde_json::from_slice(&body).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn cover(root: u8) -> Cover {
    Cover {
        domain: "counter".into(),
        root: Some(Uuid {
            value: vec![root; 16],
        }),
        ..Cover::default()
    }
}

/// A command that names the sequence it was decided on.
pub(crate) fn command(
    root: u8,
    name: &str,
    sequence: u32,
    strategy: MergeStrategy,
) -> CommandRequest {
    let command = Any {
        type_url: format!("type.googleapis.com/counter.{name}"),
        value: vec![8, root],
    };
    let page = CommandPage {
        header: Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
            sync_mode: None,
        }),
        payload: Some(command_page::Payload::Command(command)),
        merge_strategy: strategy.into(),
    };
    CommandRequest {
        command: Some(CommandBook {
            cover: Some(cover(root)),
            pages: vec![page],
        }),
        ..CommandRequest::default()
    }
}
