//! Exports and imports.

use std::fs;
use std::path::Path;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use pb::snapshots_client::SnapshotsClient;
use rustix::process::Signal;
use serde_json::Value;

use super::support::{ROOT, Server, angzarr, command};

const OTHER: &str = "11111111-7425-40de-944b-e07fc1f90ae7";

/// A little of everything a client can store.
async fn fill(server: &Server) {
    server.fill();
    let run = |arguments: &[&str]| {
        server.run(arguments).ok();
    };
    for text in ["one", "two", "three"] {
        run(&["append", "order", OTHER, "--data", text]);
    }
    run(&[
        "append", "order", ROOT, "--type", "t.Bytes", "--data", "hex:00ff",
    ]);
    let snapshot = pb::PutSnapshotRequest {
        cover: Some(v1::Cover {
            domain: "order".to_owned(),
            root: Some(v1::Uuid {
                value: uuid::Uuid::parse_str(ROOT).unwrap().as_bytes().to_vec(),
            }),
            ..Default::default()
        }),
        snapshot: Some(v1::Snapshot {
            sequence: 1,
            state: Some(prost_types::Any {
                type_url: "t/t.State".to_owned(),
                value: vec![1, 2, 3],
            }),
            ..Default::default()
        }),
    };
    let mut snapshots = SnapshotsClient::connect(server.url.clone()).await.unwrap();
    snapshots.put(snapshot).await.unwrap();
}

/// Everything that can be read, but for when it was stored there.
fn content(server: &Server) -> Vec<Value> {
    let text = server.run(&["export"]).ok();
    let lines = text.lines().skip(1);
    lines
        .map(|line| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("recorded_at");
            value
        })
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    fill(&server).await;
    let before = content(&server);
    let kinds = |kind: &str| before.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!(
        (kinds("edition"), kinds("event"), kinds("snapshot")),
        (1, 9, 1)
    );
    assert_eq!(before[1]["correlation_id"], "c-1");
    let said = server.run(&["export", "all.jsonl"]).ok();
    assert!(
        said.contains("up to position 9, 9 of them written now"),
        "{said}"
    );
    server.run(&["export", "all.jsonl"]).fails(2);
    server
        .run(&["export", "all.books", "--format", "books"])
        .ok();

    let other = Server::start_with(
        folder.path(),
        &["--listen", "127.0.0.1:0", "--data", "other"],
    );
    let import = ["import", "all.jsonl", "--json"];
    let said = json(&other.run(&import).ok());
    assert_eq!(
        (&said["stored_events"], &said["stored_snapshots"]),
        (&9.into(), &1.into())
    );
    assert_eq!(content(&other), before);
    let again = json(&other.run(&import).ok());
    assert_eq!(
        (&again["stored_events"], &again["known_events"]),
        (&0.into(), &9.into())
    );
    assert_eq!(again["stored_snapshots"], 0);
    assert_eq!(content(&other), before);
    // Pending is pending there too.
    let listed = other.run(&["read", "stock", ROOT, "--json"]).ok();
    assert_eq!(json(&listed)["pending"], true);

    // A store with other events of the same aggregates is left alone.
    let third = Server::start_with(
        folder.path(),
        &["--listen", "127.0.0.1:0", "--data", "third"],
    );
    third.run(&["append", "order", ROOT, "--data", "mine"]).ok();
    let problem = third.run(&import).fails(1);
    assert!(
        problem.contains("import into a store that has none"),
        "{problem}"
    );
    drop(third);

    // Books hold events only, and go into a folder without a server as well.
    assert_eq!(server.signal(Signal::TERM), Some(0));
    let books = [
        "import",
        "all.books",
        "--format",
        "books",
        "--folder",
        "fourth",
        "--json",
    ];
    let said = json(&angzarr(folder.path(), &books).ok());
    assert_eq!(said["stored_events"], 9);
    let again = json(&angzarr(folder.path(), &books).ok());
    assert_eq!(again["stored_events"], 0);
    let export = |data: &str| {
        let text = angzarr(folder.path(), &["export", "--folder", data]).ok();
        text.lines()
            .filter(|line| line.contains("\"event\""))
            .count()
    };
    assert_eq!((export("fourth"), export("data")), (9, 9));
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for (text, problem) in [
        ("{\"kind\":\"event\"}\n", "line 1"),
        ("nonsense\n", "line 1"),
        (
            "{\"kind\":\"export\",\"format\":99,\"database_id\":\"x\"}\n",
            "its format is 99",
        ),
    ] {
        fs::write(folder.path().join("bad"), text).unwrap();
        let told = server.run(&["import", "bad"]).fails(1);
        assert!(told.contains(problem), "{told}");
    }
    fs::write(folder.path().join("bad"), [0xff, 0xff, 1]).unwrap();
    server.run(&["import", "bad", "--format", "books"]).fails(1);
}

