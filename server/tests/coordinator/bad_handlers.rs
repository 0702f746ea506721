//! Business code that hangs, dies, answers nonsense or too much: a clear error, nothing stored,
//! and the server goes on.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::ContextualCommand;
use angzarr_server::registry::HandlerSettings;
use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::counter::{Amount, Counter, any};
use crate::messages::*;
use crate::world::*;

async fn assert_goes_on(world: &World) {
    assert_eq!(world.book(cover(1)).await.next_sequence, 0);
    world.add(1, 1).await;
    assert_eq!(world.state(1).await.value, 1);
}

/// A world in which domain `bad` is served at an address.
async fn with_bad(settings: HandlerSettings) -> World {
    Setup {
        others: vec![settings],
        ..Setup::default()
    }
    .start()
    .await
}

async fn refused_by_bad(world: &World) -> Status {
    let mut request = at_head(1, add(1));
    cover_mut(&mut request).domain = "bad".into();
    world.send(request).await.unwrap_err()
}

#[tokio::test]
async fn s2_a_handler_that_cannot_be_reached_is_named() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = with_bad(handler("bad", &address)).await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );
    assert!(
        refused.message().contains("3 attempts"),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_a_handler_that_hangs_is_given_up() {
    let counter = Counter::new();
    let address = counter.serve(Dialect::V1).await;
    let timeout = Duration::from_millis(300);
    let world = with_bad(HandlerSettings {
        timeout,
        ..handler("bad", &address)
    })
    .await;
    let mut request = at_head(1, plain("Hang"));
    cover_mut(&mut request).domain = "bad".into();
    let refused = world.send(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );
    // The aggregate is free again.
    let mut request = at_head(1, add(1));
    cover_mut(&mut request).domain = "bad".into();
    assert_eq!(sequences(&world.sent(request).await), [0]);
}

#[tokio::test]
async fn s2_a_handler_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(300);
    let world = with_bad(HandlerSettings {
        timeout,
        ..handler("bad", &address)
    })
    .await;
    assert_eq!(refused_by_bad(&world).await.code(), Code::DeadlineExceeded);
    drop(listener);
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_a_handler_that_dies_on_the_call_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut some = [0; 64];
            let _ = connection.read(&mut some).await;
        }
    });
    let world = with_bad(handler("bad", &address)).await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_a_handler_that_dies_while_it_works_may_come_back() {
    let counter = Counter::new();
    let process = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let serving = counter.clone();
    let address = process
        .spawn(async move { serving.serve(Dialect::V1).await })
        .await
        .unwrap();
    let world = with_bad(handler("bad", &address)).await;
    let mut request = at_head(1, plain("Hang"));
    cover_mut(&mut request).domain = "bad".into();
    let death = async {
        counter.arrived.acquire().await.unwrap().forget();
        process.shutdown_background();
    };
    let (refused, ()) = tokio::join!(world.send(request), death);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );

    counter
        .serve_at(address.strip_prefix("http://").unwrap(), Dialect::V1)
        .await;
    let mut request = at_head(1, add(1));
    cover_mut(&mut request).domain = "bad".into();
    assert_eq!(sequences(&world.sent(request).await), [0]);
}

#[tokio::test]
async fn s2_an_answer_of_ten_thousand_pages_is_refused_by_the_limit() {
    let world = World::start().await;
    let request = at_head(1, any("Repeat", &Amount { amount: 10_000 }));
    let refused = world.send(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(
        refused.message().contains("10000 pages"),
        "{}",
        refused.message()
    );
    assert!(
        refused.message().contains("limits.pages"),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_pages_without_an_event_and_placeholders_are_refused() {
    let world = World::start().await;
    for name in ["Untyped", "Placeholder"] {
        let refused = world.send(at_head(1, plain(name))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal);
        assert!(
            refused.message().contains("page 0"),
            "{}",
            refused.message()
        );
    }
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_an_event_above_the_payload_limit_is_refused() {
    let answer = |bytes| Answer(Bytes::from(bytes));
    let event = prost_types::Any {
        type_url: "a/b".into(),
        value: vec![0; 256 * 1024 + 1],
    };
    let page = angzarr_proto::v1::EventPage {
        payload: Some(angzarr_proto::v1::event_page::Payload::Event(event)),
        ..Default::default()
    };
    let book = angzarr_proto::v1::EventBook {
        pages: vec![page],
        ..Default::default()
    };
    let response = angzarr_proto::v1::BusinessResponse {
        result: Some(angzarr_proto::v1::business_response::Result::Events(book)),
    };
    let address = serve(answer(prost::Message::encode_to_vec(&response))).await;
    let world = with_bad(handler("bad", &address)).await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Internal);
    assert!(
        refused.message().contains("limits.payload_bytes"),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_a_handler_that_takes_less_than_the_book_is_told_from_a_bad_request() {
    let counter = Counter {
        takes: 10_000,
        ..Counter::new()
    };
    let world = Setup {
        counter,
        ..Setup::default()
    }
    .start()
    .await;
    let refused = world
        .send(at_head(1, label(&"x".repeat(20_000))))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("10000 bytes"),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_an_answer_above_the_message_limit_is_refused() {
    let address = serve(Answer(Bytes::from(vec![0; 11 * 1024 * 1024]))).await;
    let world = with_bad(handler("bad", &address)).await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Internal);
    assert!(
        refused.message().contains("limits.message_bytes"),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_an_answer_that_is_no_message_is_refused() {
    let address = serve(Answer(Bytes::from_static(&[0x0a, 0xff, 0xff, 0xff]))).await;
    let world = with_bad(handler("bad", &address)).await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Internal);
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

#[tokio::test]
async fn s2_an_address_without_business_code_is_told() {
    let address = serve(Answer(Bytes::new())).await;
    // The upcaster's path is not served there, nor is any dialect of it.
    let world = with_bad(HandlerSettings {
        dialect: Some(Dialect::Client05),
        ..handler("bad", &address)
    })
    .await;
    let refused = refused_by_bad(&world).await;
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(
        refused.message().contains(&address),
        "{}",
        refused.message()
    );
    assert_goes_on(&world).await;
}

/// Answers every call of business code with the same bytes.
#[derive(Clone)]
struct Answer(Bytes);

async fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(answer);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

impl NamedService for Answer {
    const NAME: &'static str = "angzarr_client.proto.angzarr.v1.CommandHandlerService";
}

impl tower::Service<http::Request<Body>> for Answer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bytes = self.0.clone();
        Box::pin(async move {
            let answer = tower::service_fn(move |_: Request<ContextualCommand>| {
                std::future::ready(Ok::<_, Status>(Response::new(bytes.clone())))
            });
            Ok(tonic::server::Grpc::new(Raw).unary(answer, request).await)
        })
    }
}

#[derive(Clone)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ContextualCommand;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(target, item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ContextualCommand;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        source.advance(source.remaining());
        Ok(Some(ContextualCommand::default()))
    }
}
