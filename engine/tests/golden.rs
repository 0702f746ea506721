//! Folders that an earlier version of the program wrote: each is opened for ever, and every fact
//! in it is read. They are never written again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[path = "golden/facts.rs"]
mod facts;
#[path = "golden/history.rs"]
mod history;

use std::fs;
use std::path::{Path, PathBuf};

use angzarr_engine::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A copy to open: opening may write.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("log")).unwrap();
    for entry in fs::read_dir(golden(name).join("log")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(
            entry.path(),
            folder.path().join("log").join(entry.file_name()),
        )
        .unwrap();
    }
    folder
}

fn options() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        seal_rate: 0,
        ..Options::default()
    }
}

fn expected(name: &str) -> String {
    fs::read_to_string(golden(name).join("facts.txt")).unwrap()
}

/// Every fact is there after opening, after opening again, after rewriting what can be, and the
/// folder takes new commits.
fn check(name: &str) {
    let folder = copy(name);
    let sound = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(sound.soundness, Soundness::Sound);
    for _ in 0..2 {
        let engine = Engine::open(folder.path(), options()).unwrap();
        assert_eq!(facts::read(&engine), expected(name));
        engine.close().unwrap();
    }
    let engine = Engine::open(folder.path(), options()).unwrap();
    engine.seal_now().unwrap();
    assert_eq!(facts::read(&engine), expected("v1/sealed"));
    let write = Write {
        pages: vec![Page {
            created_at: None,
            type_name: Span::default(),
            body: "more".into(),
        }],
        ..Write::to(history::key("order", "", 1))
    };
    let commit = Commit {
        writes: vec![write],
        ..Commit::default()
    };
    let committed = futures::executor::block_on(engine.commit(commit)).unwrap();
    assert_eq!(committed.results[0].first.get(), 4);
}

#[test]
fn version_1_as_it_is_written() {
    check("v1/plain");
}

#[test]
fn version_1_with_sealed_segments() {
    let sealed = fs::read_dir(golden("v1/sealed/log")).unwrap();
    let sealed = sealed.filter(|e| e.as_ref().unwrap().path().extension().unwrap() == "segz");
    assert_eq!(sealed.count(), 4);
    check("v1/sealed");
}

/// What rewriting takes away is the body of revoked pending events, and nothing else.
#[test]
fn both_folders_hold_the_same() {
    let (plain, sealed) = (expected("v1/plain"), expected("v1/sealed"));
    let differs: Vec<_> = plain
        .lines()
        .zip(sealed.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(plain.lines().count(), sealed.lines().count());
    for (was, is) in &differs {
        assert!(
            was.contains("OrderReserved void") && is.ends_with(": \"\""),
            "{was}\n{is}"
        );
    }
    // On main, on the five other timelines that inherit it, and in the order of the log.
    assert_eq!(differs.len(), 7);
}

/// Today's program writes the same bytes. A change of the format changes this test together with
/// the number of the version.
#[test]
fn the_same_history_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    history::write(folder.path(), false);
    for entry in fs::read_dir(golden("v1/plain/log")).unwrap() {
        let path = entry.unwrap().path();
        let written = fs::read(folder.path().join("log").join(path.file_name().unwrap())).unwrap();
        assert!(written == fs::read(&path).unwrap(), "{}", path.display());
    }
}

#[test]
#[ignore = "writes a golden folder, once for each version of the format"]
fn write_golden() {
    for (name, rewrite) in [("v1/plain", false), ("v1/sealed", true)] {
        let folder = golden(name);
        assert!(
            !folder.exists(),
            "{} is there and stays as it is",
            folder.display()
        );
        history::write(&folder, rewrite);
        let copy = copy(name);
        let engine = Engine::open(copy.path(), options()).unwrap();
        fs::write(folder.join("facts.txt"), facts::read(&engine)).unwrap();
    }
}
