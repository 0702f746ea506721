#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use angzarr_proto::Dialect;

mod manual;
mod problems;
mod sources;

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
  seal_rate: 0, segment_cache_bytes: 5, book_cache_bytes: 6}
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
            book_cache_bytes: 6,
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
