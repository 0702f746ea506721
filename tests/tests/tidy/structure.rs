//! Size, words, and who may know whom.

use super::{Source, expect_none, sources, top};
use serde_json::Value;
use std::process::Command;

const FILE_LINES_MAX: usize = 400;

#[test]
fn production_files_are_short() {
    let problems: Vec<_> = sources()
        .iter()
        .filter(|source| source.is_production())
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect();
    expect_none(
        "a file has one noun and at most 400 lines: split it by noun",
        &problems,
    );
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["dbg", "!("],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["FIX", "ME"],
    ]
    .map(|w| w.concat());
    let problems = matching(
        |source| source.is_rust(),
        |_, line| words.iter().any(|word| line.contains(word.as_str())),
    );
    expect_none(
        "finish it, or open an issue and leave no mark in the source",
        &problems,
    );
}

#[test]
fn pure_modules_touch_nothing_outside() {
    const PURE: [&str; 6] = [
        "engine/src/types.rs",
        "engine/src/log/frame.rs",
        "engine/src/log/record.rs",
        "engine/src/index/keys.rs",
        "engine/src/index/apply.rs",
        "engine/src/sequencer.rs",
    ];
    const OUTSIDE: [&str; 9] = [
        "std::fs",
        "std::net",
        "std::thread",
        "Instant",
        "SystemTime",
        "rocksdb::",
        "tokio",
        "async ",
        ".await",
    ];
    let all = sources();
    let mut problems: Vec<_> = PURE
        .iter()
        .filter(|path| !all.iter().any(|source| source.path == **path))
        .map(|path| format!("{path}: not there; name the module that took its place in this test"))
        .collect();
    problems.extend(matching(
        |source| PURE.contains(&source.path.as_str()),
        |_, line| OUTSIDE.iter().any(|word| line.contains(word)),
    ));
    expect_none(
        "decisions take values and return values; only shells do I/O",
        &problems,
    );
}

#[test]
fn the_engine_takes_time_and_chance_from_outside() {
    // What a simulation cannot repeat, and the shells in which it may stand.
    const SHELLS: [&str; 5] = [
        "engine/src/clock.rs",
        "engine/src/worker.rs",
        "engine/src/engine.rs",
        "engine/src/engine/start.rs",
        "engine/src/sim/run.rs",
    ];
    // Nothing depends on the order of its entries.
    const UNORDERED: &str = "engine/src/sequencer/cache.rs";
    const ORDER: [&str; 3] = ["HashMap", "HashSet", "RandomState"];
    const WORDS: [&str; 5] = [
        "Instant",
        "SystemTime",
        "thread::",
        "rand::rng",
        "from_os_rng",
    ];
    let problems = matching(
        |source| {
            source.is_production()
                && source.path.starts_with("engine/src/")
                // They work on stores that are not open.
                && !source.path.starts_with("engine/src/tools/")
                && !SHELLS.contains(&source.path.as_str())
        },
        |source, line| {
            let chance = WORDS
                .iter()
                .any(|word| line.replace("rand::rngs", "").contains(word));
            let order = ORDER.iter().any(|word| has_word(line, word));
            chance || (order && source.path != UNORDERED)
        },
    );
    expect_none(
        "disk, clock and chance come in from outside, and maps have an order: BTreeMap",
        &problems,
    );
}

#[test]
fn rocksdb_is_named_in_one_file() {
    // It is also one of the peers, and a limit.
    const KNOW_IT: [&str; 3] = [
        "engine/src/index/rocks.rs",
        "benches/compare/src/peers/",
        "benches/src/rocks.rs",
    ];
    let problems = matching(
        |source| source.is_rust() && !KNOW_IT.iter().any(|known| source.path.starts_with(known)),
        |source, line| {
            source.path != "tests/tests/tidy/structure.rs"
                && (line.contains("rocksdb::") || line.contains("use rocksdb"))
        },
    );
    expect_none("only engine/src/index/rocks.rs knows RocksDB", &problems);
}

#[test]
fn coordinators_and_services_do_not_know_the_engine() {
    let problems = matching(
        |source| {
            source.is_production()
                && ["server/src/coordinator", "server/src/service"]
                    .iter()
                    .any(|folder| source.path.starts_with(folder))
        },
        |_, line| line.contains("angzarr_engine"),
    );
    expect_none(
        "storage is reached only through trait EventStore",
        &problems,
    );
}

#[test]
fn grpc_statuses_stay_at_the_edge() {
    const EDGE: [&str; 11] = [
        "adapters/src/status",
        "adapters/src/store/remote",
        "server/src/status",
        "server/src/service",
        "server/src/rest",
        "server/src/handler",
        "proto/src/",
        "server/src/cli/",
        "server/src/bench/",
        "server/src/demo/",
        "server/src/embedded/",
    ];
    let problems = matching(
        |source| source.is_production() && !EDGE.iter().any(|path| source.path.starts_with(path)),
        |_, line| {
            line.contains("tonic::Status")
                || (line.contains("use tonic") && has_word(line, "Status"))
        },
    );
    expect_none(
        "inside, errors are our own types; see server/src/status.rs",
        &problems,
    );
}

#[test]
fn crates_depend_downwards_only() {
    // Every arrow that may exist, tests and benches aside. A new one needs a decision record.
    const ALLOWED: [(&str, &[&str]); 4] = [
        ("angzarr-proto", &[]),
        ("angzarr-engine", &[]),
        ("angzarr-adapters", &["angzarr-engine", "angzarr-proto"]),
        (
            "angzarr-server",
            &["angzarr-adapters", "angzarr-engine", "angzarr-proto"],
        ),
    ];
    const NOT_IN_ENGINE: [&str; 6] = [
        "tonic",
        "prost",
        "prost-types",
        "tonic-prost",
        "futures",
        "tower",
    ];
    let mut problems = Vec::new();
    for package in packages() {
        let name = text(&package, "name");
        for dependency in package
            .get("dependencies")
            .and_then(Value::as_array)
            .unwrap()
        {
            let on = text(dependency, "name");
            let for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
            let ours = on.starts_with("angzarr-");
            if let Some((_, allowed)) = ALLOWED.iter().find(|(from, _)| *from == name)
                && ours
                && !allowed.contains(&on)
                && !(for_tests && name != "angzarr-engine")
            {
                problems.push(format!("{name} -> {on}"));
            }
            if name == "angzarr-engine" && !for_tests && NOT_IN_ENGINE.contains(&on) {
                problems.push(format!("{name} -> {on}: the engine knows nothing of gRPC"));
            }
        }
    }
    expect_none("this arrow is not in ARCHITECTURE.md", &problems);
}

/// `file:line: text` of every code line that `wrong` says yes to.
fn matching(file: impl Fn(&Source) -> bool, wrong: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| file(source)) {
        for (number, line) in source.code() {
            if wrong(source, line) {
                problems.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    problems
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .unwrap()
        .clone();
    assert!(packages.len() >= 4, "cargo metadata names too few packages");
    packages
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap()
}
