use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::support::{ROOT, Server, angzarr, command};

fn stats(server: &Server) -> Value {
    serde_json::from_str(&server.run(&["stats", "--json"]).ok()).unwrap()
}

#[test]
fn signals_end_it_cleanly_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut id = Value::Null;
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let server = Server::start(folder.path());
        if round > 0 {
            assert_eq!(stats(&server)["database_id"], id, "it is the same database");
        }
        id = stats(&server)["database_id"].clone();
        server.run(&["append", "order", ROOT, "--data", "x"]).ok();
        assert_eq!(stats(&server)["events"], round + 1);
        assert_eq!(server.signal(signal), Some(0), "{signal:?}");
    }
}

#[test]
fn sigkill_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let server = Server::start(folder.path());
        let read = server.run(&["read", "order", ROOT, "--json"]).ok();
        assert_eq!(
            read.lines().collect::<Vec<_>>(),
            expected,
            "after {round} kills"
        );
        server
            .run(&["append", "order", ROOT, "--data", &format!("event {round}")])
            .ok();
        let read = server.run(&["read", "order", ROOT, "--json"]).ok();
        expected = read.lines().map(str::to_owned).collect();
        assert_eq!(expected.len(), round + 1);
        server.kill();
    }
}

#[test]
fn a_second_server_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(folder.path());
    let problem = angzarr(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).fails(2);
    assert!(problem.contains("in use by another process"), "{problem}");
    assert!(
        problem.contains("\n  next: stop the other server"),
        "{problem}"
    );
    first
        .run(&["append", "order", ROOT, "--data", "still here"])
        .ok();
}

#[test]
fn an_address_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let problem = angzarr(folder.path(), &["serve", "--listen", &address]).fails(2);
    assert!(
        problem.contains(&format!("cannot listen on http://{address}")),
        "{problem}"
    );
    assert!(problem.contains("--listen"), "{problem}");
}

#[test]
fn every_address_serves_everything() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("a.sock").display());
    let server = Server::start_with(
        folder.path(),
        &["--listen", "127.0.0.1:0", "--listen", &socket],
    );
    server
        .run(&["append", "order", ROOT, "--data", "over tcp"])
        .ok();
    let target = ["--target", &socket];
    server
        .run(
            &[
                &["append", "order", ROOT, "--data", "over unix"][..],
                &target,
            ]
            .concat(),
        )
        .ok();
    let read = server
        .run(&[&["read", "order", ROOT][..], &target].concat())
        .ok();
    assert!(
        read.contains("over tcp") && read.contains("over unix"),
        "{read}"
    );
    assert_eq!(server.signal(Signal::TERM), Some(0));
    assert!(
        !folder.path().join("a.sock").exists(),
        "the socket goes with the server"
    );
}

#[test]
fn a_server_may_keep_its_events_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let database = Server::start(folder.path());
    let config = format!(
        "storage: {{type: remote, url: '{}'}}\nserver: {{listen: ['127.0.0.1:0']}}\n",
        database.url
    );
    fs::write(folder.path().join("front.yaml"), config).unwrap();
    let front = Server::start_with(folder.path(), &["--config", "front.yaml"]);
    front
        .run(&["append", "order", ROOT, "--data", "far away"])
        .ok();
    let read = database.run(&["read", "order", ROOT]).ok();
    assert!(read.contains("far away"), "{read}");
    assert_eq!(front.signal(Signal::TERM), Some(0));
}

#[test]
fn the_greeting_names_folder_durability_and_domains() {
    let folder = tempfile::tempdir().unwrap();
    let config = "aggregates:\n  - {domain: order, address: 'http://127.0.0.1:1'}\n";
    fs::write(folder.path().join("angzarr.yaml"), config).unwrap();
    let mut child = command(folder.path())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            "events",
            "--durability",
            "os",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let first = next();
    assert!(
        first.starts_with(&format!("Angzarr {version} serves on http://127.0.0.1:")),
        "{first}"
    );
    let storage = next();
    assert!(
        storage.contains("events · durability os (a power failure may lose"),
        "{storage}"
    );
    assert_eq!(next(), "  domains   order");
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("opened the data folder"), "{log}");
}

/// The only segment of a small store.
fn segment(folder: &std::path::Path) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder.join("data/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    assert!(!files.is_empty());
    files.sort();
    files.swap_remove(0)
}

fn one_event(folder: &std::path::Path) {
    let server = Server::start(folder);
    server
        .run(&["append", "order", ROOT, "--data", "precious"])
        .ok();
    server
        .run(&["append", "order", ROOT, "--data", "as well"])
        .ok();
    assert_eq!(server.signal(Signal::TERM), Some(0));
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    one_event(folder.path());
    let path = segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    // Behind the magic: version of the file, oldest version that can read it.
    bytes[16..20].copy_from_slice(&9_u32.to_le_bytes());
    bytes[20..24].copy_from_slice(&8_u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let problem = angzarr(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).fails(2);
    assert!(problem.contains("has format version 9"), "{problem}");
    assert!(problem.contains("reads up to version 1"), "{problem}");
    assert!(
        problem.contains("\n  next: use a newer angzarr"),
        "{problem}"
    );
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "what cannot be read is not touched"
    );
}

