use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use rustix::process::Signal;
use serde_json::Value;

use super::support::{ROOT, Server};

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    (folder, server)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_appended_is_read() {
    let (folder, server) = server();
    let said = server
        .run(&["append", "order", ROOT, "--data", "tea, please"])
        .ok();
    assert_eq!(
        said,
        format!("stored order {ROOT} main · sequence 0 · position 1\n")
    );
    std::fs::write(
        folder.path().join("payload"),
        [8, 42, 18, 3, b'A', b'd', b'a'],
    )
    .unwrap();
    let said = server.run(&[
        "append",
        "order",
        ROOT,
        "--type",
        "shop.OrderPlaced",
        "--data",
        "@payload",
        "--expected",
        "1",
        "--json",
    ]);
    let said = lines(&said.ok());
    assert_eq!(said[0]["sequence"], 1);
    assert_eq!(said[0]["root"], ROOT);
    server
        .run(&[
            "append", "order", ROOT, "--type", "shop.Raw", "--data", "hex:ff00",
        ])
        .ok();

    let shown = server.run(&["read", "order", ROOT]).ok();
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert_eq!(shown[0], format!("order {ROOT} · main · next sequence 3"));
    assert!(shown[1].starts_with("     0 ● "), "{}", shown[1]);
    assert!(shown[1].contains("StringValue"), "{}", shown[1]);
    assert!(shown[1].ends_with("tea, please"), "{}", shown[1]);
    assert!(shown[2].contains("OrderPlaced"), "{}", shown[2]);
    assert!(shown[2].ends_with("1:42 2:\"Ada\""), "{}", shown[2]);
    assert!(shown[3].ends_with("0xff00"), "{}", shown[3]);

    let objects = lines(&server.run(&["read", "order", ROOT, "--json"]).ok());
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["payload"]["text"], "tea, please");
    assert_eq!(
        objects[1]["payload"]["type_url"],
        "type.googleapis.com/shop.OrderPlaced"
    );
    assert_eq!(objects[1]["payload"]["hex"], "082a1203416461");
    assert_eq!(objects[2]["sequence"], 2);
    assert!(objects[2]["created_at"].is_string());
}

#[test]
fn expectations_are_checked() {
    let (_folder, server) = server();
    server
        .run(&["append", "order", ROOT, "--data", "a", "--expected", "none"])
        .ok();
    let refused = server.run(&["append", "order", ROOT, "--data", "b", "--expected", "none"]);
    let problem = refused.fails(1);
    assert!(problem.contains("Sequence mismatch:"), "{problem}");
    assert!(problem.contains("use --expected 1"), "{problem}");
    server
        .run(&["append", "order", ROOT, "--data", "b", "--expected", "1"])
        .ok();
    let problem = server
        .run(&["append", "order", ROOT, "--data", "c", "--expected", "1"])
        .fails(1);
    assert!(problem.contains("use --expected 2"), "{problem}");
    assert_eq!(
        lines(&server.run(&["read", "order", ROOT, "--json"]).ok()).len(),
        2
    );
}

#[test]
fn a_request_the_server_refuses_ends_with_1() {
    let (folder, server) = server();
    let problem = server
        .run(&["append", "NoDomain", "new", "--data", "x"])
        .fails(1);
    assert!(problem.contains("domain"), "{problem}");
    let long = "x".repeat(300_000);
    std::fs::write(folder.path().join("long"), long).unwrap();
    let problem = server
        .run(&["append", "order", "new", "--data", "@long"])
        .fails(1);
    assert!(problem.contains("262144"), "{problem}");
    assert_eq!(server.run(&["aggregates", "--json"]).ok(), "");
}

