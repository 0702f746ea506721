#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use angzarr_proto::v1::event_query_service_server::{EventQueryService, EventQueryServiceServer};
use angzarr_proto::v1::{AggregateRoot, Cover, EventBook, Query};
use angzarr_proto::{Dialect, v1};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb;

use super::{GrpcServer, ServeError};
use crate::listener::Listener;

const LIMIT: usize = 1024;

/// Answers with the name of the dialect it was asked in.
struct Echo;

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl EventQueryService for Echo {
    type GetEventsStream = Answers<EventBook>;
    type SynchronizeStream = Answers<EventBook>;
    type GetAggregateRootsStream = Answers<AggregateRoot>;

    async fn get_event_book(&self, request: Request<Query>) -> Result<Response<EventBook>, Status> {
        let dialect = request.extensions().get::<Dialect>().copied().unwrap();
        Ok(Response::new(book(dialect.name())))
    }

    /// Never ends.
    async fn get_events(
        &self,
        _: Request<Query>,
    ) -> Result<Response<Self::GetEventsStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }

    async fn synchronize(
        &self,
        _: Request<Streaming<Query>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_aggregate_roots(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::GetAggregateRootsStream>, Status> {
        Err(Status::out_of_range("not about a message's size"))
    }
}

fn book(domain: &str) -> EventBook {
    let cover = Some(Cover {
        domain: domain.to_owned(),
        ..Default::default()
    });
    EventBook {
        cover,
        ..Default::default()
    }
}

struct Running {
    channel: Channel,
    url: String,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

async fn start(address: &str, drain: Duration) -> Running {
    let listener = Listener::bind(address).await.unwrap();
    let url = listener.url().unwrap();
    let echo = EventQueryServiceServer::new(Echo);
    let server = GrpcServer::new(LIMIT).add_service(echo.max_decoding_message_size(LIMIT));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(vec![listener], shutdown.clone(), drain));
    let channel = Endpoint::from_shared(url.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    Running {
        channel,
        url,
        shutdown,
        serving,
    }
}

async fn start_on_loopback() -> Running {
    start("127.0.0.1:0", Duration::from_secs(60)).await
}

async fn ask(channel: &Channel, path: String, query: Query) -> Result<EventBook, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<Query, EventBook>::default();
    let answer = client
        .unary(Request::new(query), path.try_into().unwrap(), codec)
        .await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn every_dialect_reaches_the_service() {
    let server = start_on_loopback().await;
    for dialect in Dialect::ALL {
        let path = dialect.method_path("EventQueryService", "GetEventBook");
        let answer = ask(&server.channel, path, Query::default()).await.unwrap();
        assert_eq!(answer, book(dialect.name()));
    }
    let path = "/angzarr.NoSuchService/GetEventBook".to_owned();
    let error = ask(&server.channel, path, Query::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_answers_for_the_server_and_each_service_in_every_dialect() {
    let server = start_on_loopback().await;
    let mut client = HealthClient::new(server.channel.clone());
    let names = Dialect::ALL
        .iter()
        .map(|dialect| dialect.qualify("EventQueryService"));
    for service in names.chain([String::new()]) {
        let answer = client
            .check(HealthCheckRequest {
                service: service.clone(),
            })
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service:?} is not serving");
    }
    let unknown = HealthCheckRequest {
        service: "angzarr.SagaService".to_owned(),
    };
    assert_eq!(
        client.check(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn reflection_lists_and_describes_the_service_in_every_dialect() {
    let server = start_on_loopback().await;
    let mut client =
        pb::v1::server_reflection_client::ServerReflectionClient::new(server.channel.clone());
    use pb::v1::server_reflection_request::MessageRequest;
    use pb::v1::server_reflection_response::MessageResponse;
    let mut asked = vec![MessageRequest::ListServices(String::new())];
    for dialect in Dialect::ALL {
        asked.push(MessageRequest::FileContainingSymbol(
            dialect.qualify("EventQueryService"),
        ));
    }
    let requests = asked
        .into_iter()
        .map(|request| pb::v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        });
    let answers = client
        .server_reflection_info(stream::iter(requests))
        .await
        .unwrap();
    let mut answers = answers.into_inner();

    let mut next = async || {
        answers
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = next().await else {
        panic!("no list")
    };
    let listed: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for dialect in Dialect::ALL {
        let name = dialect.qualify("EventQueryService");
        assert!(listed.contains(&name), "{name} is not in {listed:?}");
        assert!(
            !listed.contains(&dialect.qualify("SagaService")),
            "not served: {listed:?}"
        );
        let MessageResponse::FileDescriptorResponse(files) = next().await else {
            panic!("no description of {name}")
        };
        let encoded = files.file_descriptor_proto.first().unwrap();
        let file = prost_types::FileDescriptorProto::decode(encoded.as_slice()).unwrap();
        assert_eq!(file.package(), dialect.package());
    }
}

#[tokio::test]
async fn reflection_is_served_in_its_older_version_too() {
    let server = start_on_loopback().await;
    let mut client =
        pb::v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel.clone());
    let request = pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            pb::v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                Dialect::V1.qualify("EventBook"),
            ),
        ),
    };
    let answers = client
        .server_reflection_info(stream::iter([request]))
        .await
        .unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let answer = answer.message_response.unwrap();
    use pb::v1alpha::server_reflection_response::MessageResponse;
    assert!(
        matches!(answer, MessageResponse::FileDescriptorResponse(_)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_oversized_request_is_an_invalid_argument() {
    let server = start_on_loopback().await;
    let path = Dialect::Client03.method_path("EventQueryService", "GetEventBook");
    let cover = Some(Cover {
        domain: "x".repeat(2 * LIMIT),
        ..Default::default()
    });
    let query = Query {
        cover,
        ..Default::default()
    };
    let error = ask(&server.channel, path.clone(), query).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error.message().contains(&LIMIT.to_string()),
        "{}",
        error.message()
    );
    ask(&server.channel, path, Query::default())
        .await
        .expect("the server goes on");
}

#[tokio::test]
async fn another_out_of_range_error_is_not_rephrased() {
    let server = start_on_loopback().await;
    let mut client =
        v1::event_query_service_client::EventQueryServiceClient::new(server.channel.clone());
    let error = client.get_aggregate_roots(()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::OutOfRange, "not about a message's size")
    );
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_removed_at_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("angzarr.sock");
    let server = start(&format!("unix:{}", path.display()), Duration::from_secs(60)).await;
    let method = Dialect::V1.method_path("EventQueryService", "GetEventBook");
    ask(&server.channel, method, Query::default())
        .await
        .unwrap();
    drop(server.channel);
    server.shutdown.cancel();
    server.serving.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn shutdown_gives_up_what_does_not_end() {
    let server = start("127.0.0.1:0", Duration::from_millis(10)).await;
    let mut client =
        v1::event_query_service_client::EventQueryServiceClient::new(server.channel.clone());
    let _endless = client.get_events(Query::default()).await.unwrap();
    server.shutdown.cancel();
    server.serving.await.unwrap().unwrap();
    let refused = Endpoint::from_shared(server.url).unwrap().connect().await;
    assert!(
        refused.is_err(),
        "nobody accepts connections after the shutdown"
    );
}
