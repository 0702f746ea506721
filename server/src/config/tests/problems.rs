//! What is wrong is named with its key and its line.

use super::*;

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
            "storage: {type: remote, url: 'https://h:1'}\n",
            "storage.tls: is missing: name the authority of the server in storage.tls.ca",
        ),
        (
            "storage: {type: remote, url: 'http://h:1', tls: {ca: c}}\n",
            "storage.tls: is for addresses that begin with https://",
        ),
        (
            "storage: {type: remote, url: 'https://h:1', tls: {ca: c, key: k}}\n",
            "storage.tls.certificate: is missing",
        ),
        (
            "payloads: {threshold: 1KiB}\n",
            "payloads.store: is missing",
        ),
        (
            "server: {tls: {key: k}}\n",
            "server.tls.certificate: is missing",
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
            "bus.type: kafka is not built in yet; this version has channel, nats",
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
