#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use angzarr_proto::Dialect;

use super::*;
use crate::config::node::Value;

/// Sources over a scratch folder.
struct Fixture {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            folder: folder.path().to_path_buf(),
            ..Sources::default()
        };
        Self { folder, sources }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.sources
            .environment
            .insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Result<Config, String> {
        let place = format!("{}/", self.folder.path().display());
        Config::load(&self.sources).map_err(|error| error.to_string().replace(&place, ""))
    }
}

fn load(text: &str) -> Result<Config, String> {
    let fixture = Fixture::new();
    fixture.file("angzarr.yaml", text);
    fixture.load()
}

#[test]
fn nothing_given_means_defaults() {
    let config = Fixture::new().load().unwrap();
    assert_eq!(
        config.server.listen,
        [Listen::Tcp("127.0.0.1:1310".to_owned())]
    );
    let native = NativeStorage {
        path: "./data".into(),
        ..NativeStorage::default()
    };
    assert_eq!(config.storage, Storage::Native(native));
    assert_eq!(config.limits.pages_per_book, 100);
    assert_eq!(config.limits.payload_bytes, 262_144);
    assert_eq!(config.limits.message_bytes, 10_485_760);
    assert!(config.aggregates.is_empty());
    assert_eq!(load("# a comment\n").unwrap(), config);
    assert_eq!(load("server:\nstorage:\naggregates:\n").unwrap(), config);
}

#[test]
fn everything_can_be_given() {
    let config = load(
        "server: {listen: ['0.0.0.0:1', 'unix:/run/a.sock'], drain_timeout: 1min}
storage: {type: angzarr, path: /var/lib/a, durability: interval, sync_interval: 5ms, index: memory,
  segment_bytes: 1MiB, queue_bytes: 2, index_buffer_bytes: 3, index_cache_bytes: 4,
  seal_rate: 0, segment_cache_bytes: 5}
messaging: {type: channel}
limits: {pages_per_book: 7, payload_bytes: 1KiB, message_bytes: 2 MiB}
log: {filter: 'warn,angzarr_engine=debug', format: json}
aggregates:
  - domain: order
    address: http://127.0.0.1:50051
    dialect: client-0.3
    timeout: 3s
    retries: {attempts: 2, min: 1ms, max: 2ms}
    concurrency: 9
    snapshots: never
  - {domain: stock, address: 'unix:/run/stock.sock'}
upcasters:
  - {domain: order, address: 'http://up:50091'}
",
    )
    .unwrap();
    assert_eq!(
        config.server.listen,
        [
            Listen::Tcp("0.0.0.0:1".to_owned()),
            Listen::Unix("/run/a.sock".into())
        ]
    );
    assert_eq!(config.server.drain_timeout, Duration::from_secs(60));
    assert_eq!(
        config.storage,
        Storage::Native(NativeStorage {
            path: "/var/lib/a".into(),
            durability: Durability::Interval(Duration::from_millis(5)),
            index: Some(Index::Memory),
            segment_bytes: 1 << 20,
            queue_bytes: 2,
            index_buffer_bytes: 3,
            index_cache_bytes: 4,
            seal_rate: 0,
            segment_cache_bytes: 5,
        })
    );
    assert_eq!(config.limits.payload_bytes, 1024);
    assert_eq!(config.limits.message_bytes, 2 << 20);
    assert_eq!(config.log.format, LogFormat::Json);
    let [order, stock] = config.aggregates.as_slice() else {
        panic!("two aggregates")
    };
    assert_eq!(
        *order,
        Aggregate {
            sagas: Vec::new(),
            domain: "order".to_owned(),
            address: Endpoint::Http("http://127.0.0.1:50051".to_owned()),
            dialect: Some(Dialect::Client03),
            timeout: Duration::from_secs(3),
            retries: Retries {
                attempts: 2,
                min: Duration::from_millis(1),
                max: Duration::from_millis(2),
            },
            concurrency: 9,
            snapshots: Snapshots::Never,
        }
    );
    assert_eq!(stock.address, Endpoint::Unix("/run/stock.sock".into()));
    assert_eq!(stock.dialect, None);
    assert_eq!(stock.retries, Retries::default());
    assert_eq!(config.upcasters.len(), 1);
}

