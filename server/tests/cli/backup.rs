//! Backups: under load, interrupted, and restored.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use pb::event_store_client::EventStoreClient;
use rustix::process::Signal;
use serde_json::Value;

use super::support::{Ended, Server, angzarr, command};

const CLIENTS: u8 = 4;

/// Small segments, so that there are many files; they are rewritten while backups go on.
pub(super) const SERVE: [&str; 4] = [
    "--listen",
    "127.0.0.1:0",
    "--set",
    "storage.segment_bytes=64KiB",
];

pub(super) fn root(client: u8) -> String {
    uuid::Uuid::from_bytes([client; 16]).to_string()
}

/// An append of one event to each of two aggregates.
fn request(client: u8, next: u32) -> pb::AppendRequest {
    let write = |domain: &str| {
        let event = prost_types::Any {
            type_url: "t/test.Event".to_owned(),
            value: vec![client; 300 + (next as usize * 97) % 900],
        };
        pb::AggregateAppend {
            cover: Some(v1::Cover {
                domain: domain.to_owned(),
                root: Some(v1::Uuid {
                    value: vec![client; 16],
                }),
                ..Default::default()
            }),
            pages: vec![v1::EventPage {
                payload: Some(v1::event_page::Payload::Event(event)),
                ..Default::default()
            }],
            expected: Some(pb::Expected {
                state: Some(pb::expected::State::Next(next)),
            }),
            ..Default::default()
        }
    };
    pb::AppendRequest {
        writes: vec![write("order"), write("stock")],
        ..Default::default()
    }
}

