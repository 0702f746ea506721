#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::error::Error as _;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::pb::HealthCheckRequest;

use super::*;
use crate::handler::EncodedCodec;

const SOON: Duration = Duration::from_secs(5);

/// Something that answers, until it is told to stop and its connections are closed.
fn serve(listener: TcpListener) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (_, health) = tonic_health::server::health_reporter();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let stopped = async { stopped.await.unwrap() };
        let serving = Server::builder().add_service(health);
        let serving = serving.serve_with_incoming_shutdown(incoming, stopped);
        serving.await.unwrap();
    });
    (stop, serving)
}

async fn ask(connection: &Connection) -> Result<Bytes, Status> {
    let mut client = connection.client().await?;
    client.ready().await.unwrap();
    let request = HealthCheckRequest::default().encode_to_vec().into();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let answer = client.unary(tonic::Request::new(request), path, EncodedCodec);
    Ok(answer.await?.into_inner())
}

#[tokio::test]
async fn calls_share_a_connection_that_is_made_anew_when_it_broke() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection = Connection::new(&format!("http://{address}"), SOON).unwrap();

    let (stop, serving) = serve(listener);
    ask(&connection).await.unwrap();
    let used = connection.opened().unwrap();
    ask(&connection).await.unwrap();
    assert!(!used.is_closed());
    stop.send(()).unwrap();
    serving.await.unwrap();

    let refused = ask(&connection).await.unwrap_err();
    assert!(refused.source().is_some(), "{refused}");
    assert!(used.is_closed());

    let (_stop, _serving) = serve(TcpListener::bind(address).await.unwrap());
    ask(&connection).await.unwrap();
}

/// Answers the calls of one connection by hand, as `answer` says.
async fn serve_by_hand<F>(listener: TcpListener, mut answer: impl FnMut(usize, Call) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut calls = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(calls, (request.into_body(), respond)));
        calls += 1;
    }
}

type Call = (h2::RecvStream, h2::server::SendResponse<Bytes>);

/// A gRPC message of so many bytes.
fn message(len: u32) -> Bytes {
    let head = [&[0][..], &len.to_be_bytes()].concat();
    [head, vec![7; len as usize]].concat().into()
}

async fn respond_with((mut body, mut respond): Call, message: Bytes) {
    let mut received = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        received += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    stream.send_data(message, false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("received", received.into());
    stream.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn a_call_that_breaks_off_leaves_the_connection_to_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection = Connection::new(&format!("http://{address}"), SOON).unwrap();
    let serving = serve_by_hand(listener, |n, mut call| async move {
        if n == 0 {
            call.1.send_reset(h2::Reason::CANCEL);
        } else {
            respond_with(call, message(0)).await;
        }
    });
    tokio::spawn(serving);

    let broken_off = ask(&connection).await.unwrap_err();
    assert_eq!(broken_off.code(), tonic::Code::Cancelled);
    assert!(broken_off.source().is_some(), "{broken_off}");
    let used = connection.opened().unwrap();
    ask(&connection).await.unwrap();
    assert!(!used.is_closed());
}

#[tokio::test]
async fn messages_larger_than_every_window_arrive_whole() {
    const LARGE: u32 = 12 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection = Connection::new(&format!("http://{address}"), SOON).unwrap();
    let serving = serve_by_hand(listener, |_, call| respond_with(call, message(LARGE)));
    tokio::spawn(serving);

    let client = connection.client().await.unwrap();
    let mut client = client.max_decoding_message_size(LARGE as usize);
    client.ready().await.unwrap();
    let request = tonic::Request::new(Bytes::from(vec![1; LARGE as usize]));
    let path = PathAndQuery::from_static("/any/method");
    let answer = client.unary(request, path, EncodedCodec).await.unwrap();
    let received = answer.metadata().get("received").unwrap();
    assert_eq!(received.to_str().unwrap(), (LARGE + 5).to_string());
    assert!(answer.into_inner() == vec![7; LARGE as usize]);
}

#[tokio::test]
async fn calls_beyond_what_the_peer_takes_at_a_time_wait_for_their_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection = Connection::new(&format!("http://{address}"), SOON).unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder().max_concurrent_streams(2);
    let serving = server.add_service(health);
    let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(async { serving.await.unwrap() });

    let calls = (0..200).map(|_| ask(&connection));
    let answers = futures::future::join_all(calls).await;
    for answer in answers {
        answer.unwrap();
    }
}

#[tokio::test]
async fn an_address_is_http_or_a_socket() {
    for wrong in ["https://localhost:1", "localhost:1", "nats://h:1", ""] {
        let error = Connection::new(wrong, SOON).unwrap_err();
        assert!(!error.is_empty(), "{wrong}");
    }
    let (address, origin) = parse("http://[::1]:50052").unwrap();
    assert!(matches!(address, Address::Tcp { host, port: 50052 } if host == "::1"));
    assert_eq!(origin, "http://[::1]:50052");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    for form in ["unix:", "unix://"] {
        let connection = Connection::new(&format!("{form}{}", socket.display()), SOON).unwrap();
        let refused = ask(&connection).await.unwrap_err();
        assert!(refused.source().is_some(), "{refused}");
    }
}