#[test]
fn problems_name_key_and_line() {
    let cases = [
        (
            "storage:\n  durabilty: os\n",
            "angzarr.yaml, line 2: unknown key storage.durabilty; did you mean durability?",
        ),
        (
            "\n\ncolour: red\n",
            "angzarr.yaml, line 3: unknown key colour; known here: server, storage,",
        ),
        (
            "storage: {durability: perhaps}\n",
            "angzarr.yaml, line 1: storage.durability: \"perhaps\" is not one of fsync, interval, os",
        ),
        (
            "storage:\n  type: postgres\n",
            "angzarr.yaml, line 2: storage.type: postgres is not built in yet; this version has angzarr, remote",
        ),
        (
            "storage: {type: oracle}\n",
            "storage.type: \"oracle\" is not known; this version has angzarr, remote",
        ),
        (
            "storage: {type: remote}\n",
            "angzarr.yaml, line 1: storage.url: is missing",
        ),
        (
            "storage: {type: remote, url: nowhere}\n",
            "storage.url: \"nowhere\" is not an address; write http://host:port or unix:/path",
        ),
        (
            "storage: {sync_interval: 1s}\n",
            "storage.sync_interval: needs durability: interval",
        ),
        (
            "storage: {segment_bytes: 1KiB}\n",
            "storage.segment_bytes: must be at least 64KiB",
        ),
        (
            "bus: {type: kafka}\n",
            "bus.type: kafka is not built in yet; this version has channel",
        ),
        (
            "bus: {type: channel}\nmessaging: {type: channel}\n",
            "angzarr.yaml, line 2: messaging: is another name for bus",
        ),
        (
            "server:\n  listen: [nohost]\n",
            "angzarr.yaml, line 2: server.listen: \"nohost\" is not an address",
        ),
        (
            "server: {listen: []}\n",
            "server.listen: needs at least one address",
        ),
        (
            "server: 7\n",
            "angzarr.yaml, line 1: server: must be a map of keys and values",
        ),
        (
            "server: {drain_timeout: 10}\n",
            "server.drain_timeout: \"10\" is not a duration",
        ),
        (
            "limits: {payload_bytes: 11MiB}\n",
            "limits.payload_bytes: must not exceed limits.message_bytes",
        ),
        (
            "limits: {pages_per_book: 0}\n",
            "limits.pages_per_book: \"0\" is not a whole number from 1 to 100000",
        ),
        (
            "log: {filter: 'a=b=c'}\n",
            "angzarr.yaml, line 1: log.filter:",
        ),
        (
            "aggregates:\n  - {domain: a, address: 'http://h:1'}\n  - {domain: a, address: 'http://h:2'}\n",
            "angzarr.yaml, line 3: aggregates[1].domain: \"a\" is already served",
        ),
        (
            "aggregates:\n  - domain: Order\n",
            "angzarr.yaml, line 2: aggregates[0].domain: \"Order\" is not a domain",
        ),
        (
            "aggregates:\n  - {domain: order}\n",
            "angzarr.yaml, line 2: aggregates[0].address: is missing",
        ),
        (
            "aggregates: {domain: order}\n",
            "aggregates: must be a list",
        ),
        (
            "aggregates:\n  - {domain: a, address: 'http://h:1', retries: {min: 3s}}\n",
            "aggregates[0].retries.min: must not exceed max",
        ),
        (
            "aggregates:\n  - {domain: a, address: 'http://h:1', dialect: v2}\n",
            "aggregates[0].dialect: \"v2\" is not one of auto, v1, client-0.5, client-0.3",
        ),
        (
            "compensation: {webhook: 'https://h'}\n",
            "compensation.webhook: \"https://h\" is no address to post to",
        ),
        (
            "sagas:\n  - {name: a}\n",
            "angzarr.yaml, line 2: sagas[0].address: is missing",
        ),
        (
            "sagas:\n  - {name: a, address: 'http://h:1'}\n",
            "angzarr.yaml, line 2: sagas[0].inputs: needs at least one",
        ),
        (
            "process_managers:\n  - {name: a, address: 'http://h:1', inputs: [{domain: b}]}\n",
            "angzarr.yaml, line 2: process_managers[0].domain: is missing",
        ),
        (
            "projectors:\n  - {name: A, address: 'http://h:1', inputs: [{domain: b}]}\n",
            "projectors[0].name: \"A\" is not a name",
        ),
        (
            "sagas:\n  - {name: a, address: 'http://h:1', inputs: [{domain: b}]}\n\
             projectors:\n  - {name: a, address: 'http://h:1', inputs: [{domain: b}]}\n",
            "angzarr.yaml, line 4: projectors[0].name: \"a\" is the name of an entry above",
        ),
        ("server: [\n", "angzarr.yaml, line 1: not valid YAML:"),
        (
            "server: {}\nserver: {}\n",
            "angzarr.yaml, line 2: not valid YAML:",
        ),
        ("storage: {path: }\n", "storage.path: has no value"),
        (
            "storage: {path: \"${NOT_SET}\"}\n",
            "angzarr.yaml, line 1: ${NOT_SET}: is not set",
        ),
        ("storage: {path: \"${OPEN\"}\n", "has no closing brace"),
        ("storage: {path: \"${A B}\"}\n", "is not a variable name"),
    ];
    for (text, expected) in cases {
        let problem = load(text).expect_err(text);
        assert!(
            problem.contains(expected),
            "{text}\n said: {problem}\n not:  {expected}"
        );
    }
}

