//! Tools for folders that no server has open.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::support::{ROOT, Server, angzarr};

/// A data folder with a little of everything in it.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.fill();
    assert_eq!(server.signal(Signal::TERM), Some(0));
    folder
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn dump_shows_every_frame() {
    let folder = filled();
    let frames = lines(&angzarr(folder.path(), &["dump", "--json"]).ok());
    let commits: Vec<_> = frames.iter().filter(|it| it["kind"] == "commit").collect();
    assert_eq!(commits.len(), 6, "{frames:?}");
    assert!(frames.iter().any(|frame| frame["kind"] == "mark"));
    let record = &commits[0]["records"][0];
    assert_eq!(record["aggregate"]["root"], ROOT);
    assert_eq!(record["pages"][0]["payload"]["text"], "one");
    assert_eq!(record["correlation_id"], "c-1");
    assert_eq!(commits[3]["records"][0]["cascade_id"], "k-1");
    assert_eq!(commits[4]["records"][0]["divergence"], 2);
    assert_eq!(commits[4]["events"], 0);
    assert_eq!(commits[5]["records"][0]["aggregate"]["edition"], "what-if");

    let some = |arguments: &[&str]| {
        lines(&angzarr(folder.path(), &[&["dump", "--json"], arguments].concat()).ok())
    };
    let two = some(&["--from-position", "2", "--to-position", "2"]);
    assert_eq!(two.len(), 1, "{two:?}");
    assert_eq!(two[0]["first_position"], 2);
    let address = two[0]["address"].to_string();
    let from = some(&["--from", &address, "--frames"]);
    assert_eq!(from[0]["address"], two[0]["address"]);
    assert!(from[0].get("records").is_none());
    assert_eq!(some(&["--to", &address]).len(), frames.len() - from.len());

    let told = angzarr(folder.path(), &["dump", "data"]).ok();
    assert!(told.contains("StringValue three"), "{told}");
    assert!(told.contains("fork what-if order at 2"), "{told}");
}

#[test]
fn dump_goes_on_behind_damage() {
    let folder = filled();
    let log = fs::read_dir(folder.path().join("data/log")).unwrap();
    let path = log
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "seg"));
    let path = path.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(3)
        .position(|window| window == b"two")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let frames = lines(&angzarr(folder.path(), &["dump", "--json"]).ok());
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[1], "damage", "{kinds:?}");
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "commit").count(),
        5,
        "{kinds:?}"
    );
}

/// Without index files there is nothing to build, and the tool says so.
#[cfg(not(feature = "rocksdb"))]
#[test]
fn an_index_in_memory_is_not_rebuilt() {
    let folder = filled();
    let problem = angzarr(folder.path(), &["rebuild-index"]).fails(2);
    assert!(problem.contains("keeps the index in memory"), "{problem}");
}

#[cfg(feature = "rocksdb")]
mod index {
    use super::*;

    fn verify(folder: &tempfile::TempDir) -> (Option<i32>, Value) {
        let ended = angzarr(folder.path(), &["verify", "--json"]);
        (ended.code, serde_json::from_str(&ended.stdout).unwrap())
    }

    #[test]
    fn index_and_log_are_compared_both_ways() {
        let folder = filled();
        let (code, found) = verify(&folder);
        assert_eq!(code, Some(0), "{found}");
        assert_eq!(found["index"]["state"], "checked");
        assert!(found["index"]["entries"].as_u64().unwrap() > 15, "{found}");

        // The index of another store has what this log does not call for, and the other way round.
        let other = tempfile::tempdir().unwrap();
        let server = Server::start(other.path());
        for n in ["1", "2", "3", "4", "5"] {
            server.run(&["append", "other", "new", "--data", n]).ok();
        }
        assert_eq!(server.signal(Signal::TERM), Some(0));
        let data = folder.path().join("data");
        fs::remove_dir_all(data.join("index")).unwrap();
        fs::rename(other.path().join("data/index"), data.join("index")).unwrap();
        let (code, found) = verify(&folder);
        assert_eq!(code, Some(2), "{found}");
        let problems = found["damage"].as_array().unwrap();
        let some = |text: &str| {
            let problem = |it: &Value| it["problem"].as_str().unwrap().contains(text);
            problems.iter().any(problem)
        };
        assert!(some("is not called for by the log"), "{found}");
        assert!(some("is missing"), "{found}");

        let said = angzarr(folder.path(), &["rebuild-index", "data"]).ok();
        assert_eq!(said, "data has a new index, up to position 5\n");
        let (code, found) = verify(&folder);
        assert_eq!(code, Some(0), "{found}");
        assert!(!data.join("index.new").exists() && !data.join("index.old").exists());
        let server = Server::start(folder.path());
        let read = server.run(&["read", "order", ROOT, "--edition", "what-if", "--json"]);
        assert_eq!(lines(&read.ok()).len(), 3);
    }

    #[test]
    fn damaged_index_files_are_found_and_replaced() {
        let folder = filled();
        let index = folder.path().join("data/index");
        let tables = fs::read_dir(&index)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        for path in tables.filter(|path| path.extension().is_some_and(|it| it == "sst")) {
            let mut bytes = fs::read(&path).unwrap();
            bytes[10] ^= 0x55;
            fs::write(&path, bytes).unwrap();
        }
        let (code, found) = verify(&folder);
        assert_eq!(code, Some(2), "{found}");
        assert!(
            found["damage"]
                .as_array()
                .unwrap()
                .iter()
                .all(|it| it["file"] == "index")
        );
        angzarr(folder.path(), &["rebuild-index"]).ok();
        assert_eq!(verify(&folder).0, Some(0));
    }

    /// An interrupted rebuilding leaves a folder beside, which the next one goes on with.
    #[test]
    fn rebuilding_goes_on_where_it_was() {
        let folder = filled();
        let data = folder.path().join("data");
        fs::rename(data.join("index"), data.join("index.new")).unwrap();
        let said = angzarr(folder.path(), &["rebuild-index", "--json"]).ok();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&said["commits"], &said["position"]),
            (&0.into(), &5.into())
        );
        assert_eq!(verify(&folder).0, Some(0));
    }
}