/// Starts an import and kills it when the store has some events.
fn kill_import(server: &Server, folder: &Path, at: u64) {
    let mut import = command(folder);
    import.env("ANGZARR_TARGET", &server.url);
    let mut child = import.args(["import", "many.jsonl"]).spawn().unwrap();
    loop {
        let stats = json(&server.run(&["stats", "--json"]).ok());
        if stats["events"].as_u64().unwrap() >= at || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn an_interrupted_import_stores_nothing_twice() {
    const EVENTS: u64 = 6000;
    let folder = tempfile::tempdir().unwrap();
    let mut lines = vec![r#"{"kind":"export","format":1,"database_id":"made-up"}"#.to_owned()];
    for n in 0..EVENTS {
        let (root, sequence) = (n % 3, n / 3);
        lines.push(format!(
            r#"{{"kind":"event","position":{},"domain":"order","root":"00000000-0000-0000-0000-00000000000{root}","sequence":{sequence},"payload":{{"type_url":"t/t.E","value":"AAEC"}}}}"#,
            n + 1
        ));
    }
    fs::write(folder.path().join("many.jsonl"), lines.join("\n")).unwrap();
    let server = Server::start(folder.path());
    for at in [1, EVENTS / 4, EVENTS / 2] {
        kill_import(&server, folder.path(), at);
    }
    let said = json(&server.run(&["import", "many.jsonl", "--json"]).ok());
    let (stored, known) = (
        said["stored_events"].as_u64().unwrap(),
        said["known_events"].as_u64().unwrap(),
    );
    assert_eq!(stored + known, EVENTS);
    assert!(known > 0, "{said}");
    let events = content(&server);
    assert_eq!(events.len() as u64, EVENTS);
    for (n, event) in (0..).zip(&events) {
        assert_eq!(event["sequence"], n / 3);
        assert_eq!(
            event["root"].as_str().unwrap().chars().last(),
            char::from_digit(n % 3, 10)
        );
    }
}

/// An export that was killed goes on where it was, and the file is what it would have been.
#[test]
fn an_interrupted_export_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let large = "x".repeat(200_000);
    fs::write(folder.path().join("large"), &large).unwrap();
    for _ in 0..100 {
        server
            .run(&["append", "order", ROOT, "--data", "@large"])
            .ok();
    }
    server.run(&["export", "whole.jsonl"]).ok();
    let mut export = command(folder.path());
    export
        .env("ANGZARR_TARGET", &server.url)
        .args(["export", "cut.jsonl"]);
    let mut child = export.spawn().unwrap();
    while !folder.path().join("cut.jsonl.state").exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap();
    if folder.path().join("cut.jsonl.state").exists() {
        let said = server.run(&["export", "cut.jsonl"]).ok();
        assert!(!said.contains("100 of them written now"), "{said}");
    }
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("cut.jsonl") == read("whole.jsonl"));
    assert!(!folder.path().join("cut.jsonl.state").exists());
}