#[test]
fn variables_are_replaced_after_parsing() {
    let fixture = Fixture::new().var("DIR", "a: [b # c").var("EMPTY", "");
    let text = "storage: {path: \"${DIR}/x\"}\nlog: {filter: \"${EMPTY:-debug}\"}
server: {listen: \"${HOST:-127.0.0.1}:9\"}\n";
    fixture.file("angzarr.yaml", text);
    let config = fixture.load().unwrap();
    let native = NativeStorage {
        path: "a: [b # c/x".into(),
        ..NativeStorage::default()
    };
    assert_eq!(config.storage, Storage::Native(native));
    assert_eq!(config.log.filter, "debug");
    assert_eq!(
        config.server.listen,
        [Listen::Tcp("127.0.0.1:9".to_owned())]
    );

    fixture.file("angzarr.yaml", "storage: {path: \"$${DIR}\"}\n");
    let native = NativeStorage {
        path: "${DIR}".into(),
        ..NativeStorage::default()
    };
    assert_eq!(fixture.load().unwrap().storage, Storage::Native(native));
}

#[test]
fn later_sources_win() {
    let mut fixture = Fixture::new();
    let path = |fixture: &Fixture| match fixture.load().unwrap().storage {
        Storage::Native(native) => native.path.display().to_string(),
        Storage::Remote(_) => panic!("a native store was configured"),
    };
    assert_eq!(path(&fixture), "./data");
    fixture.file("angzarr.yaml", "storage: {path: found, durability: os}\n");
    assert_eq!(path(&fixture), "found");
    fixture.sources.file = Some(fixture.file("named.yaml", "storage: {path: named}\n"));
    assert_eq!(path(&fixture), "named");
    let file = fixture.file("variable.yaml", "storage: {path: variable}\n");
    fixture = fixture.var("ANGZARR_CONFIG", file.to_str().unwrap());
    assert_eq!(path(&fixture), "variable");
    fixture = fixture.var("ANGZARR__STORAGE__PATH", "environment");
    assert_eq!(path(&fixture), "environment");
    fixture.sources.flags = vec![(
        "--data".to_owned(),
        "storage.path".to_owned(),
        "flag".to_owned(),
    )];
    assert_eq!(path(&fixture), "flag");
    let Storage::Native(native) = fixture.load().unwrap().storage else {
        panic!("native")
    };
    assert_eq!(
        native.durability,
        Durability::Os,
        "what a later source leaves out stays"
    );
}

#[test]
fn a_saga_inside_an_aggregate_has_its_address_and_domain() {
    let text = "aggregates:\n- domain: order\n  address: 'http://h:1'\n  sagas:\n  - {name: a}\n  \
                - {name: b, address: 'http://h:2', inputs: [{domain: stock, types: [Gone]}]}\n";
    let config = load(text).unwrap();
    let sagas = &config.aggregates.first().unwrap().sagas;
    let told: Vec<_> = sagas
        .iter()
        .map(|saga| (saga.address.to_string(), saga.inputs.clone()))
        .collect();
    let input = |domain: &str, types: &[&str]| Input {
        domain: domain.to_owned(),
        types: types.iter().map(|name| (*name).to_owned()).collect(),
    };
    assert_eq!(
        told,
        [
            ("http://h:1".to_owned(), vec![input("order", &[])]),
            ("http://h:2".to_owned(), vec![input("stock", &["Gone"])]),
        ]
    );
    let problem = load("aggregates:\n- {domain: order, address: 'http://h:1', sagas: [{x: 1}]}\n");
    assert!(
        problem
            .unwrap_err()
            .contains("aggregates[0].sagas[0].name: is missing")
    );
}

#[test]
fn the_environment_reaches_lists_and_is_checked() {
    let fixture = Fixture::new()
        .var("ANGZARR__SERVER__LISTEN", "127.0.0.1:1, unix:/x")
        .var(
            "ANGZARR__AGGREGATES",
            "[{domain: order, address: 'http://h:1'}]",
        )
        .var("ANGZARR__AGGREGATES__0__DIALECT", "v1");
    let config = fixture.load().unwrap();
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(
        config.aggregates.first().unwrap().dialect,
        Some(Dialect::V1)
    );

    let problem = Fixture::new()
        .var("ANGZARR__STORAGE__PATHS", "x")
        .load()
        .unwrap_err();
    assert!(
        problem.contains("environment variable ANGZARR__STORAGE__PATHS: unknown key"),
        "{problem}"
    );
    let problem = Fixture::new()
        .var("ANGZARR__STORAGE__TYPE", "redis")
        .load()
        .unwrap_err();
    assert!(problem.contains("redis is not built in yet"), "{problem}");
}

#[test]
fn a_missing_file_is_named_with_its_source() {
    let mut fixture = Fixture::new();
    fixture.sources.file = Some("gone.yaml".into());
    let problem = fixture.load().unwrap_err();
    assert!(
        problem.contains("gone.yaml (named by --config) cannot be read"),
        "{problem}"
    );
    let problem = Fixture::new()
        .var("ANGZARR_CONFIG", "/no/such")
        .load()
        .unwrap_err();
    assert!(
        problem.contains("/no/such (named by ANGZARR_CONFIG) cannot be read"),
        "{problem}"
    );
}

/// Every key in the manual is read, and every key that is read is in the manual.
#[test]
fn keys_are_those_of_the_manual() {
    for key in KEYS {
        let mut tree = Node::new(Origin::Default, Value::Map(Vec::new()));
        let path: Vec<&str> = key.name.split('.').collect();
        set_minimum(&mut tree, key.name);
        put(&mut tree, &path, "\u{1}");
        let problem = Config::read(tree)
            .map(|_| String::new())
            .unwrap_or_else(|e| e.to_string());
        assert!(!problem.contains("unknown key"), "{}: {problem}", key.name);
    }
    let hints = known_by_section();
    for (section, known) in hints {
        for key in known {
            let name = if section.is_empty() {
                key.clone()
            } else {
                format!("{section}.{key}")
            };
            let nested = KEYS.iter().any(|k| {
                k.name.starts_with(&format!("{name}.")) || k.name.starts_with(&format!("{name}[]"))
            });
            let skipped = ["messaging"];
            let listed = KEYS.iter().any(|k| k.name == name);
            assert!(
                nested || listed || skipped.contains(&key.as_str()),
                "{name} is not in KEYS"
            );
        }
    }
}

/// What has to be there for the section of `name` to be read at all.
fn set_minimum(tree: &mut Node, name: &str) {
    if name == "storage.sync_interval" {
        put(tree, &["storage", "durability"], "interval");
    }
    if name == "storage.url" {
        put(tree, &["storage", "type"], "remote");
    }
    for list in ["aggregates", "upcasters"] {
        if name.starts_with(list) {
            put(tree, &[&format!("{list}[]"), "domain"], "a");
            put(tree, &[&format!("{list}[]"), "address"], "http://h:1");
        }
    }
    for list in ["sagas", "process_managers", "projectors"] {
        if name.starts_with(list) {
            let item = format!("{list}[]");
            put(tree, &[&item, "name"], "a");
            put(tree, &[&item, "address"], "http://h:1");
            if list == "process_managers" {
                put(tree, &[&item, "domain"], "a");
            }
        }
    }
}

fn put(tree: &mut Node, path: &[&str], text: &str) {
    let scalar = Node::new(Origin::Default, Value::Scalar(text.to_owned()));
    let mut full = Vec::new();
    for part in path {
        if let Some(list) = part.strip_suffix("[]") {
            let item = Node::new(Origin::Default, Value::Map(Vec::new()));
            let list = list.to_owned();
            if tree
                .set(&[list.clone(), "0".to_owned()], item.clone())
                .is_err()
                || matches!(&tree.value, Value::Map(entries) if entries.iter().all(|e| !matches!(e.node.value, Value::List(_))))
            {
                let items = Node::new(Origin::Default, Value::List(vec![item]));
                tree.set(std::slice::from_ref(&list), items).unwrap();
            }
            full.extend([list, "0".to_owned()]);
        } else {
            full.push((*part).to_owned());
        }
    }
    tree.set(&full, scalar).unwrap();
}

/// The keys each section says it knows, from the error for one it does not.
fn known_by_section() -> BTreeMap<String, Vec<String>> {
    let unknown = "an-unknown-key-far-from-all";
    let texts = [
        ("", format!("{unknown}: 1\n")),
        ("server", format!("server: {{{unknown}: 1}}\n")),
        ("storage", format!("storage: {{{unknown}: 1}}\n")),
        (
            "storage",
            format!("storage: {{type: remote, url: 'http://h:1', {unknown}: 1}}\n"),
        ),
        ("bus", format!("bus: {{{unknown}: 1}}\n")),
        ("limits", format!("limits: {{{unknown}: 1}}\n")),
        ("log", format!("log: {{{unknown}: 1}}\n")),
        ("cascade", format!("cascade: {{{unknown}: 1}}\n")),
        ("compensation", format!("compensation: {{{unknown}: 1}}\n")),
        (
            "aggregates[]",
            format!("aggregates: [{{domain: a, address: 'http://h:1', {unknown}: 1}}]\n"),
        ),
        (
            "aggregates[].retries",
            format!(
                "aggregates: [{{domain: a, address: 'http://h:1', retries: {{{unknown}: 1}}}}]\n"
            ),
        ),
        (
            "sagas[]",
            format!(
                "sagas: [{{name: a, address: 'http://h:1', inputs: [{{domain: b}}], {unknown}: 1}}]\n"
            ),
        ),
        (
            "projectors[]",
            format!(
                "projectors: [{{name: a, address: 'http://h:1', inputs: [{{domain: b}}], {unknown}: 1}}]\n"
            ),
        ),
        (
            "process_managers[]",
            format!(
                "process_managers: [{{name: a, domain: c, address: 'http://h:1', inputs: [{{domain: b}}], {unknown}: 1}}]\n"
            ),
        ),
        (
            "upcasters[]",
            format!("upcasters: [{{domain: a, address: 'http://h:1', {unknown}: 1}}]\n"),
        ),
    ];
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (section, text) in texts {
        let problem = load(&text).expect_err(&text);
        let (_, list) = problem
            .split_once("known here: ")
            .unwrap_or_else(|| panic!("{problem}"));
        known
            .entry(section.to_owned())
            .or_default()
            .extend(list.split(", ").map(str::to_owned));
    }
    known
}