/// Damages the first event, and returns the segment and what it holds now.
fn flip_a_bit(folder: &std::path::Path) -> (std::path::PathBuf, Vec<u8>) {
    let path = segment(folder);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(8)
        .position(|window| window == b"precious")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

#[test]
fn a_flipped_bit_in_an_acknowledged_event_is_found_when_the_index_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    one_event(folder.path());
    let (path, bytes) = flip_a_bit(folder.path());
    let problem = command(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("ANGZARR__STORAGE__INDEX", "memory")
        .output()
        .unwrap();
    assert_eq!(problem.status.code(), Some(1));
    let problem = String::from_utf8(problem.stderr).unwrap();
    assert!(problem.contains("damaged data in"), "{problem}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(problem.contains(name), "{problem}");
    assert!(problem.contains("angzarr verify"), "{problem}");
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "what is damaged is not touched"
    );
}

#[test]
#[cfg(feature = "rocksdb")]
fn a_flipped_bit_in_an_acknowledged_event_is_reported_not_served() {
    let folder = tempfile::tempdir().unwrap();
    one_event(folder.path());
    let (path, _) = flip_a_bit(folder.path());
    // The index on disk is up to date, so that opening has no need to read the event.
    let server = Server::start(folder.path());
    let problem = server.run(&["read", "order", ROOT]).fails(1);
    assert!(problem.contains("damaged data in"), "{problem}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(problem.contains(name), "{problem}");
    assert!(problem.contains("angzarr verify"), "{problem}");
    server
        .run(&["append", "order", ROOT, "--data", "goes on"])
        .ok();
}

#[test]
fn verify_tells_sound_torn_corrupt_and_unsupported_apart() {
    let folder = tempfile::tempdir().unwrap();
    let verify = || angzarr(folder.path(), &["verify", "--json"]);
    let verdict = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let problem = angzarr(folder.path(), &["verify"]).fails(4);
    assert!(problem.contains("./data holds no store"), "{problem}");

    let server = Server::start(folder.path());
    server
        .run(&["append", "order", ROOT, "--data", "precious"])
        .ok();
    let problem = verify().fails(4);
    assert!(problem.contains("stop the server first"), "{problem}");
    server
        .run(&["append", "order", ROOT, "--data", "as well"])
        .ok();
    assert_eq!(server.signal(Signal::TERM), Some(0));

    let sound = verdict(&verify().ok());
    assert_eq!(
        (&sound["verdict"], &sound["events"]),
        (&"sound".into(), &2.into())
    );
    assert_eq!(sound["aggregates"], 1);
    let told = angzarr(folder.path(), &["verify", "data"]).ok();
    assert!(told.starts_with("data is sound\n"), "{told}");
    let counted = verdict(&angzarr(folder.path(), &["stats", "data", "--json"]).ok());
    for name in ["verdict", "events", "position", "aggregates", "log_bytes"] {
        assert_eq!(counted[name], sound[name]);
    }

    let path = segment(folder.path());
    let bytes = fs::read(&path).unwrap();
    let mut torn = bytes.clone();
    let end = torn.iter().rposition(|&byte| byte != 0).unwrap() / 8 * 8 + 8;
    torn[end..end + 40].fill(0xee);
    fs::write(&path, &torn).unwrap();
    let ended = verify();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(verdict(&ended.stdout)["verdict"], "torn tail");
    assert!(
        ended.stderr.contains("never acknowledged"),
        "{}",
        ended.stderr
    );

    let mut corrupt = bytes.clone();
    let at = bytes
        .windows(8)
        .position(|window| window == b"precious")
        .unwrap();
    corrupt[at] ^= 1;
    fs::write(&path, &corrupt).unwrap();
    let ended = verify();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("damaged data in 1 place"),
        "{}",
        ended.stderr
    );
    let found = verdict(&ended.stdout);
    let damage = &found["damage"][0];
    assert_eq!(found["verdict"], "corrupt");
    assert!(
        damage["file"]
            .as_str()
            .unwrap()
            .ends_with(path.file_name().unwrap().to_str().unwrap())
    );
    let from = damage["offset"].as_u64().unwrap();
    assert!((from..from + 200).contains(&(at as u64)), "{found}");

    // Whoever does not listen does not change the verdict.
    assert_eq!(verify_into_a_full_disk(folder.path()), Some(2));

    let mut newer = bytes.clone();
    newer[20..24].copy_from_slice(&8_u32.to_le_bytes());
    fs::write(&path, &newer).unwrap();
    let problem = verify().fails(3);
    assert!(problem.contains("needs a reader of version 8"), "{problem}");
}

/// The exit code where nothing can be said.
fn verify_into_a_full_disk(folder: &Path) -> Option<i32> {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut verify = command(folder);
    verify.arg("verify").stdout(full.unwrap());
    verify.output().unwrap().status.code()
}

#[test]
fn verify_says_that_nothing_was_checked() {
    let folder = tempfile::tempdir().unwrap();
    let verify = |arguments: &[&str]| angzarr(folder.path(), &[&["verify"], arguments].concat());
    // The code of a wrong command line elsewhere means damaged data here.
    let problem = verify(&["--jsn"]).fails(4);
    assert!(problem.contains("unexpected argument '--jsn'"), "{problem}");
    verify(&["--help"]).ok();

    let server = Server::start(folder.path());
    server.run(&["append", "order", ROOT, "--data", "tea"]).ok();
    assert_eq!(server.signal(Signal::TERM), Some(0));
    assert_eq!(verify_into_a_full_disk(folder.path()), Some(4));

    // Linux answers a read of unmapped memory as a disk does that has lost a sector: with EIO.
    let path = segment(folder.path());
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
    let problem = verify(&[]).fails(4);
    assert!(problem.contains("Input/output error"), "{problem}");
    assert!(problem.contains("the disk is healthy"), "{problem}");
}
