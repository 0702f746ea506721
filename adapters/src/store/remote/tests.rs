use super::RemoteStore;
use crate::StoreError;
use crate::store::EventStore;

#[tokio::test]
async fn an_address_is_checked_before_it_is_used() {
    for url in [
        "",
        "127.0.0.1:1310",
        "ftp://host",
        "http://",
        "not an address",
    ] {
        let error = RemoteStore::connect(url).expect_err(url);
        assert!(matches!(error, StoreError::Invalid(_)), "{url}: {error:?}");
    }
    for url in ["http://127.0.0.1:1310", "unix:/tmp/store.sock"] {
        assert!(RemoteStore::connect(url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn an_absent_server_is_unavailable() {
    // Bound and dropped, so that the port is known to be free.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let store = RemoteStore::connect(&format!("http://{address}")).expect("valid address");
    let error = store
        .stats(Default::default())
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}
