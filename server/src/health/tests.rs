#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::{Limits, NativeStore, RemoteStore};
use angzarr_engine::{IndexKind, Options};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::grpc::GrpcServer;
use crate::listener::Listener;
use crate::service::StoreService;

/// A server whose store is in another process, which is not there at first.
#[tokio::test]
async fn health_follows_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("store.sock").display());
    let shutdown = CancellationToken::new();
    let _stop = shutdown.clone().drop_guard();
    let serve = |server: GrpcServer, listener| {
        tokio::spawn(server.serve(vec![listener], shutdown.clone(), Duration::ZERO));
    };

    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let channel = Endpoint::from_shared(listener.url().unwrap())
        .unwrap()
        .connect_lazy();
    let mut client = HealthClient::new(channel);
    let store = Arc::new(RemoteStore::connect(&socket).unwrap());
    let server = StoreService::new(store.clone(), shutdown.clone()).add_to(GrpcServer::new(1024));
    let health = server.health();
    serve(server, listener);
    let service = "angzarr.store.v1.EventStore".to_owned();
    let watched = client.watch(HealthCheckRequest { service }).await.unwrap();
    let mut watched = watched.into_inner();
    let mut next = async || watched.message().await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);

    let following = shutdown.clone();
    tokio::spawn(async move { health.follow_store(store, following).await });
    assert_eq!(next().await, ServingStatus::NotServing);

    let options = Options {
        index: IndexKind::Memory,
        ..Options::default()
    };
    let store = NativeStore::open(folder.path(), options, Limits::default()).unwrap();
    let service = StoreService::new(Arc::new(store), shutdown.clone());
    let listener = Listener::bind(&socket).await.unwrap();
    serve(service.add_to(GrpcServer::new(1024)), listener);
    assert_eq!(next().await, ServingStatus::Serving);
}
