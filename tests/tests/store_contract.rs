//! The contract over every store there is.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping"
)]

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::{EventStore, Limits, NativeStore, RemoteStore};
use angzarr_engine::{IndexKind, Options};
use angzarr_server::grpc::{GrpcServer, MESSAGE_BYTES_MAX};
use angzarr_server::listener::Listener;
use angzarr_server::service::StoreService;
use angzarr_tests::contract::Opened;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

angzarr_tests::contract_suite!(native, open_native);
angzarr_tests::contract_suite!(remote, open_remote);

#[cfg(feature = "rocksdb")]
angzarr_tests::contract_suite!(native_rocksdb, open_rocksdb);

async fn open_native() -> Opened {
    let (store, folder) = native(IndexKind::Memory);
    Opened {
        store,
        keep: Box::new(folder),
    }
}

#[cfg(feature = "rocksdb")]
async fn open_rocksdb() -> Opened {
    let (store, folder) = native(IndexKind::RocksDb);
    Opened {
        store,
        keep: Box::new(folder),
    }
}

async fn open_remote() -> Opened {
    let (store, folder) = native(IndexKind::Memory);
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let remote = RemoteStore::connect(&listener.url().unwrap()).unwrap();
    let shutdown = CancellationToken::new();
    let service = StoreService::new(store, shutdown.clone());
    let server = service.add_to(GrpcServer::new(MESSAGE_BYTES_MAX));
    tokio::spawn(server.serve(vec![listener], shutdown.clone(), Duration::ZERO));
    Opened {
        store: Arc::new(remote),
        keep: Box::new((shutdown.drop_guard(), folder)),
    }
}

/// Small segments and a small index buffer, so that cases cross their ends.
fn native(index: IndexKind) -> (Arc<dyn EventStore>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 64 * 1024,
        index_buffer_bytes: 16 * 1024,
        index,
        ..Options::default()
    };
    let store = NativeStore::open(folder.path(), options, Limits::default()).unwrap();
    (Arc::new(store), folder)
}
