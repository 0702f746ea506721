#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::ErrorKind;

use super::Listener;

#[tokio::test]
async fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("angzarr.sock").display());

    let living = Listener::bind(&address).await.unwrap();
    assert_eq!(living.url().unwrap(), address);
    assert_eq!(
        Listener::bind(&address).await.unwrap_err().kind(),
        ErrorKind::AddrInUse
    );

    drop(living);
    Listener::bind(&address).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "mine").unwrap();
    Listener::bind(&format!("unix:{}", path.display()))
        .await
        .unwrap_err();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn a_free_port_is_told() {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.url().unwrap();
    assert!(
        url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"),
        "{url}"
    );
}