/// Clients that append as fast as they are answered, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU32>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<_> = (0..CLIENTS).map(|_| Arc::new(AtomicU32::new(0))).collect();
        let clients = acknowledged.iter().zip(0..).map(|(count, client)| {
            let (url, stop, count) = (url.to_owned(), stop.clone(), count.clone());
            tokio::spawn(async move {
                let mut store = EventStoreClient::connect(url).await.unwrap();
                let mut next = 0;
                while !stop.load(Ordering::SeqCst) {
                    store.append(request(client, next)).await.unwrap();
                    next += 1;
                    count.store(next, Ordering::SeqCst);
                }
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            acknowledged,
            clients,
        }
    }

    fn counts(&self) -> Vec<u32> {
        let counts = self.acknowledged.iter();
        counts.map(|count| count.load(Ordering::SeqCst)).collect()
    }

    async fn wait_for(&self, total: u32) {
        while self.counts().iter().sum::<u32>() < total {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) -> Vec<u32> {
        self.stop.store(true, Ordering::SeqCst);
        let counts = self.acknowledged;
        for client in self.clients {
            client.await.unwrap();
        }
        counts
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .collect()
    }
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.ok()).unwrap()
}

/// Starts a server on a folder and returns how many events each client's aggregate has. Both
/// domains must agree: a commit is there whole or not at all.
pub(super) fn events(folder: &Path, data: &str) -> (u64, Vec<u32>) {
    let verdict = angzarr(folder, &["verify", data, "--json"]);
    assert_eq!(verdict.code, Some(0), "{}", verdict.stderr);
    let server = Server::start_with(folder, &[&SERVE[..], &["--data", data]].concat());
    let position = json(server.run(&["stats", "--json"]))["position"]
        .as_u64()
        .unwrap();
    let counts = |domain: &str| -> Vec<u32> {
        let listed = server.run(&["aggregates", domain, "--json"]).ok();
        let listed: Vec<Value> = listed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |client| {
            let found = listed.iter().find(|it| it["root"] == root(client));
            found.map_or(0, |it| {
                u32::try_from(it["next_sequence"].as_u64().unwrap()).unwrap()
            })
        };
        (0..CLIENTS).map(of).collect()
    };
    let orders = counts("order");
    assert_eq!(orders, counts("stock"), "half a commit");
    assert_eq!(u64::from(orders.iter().sum::<u32>()) * 2, position);
    // And each can be read to its end.
    let read = server.run(&["read", "order", &root(0), "--json"]).ok();
    assert_eq!(u32::try_from(read.lines().count()).unwrap(), orders[0]);
    assert_eq!(server.signal(Signal::TERM), Some(0));
    (position, orders)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_full_load_restores_to_exactly_one_position() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| angzarr(folder.path(), arguments);
    let server = Server::start_with(folder.path(), &SERVE);
    let load = Load::start(&server.url);
    let mut backups = Vec::new();
    for total in [300, 600, 900] {
        load.wait_for(total).await;
        let before = load.counts();
        let said = json(server.run(&["backup", "copies", "--json"]));
        backups.push((before, said));
    }
    load.stop().await;
    server.kill();
    // The index lags behind a log that was rewritten meanwhile, and still says what the log says.
    let verdict = run(&["verify", "data"]);
    assert!(
        matches!(verdict.code, Some(0 | 1)),
        "{}{}",
        verdict.stdout,
        verdict.stderr
    );
    let listed = run(&["restore", "copies", "--list", "--json"]).ok();
    assert_eq!(listed.lines().count(), 3, "{listed}");

    // Whole files that are there are not copied again.
    let (_, last) = &backups[2];
    assert!(
        last["copied_files"].as_u64().unwrap() < last["files"].as_u64().unwrap(),
        "{last}"
    );

    // The newest, without saying so; the first, by its position, out of the oldest backup.
    let said = json(run(&["restore", "copies", "newest", "--json"]));
    let (before, backup) = &backups[2];
    assert_eq!(said["position"], backup["position"]);
    let (position, found) = events(folder.path(), "newest");
    assert_eq!(Some(position), backup["position"].as_u64());
    for (before, found) in before.iter().zip(&found) {
        assert!(found >= before, "{found} of {before} acknowledged");
    }
    let (before, backup) = &backups[0];
    let first = backup["position"].to_string();
    let said = json(run(&[
        "restore",
        "copies",
        "first",
        "--to-position",
        &first,
        "--json",
    ]));
    assert_eq!(said["position"], backup["position"]);
    let (position, found) = events(folder.path(), "first");
    assert_eq!(position.to_string(), first);
    assert!(
        before
            .iter()
            .zip(&found)
            .all(|(before, found)| found >= before)
    );

    // Any commit can be the last one, within rewritten segments and others; none can be halved.
    for at in [2, position / 4 * 2, position / 2 * 2 - 2, position + 2] {
        let name = format!("at-{at}");
        run(&["restore", "copies", &name, "--to-position", &at.to_string()]).ok();
        assert_eq!(events(folder.path(), &name).0, at);
    }
    let problem = run(&["restore", "copies", "odd", "--to-position", "101"]).fails(1);
    assert!(problem.contains("name position 100 or 102"), "{problem}");
    let problem = run(&["restore", "copies", "late", "--to-position", "99999999"]).fails(1);
    assert!(
        problem.contains("the newest backup ends at position"),
        "{problem}"
    );

    // By time: everything up to the moment of the second backup's last commit.
    let (_, second) = &backups[1];
    let time = second["recorded_at"].as_str().unwrap();
    let said = json(run(&[
        "restore",
        "copies",
        "then",
        "--to-time",
        time,
        "--json",
    ]));
    assert_eq!(said["recorded_at"], second["recorded_at"]);
    assert!(said["position"].as_u64() >= second["position"].as_u64());
    events(folder.path(), "then");
    run(&[
        "restore",
        "copies",
        "future",
        "--to-time",
        "2200-01-01T00:00:00Z",
    ])
    .fails(1);
}

/// A stopped store of some thirty segments.
pub(super) async fn filled(folder: &Path) -> Vec<u32> {
    let sealing_off = [&SERVE[..], &["--set", "storage.seal_rate=0"]].concat();
    let server = Server::start_with(folder, &sealing_off);
    let load = Load::start(&server.url);
    load.wait_for(1200).await;
    let counts = load.stop().await;
    assert_eq!(server.signal(Signal::TERM), Some(0));
    counts
}

/// Starts a command, and kills it when so many files are in a folder.
fn kill_at(folder: &Path, arguments: &[&str], watched: &str, files: usize) -> bool {
    let mut child = command(folder);
    child.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.args(arguments).spawn().unwrap();
    loop {
        let there = fs::read_dir(folder.join(watched)).map_or(0, Iterator::count);
        if there >= files {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_backups_and_restorings_are_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let counts = filled(folder.path()).await;
    let run = |arguments: &[&str]| angzarr(folder.path(), arguments);
    let backup = ["backup", "copies", "--folder", "data", "--json"];
    let mut kills = 0;
    for files in [1, 17, 22] {
        kills += u32::from(kill_at(folder.path(), &backup, "copies/segments", files));
        // Nothing that was begun is taken for a backup.
        if !folder.path().join("copies/manifests").exists() {
            let problem = run(&["restore", "copies", "early"]).fails(1);
            assert!(problem.contains("there is no backup here"), "{problem}");
        }
    }
    assert!(kills > 0, "no backup was slow enough to be killed");
    let said = json(run(&backup));
    assert!(said["files"].as_u64().unwrap() > 22, "{said}");
    assert!(
        said["copied_files"].as_u64() < said["files"].as_u64(),
        "{said}"
    );
    assert!(!folder.path().join("copies/progress.json").exists());

    let restore = ["restore", "copies", "back", "--json"];
    let mut kills = 0;
    for files in [1, 10, 20] {
        kills += u32::from(kill_at(folder.path(), &restore, "back/log.partial", files));
        assert!(!folder.path().join("back/log").exists());
    }
    assert!(kills > 0, "no restoring was slow enough to be killed");
    let other = run(&["restore", "copies", "back", "--to-position", "2"]).fails(2);
    assert!(
        other.contains("another restoring that did not end"),
        "{other}"
    );
    let again = json(run(&restore));
    assert_eq!(again["position"], said["position"]);
    assert!(
        again["copied_bytes"].as_u64() < said["bytes"].as_u64(),
        "{again}"
    );
    assert_eq!(events(folder.path(), "back").1, counts);
    run(&["restore", "copies", "back"]).fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_checked_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let run = |arguments: &[&str]| angzarr(folder.path(), arguments);
    let backup = ["backup", "copies", "--folder", "data", "--json"];
    let first = json(run(&backup));
    // Nothing is new.
    let second = json(run(&backup));
    assert_eq!(
        (&second["copied_files"], &second["position"]),
        (&0.into(), &first["position"])
    );

    // Another database in the same place is refused.
    let other = Server::start_with(folder.path(), &[&SERVE[..], &["--data", "other"]].concat());
    other.run(&["append", "order", "new", "--data", "x"]).ok();
    let problem = other.run(&["backup", "copies"]).fails(1);
    assert!(problem.contains("holds backups of database"), "{problem}");
    let text = other.run(&["backup", "else"]).ok();
    assert!(
        text.starts_with("backed up to position 1: copied 1 of 1 files"),
        "{text}"
    );
    drop(other);

    // A running server's folder is not copied behind its back.
    let server = Server::start_with(folder.path(), &SERVE);
    let problem = run(&backup).fails(2);
    assert!(problem.contains("in use"), "{problem}");
    server.run(&["append", "order", "new", "--data", "x"]).ok();
    let files = || {
        fs::read_dir(folder.path().join("copies/segments"))
            .unwrap()
            .count()
    };
    let before = files();
    server.run(&["backup", "copies"]).ok();
    assert!(files() > before);
    let kept = json(server.run(&["backup", "copies", "--keep", "1", "--json"]));
    assert!(files() < before + 5, "{kept}");
    assert_eq!(kept["files"].as_u64().unwrap(), files() as u64);
    drop(server);

    // A store that was set back goes on differently; the newest backup is of what it is now.
    run(&["restore", "copies", "back", "--to-position", "2"]).ok();
    let server = Server::start_with(folder.path(), &[&SERVE[..], &["--data", "back"]].concat());
    server
        .run(&["append", "new", "new", "--data", "another history"])
        .ok();
    let said = json(server.run(&["backup", "copies", "--json"]));
    assert_eq!(said["position"], 3);
    drop(server);
    let said = json(run(&["restore", "copies", "again", "--json"]));
    assert_eq!(said["position"], 3);
    run(&["restore", "copies", "beyond", "--to-position", "4"]).fails(1);

    // What is damaged in the archive is not restored.
    for entry in fs::read_dir(folder.path().join("copies/segments")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[200] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let problem = run(&["restore", "copies", "bad"]).fails(1);
    assert!(problem.contains("is damaged"), "{problem}");
    assert!(!folder.path().join("bad/log").exists());
}
