#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;

fn entry(expected: u32) -> Entry {
    Entry {
        root: [1; 16],
        expected: Some(expected),
        bytes: b"event".to_vec(),
    }
}

#[tokio::test]
async fn stores_in_order_and_refuses_what_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = GroupCommit::start(ZeroedFile::create(&path, 4_096).unwrap()).unwrap();
    assert_eq!(log.append(entry(0)).await, Some(Ok(0)));
    assert_eq!(log.append(entry(0)).await, Some(Err(Stale { actual: 1 })));
    assert_eq!(log.append(entry(1)).await, Some(Ok(1)));

    let stored = std::fs::read(&path).unwrap();
    assert_eq!(stored.len(), 4_096);
    let frame = 4 + 4 + 16 + 4 + 5;
    assert_eq!(&stored[frame - 5..frame], b"event");
    assert_eq!(&stored[2 * frame - 5..2 * frame], b"event");
    assert!(stored[2 * frame..].iter().all(|byte| *byte == 0));
}
