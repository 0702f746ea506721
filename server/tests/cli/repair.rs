//! Keeping what can be kept of a damaged store.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::backup::{SERVE, events, filled, root};
use super::support::{Server, angzarr};

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("data/log")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == kind));
    paths.sort();
    paths
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Repairs the store, opens what was made, and compares it with what the report says.
fn repair(folder: &Path, target: &str, whole: &[u32]) {
    let run = |arguments: &[&str]| angzarr(folder, arguments);
    let verdict = run(&["verify", "data", "--log-only"]);
    assert_eq!(verdict.code, Some(2), "{}", verdict.stdout);
    let before = content(&folder.join("data/log"));
    let refused = run(&["repair", "data", target]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused
            .stdout
            .contains("kept     everything up to position"),
        "{}",
        refused.stdout
    );
    assert!(
        refused.stderr.contains("--accept-loss"),
        "{}",
        refused.stderr
    );
    assert!(!folder.join(target).exists());

    let said = run(&["repair", "data", target, "--accept-loss", "--json"]).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        content(&folder.join("data/log")),
        before,
        "the damaged store was changed"
    );
    let lost = folder.join(target).join("lost");
    let report: Value =
        serde_json::from_slice(&fs::read(lost.join("report.json")).unwrap()).unwrap();
    assert_eq!(report, said);
    assert!(fs::read_dir(&lost).unwrap().count() > 1);

    let (position, kept) = events(folder, target);
    assert_eq!(said["kept_position"].as_u64(), Some(position));
    for (client, (kept, whole)) in (0..).zip(kept.iter().zip(whole)) {
        assert!(kept < whole, "client {client} lost nothing");
        let lost = said["aggregates"].as_array().unwrap();
        let lost = lost.iter().filter(|it| it["root"] == root(client));
        let lost: Vec<_> = lost.collect();
        assert_eq!(lost.len(), 2, "an order and a stock: {said}");
        for lost in lost {
            assert_eq!(
                lost["first_lost_sequence"].as_u64(),
                Some(u64::from(*kept)),
                "{lost}"
            );
            assert_eq!(
                lost["last_known_sequence"].as_u64(),
                Some(u64::from(*whole - 1)),
                "{lost}"
            );
        }
    }
    // The repaired store takes events.
    let server = Server::start_with(folder, &[&SERVE[..], &["--data", target]].concat());
    server
        .run(&["append", "order", &root(0), "--data", "on it goes"])
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repaired_store_opens_and_the_loss_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(folder.path()).await;
    let said = angzarr(
        folder.path(),
        &["repair", "data", "not-needed", "--accept-loss"],
    )
    .ok();
    assert!(said.contains("needs no repair"), "{said}");
    assert!(!folder.path().join("not-needed").exists());

    let plain = files(folder.path(), "seg");
    let kept = fs::read(&plain[12]).unwrap();
    damage(&plain[12]);
    repair(folder.path(), "bit-flip", &whole);
    fs::write(&plain[12], &kept).unwrap();

    // A segment that cannot be opened at all, and one that is gone.
    let mut bytes = kept.clone();
    bytes[60] ^= 1;
    fs::write(&plain[12], &bytes).unwrap();
    repair(folder.path(), "header", &whole);
    fs::remove_file(&plain[12]).unwrap();
    repair(folder.path(), "gone", &whole);
    fs::write(&plain[12], &kept).unwrap();

    // The same in a segment that was rewritten.
    let server = Server::start_with(folder.path(), &SERVE);
    while files(folder.path(), "segz").len() < 14 {
        std::thread::yield_now();
    }
    assert_eq!(server.signal(Signal::TERM), Some(0));
    damage(&files(folder.path(), "segz")[12]);
    repair(folder.path(), "rewritten", &whole);
}