#[test]
fn parts_of_the_past_can_be_read() {
    let (_folder, server) = server();
    for text in ["a", "b", "c", "d"] {
        server.run(&["append", "order", ROOT, "--data", text]).ok();
    }
    let texts = |arguments: &[&str]| -> Vec<String> {
        let read = server
            .run(&[&["read", "order", ROOT, "--json"], arguments].concat())
            .ok();
        let text = |value: Value| value["payload"]["text"].as_str().unwrap().to_owned();
        lines(&read).into_iter().map(text).collect()
    };
    assert_eq!(texts(&[]), ["a", "b", "c", "d"]);
    assert_eq!(texts(&["--from", "1", "--to", "2"]), ["b", "c"]);
    assert_eq!(texts(&["--from", "3"]), ["d"]);
    assert_eq!(texts(&["--as-of", "1"]), ["a", "b"]);
    assert_eq!(texts(&["--reverse"]), ["d", "c", "b", "a"]);
    assert_eq!(texts(&["--as-of", "2000-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(
        texts(&["--as-of", "2200-01-01T00:00:00Z"]),
        ["a", "b", "c", "d"]
    );
    let unknown = server
        .run(&["read", "order", "00000000-0000-0000-0000-000000000001"])
        .ok();
    assert!(unknown.contains("no events here"), "{unknown}");
}

#[test]
fn branches_are_forked_and_shown() {
    let (_folder, server) = server();
    for text in ["a", "b", "c"] {
        server.run(&["append", "order", ROOT, "--data", text]).ok();
    }
    let said = server.run(&["fork", "what-if", "order=2"]).ok();
    assert_eq!(said, "forked what-if leaves main in order at sequence 2\n");
    let edition = ["--edition", "what-if"];
    server
        .run(
            &[
                &["append", "order", ROOT, "--data", "x", "--expected", "2"][..],
                &edition,
            ]
            .concat(),
        )
        .ok();
    let shown = server
        .run(&[&["read", "order", ROOT][..], &edition].concat())
        .ok();
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(
        shown[0],
        format!("order {ROOT} · branch what-if, own events from 2 on (◆) · next sequence 3")
    );
    assert!(
        shown[2].starts_with("     1 ● ") && shown[2].ends_with(" b"),
        "{}",
        shown[2]
    );
    assert!(
        shown[3].starts_with("     2 ◆ ") && shown[3].ends_with(" x"),
        "{}",
        shown[3]
    );
    assert_eq!(shown.len(), 4);
    let listed = lines(
        &server
            .run(&[&["aggregates", "--json"][..], &edition].concat())
            .ok(),
    );
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["next_sequence"], 3);
    let problem = server.run(&["fork", "what-if", "order=1"]).fails(1);
    assert!(problem.contains("what-if"), "{problem}");
}

#[test]
fn aggregates_and_stats_count() {
    let (_folder, server) = server();
    assert_eq!(server.run(&["aggregates"]).ok(), "no aggregates here\n");
    server.run(&["append", "stock", ROOT, "--data", "a"]).ok();
    server.run(&["append", "order", ROOT, "--data", "a"]).ok();
    server.run(&["append", "order", ROOT, "--data", "b"]).ok();
    server.run(&["append", "order", "new", "--data", "b"]).ok();
    let all = server.run(&["aggregates"]).ok();
    assert_eq!(all.lines().count(), 3, "{all}");
    let orders = lines(&server.run(&["aggregates", "order", "--json"]).ok());
    assert_eq!(orders.len(), 2);
    let ours = orders.iter().find(|order| order["root"] == ROOT).unwrap();
    assert_eq!(ours["next_sequence"], 2);
    let stats = lines(&server.run(&["stats", "--json"]).ok());
    assert_eq!(stats[0]["events"], 4);
    assert_eq!(stats[0]["position"], 4);
    assert_eq!(stats[0]["durability"], "fsync");
    assert_eq!(stats[0]["poisoned"], "");
    let shown = server.run(&["stats"]).ok();
    assert!(
        shown.contains("health          accepts appends\n"),
        "{shown}"
    );
}

#[test]
fn tail_shows_what_was_and_what_comes() {
    let (_folder, server) = server();
    server
        .run(&[
            "append",
            "order",
            ROOT,
            "--data",
            "a",
            "--correlation",
            "c-1",
        ])
        .ok();
    server.run(&["append", "stock", ROOT, "--data", "b"]).ok();
    let all = server.run(&["tail", "--from", "start", "--no-follow"]).ok();
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(
        all.lines().next().unwrap().ends_with(" #0 StringValue a"),
        "{all}"
    );
    let some = |arguments: &[&str]| {
        let base = ["tail", "--from", "start", "--no-follow", "--json"];
        lines(&server.run(&[&base, arguments].concat()).ok())
    };
    assert_eq!(some(&["--domain", "stock"]).len(), 1);
    assert_eq!(some(&["--correlation", "c-1"])[0]["domain"], "order");
    assert_eq!(some(&["--root", ROOT]).len(), 2);
    assert_eq!(some(&["--edition", "main"]).len(), 2);
    assert_eq!(some(&["--edition", "other"]).len(), 0);
    assert_eq!(some(&["--type", "StringValue"]).len(), 2);
    let later = server
        .run(&["tail", "--from", "1", "--no-follow", "--json"])
        .ok();
    assert_eq!(lines(&later).len(), 1);
    assert_eq!(some(&["-n", "1"]).len(), 1);

    let mut tail = server
        .command(&["tail", "--from", "1", "-n", "2", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(tail.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(lines(&line)[0]["payload"]["text"], "b");
    server
        .run(&["append", "order", ROOT, "--data", "later"])
        .ok();
    line.clear();
    reader.read_line(&mut line).unwrap();
    let event = &lines(&line)[0];
    assert_eq!(event["payload"]["text"], "later");
    assert_eq!(event["position"], 3);
    assert_eq!(event["sequence"], 1);
    assert!(tail.wait().unwrap().success());
}

#[test]
fn tail_says_where_to_go_on_when_the_server_stops() {
    for signal in [Signal::TERM, Signal::KILL] {
        let (_folder, server) = server();
        server.run(&["append", "order", ROOT, "--data", "a"]).ok();
        let mut tail = server
            .command(&["tail", "--from", "start"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(tail.stdout.take().unwrap());
        reader.read_line(&mut String::new()).unwrap();
        server.signal(signal);
        let ended = tail.wait_with_output().unwrap();
        let problem = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{problem}");
        assert!(
            problem.contains("the last position seen was 1"),
            "{problem}"
        );
        assert!(problem.contains("--from 1 continues"), "{problem}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (_folder, server) = server();
    for _ in 0..3 {
        server.run(&["append", "order", ROOT, "--data", "a"]).ok();
    }
    let mut read = server
        .command(&["tail", "--from", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One line is read, then nobody reads any more.
    let mut line = String::new();
    BufReader::new(read.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    server
        .run(&["append", "order", ROOT, "--data", "unread"])
        .ok();
    let ended = read.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}
