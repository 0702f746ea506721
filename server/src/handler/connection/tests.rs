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
