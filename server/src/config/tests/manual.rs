//! The manual and the reader know the same keys.

use super::*;

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
    if name.starts_with("payloads") {
        put(tree, &["payloads", "store"], "p");
    }
    if name.starts_with("server.tls") {
        put(tree, &["server", "tls", "certificate"], "c");
        put(tree, &["server", "tls", "key"], "k");
    }
    if name.starts_with("storage.tls") {
        put(tree, &["storage", "type"], "remote");
        put(tree, &["storage", "url"], "https://h:1");
        put(tree, &["storage", "tls", "ca"], "c");
        put(tree, &["storage", "tls", "certificate"], "c");
        put(tree, &["storage", "tls", "key"], "k");
    }
    if name.starts_with("bus.") {
        put(tree, &["bus", "type"], "nats");
        put(tree, &["bus", "url"], "nats://h:1");
    }
    if name.starts_with("bus.tls") {
        put(tree, &["bus", "tls", "certificate"], "c");
        put(tree, &["bus", "tls", "key"], "k");
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
        (
            "server.tls",
            format!("server: {{tls: {{certificate: c, key: k, {unknown}: 1}}}}\n"),
        ),
        (
            "storage.tls",
            format!(
                "storage: {{type: remote, url: 'https://h:1', tls: {{ca: c, {unknown}: 1}}}}\n"
            ),
        ),
        (
            "payloads",
            format!("payloads: {{store: p, {unknown}: 1}}\n"),
        ),
        ("bus", format!("bus: {{{unknown}: 1}}\n")),
        #[cfg(feature = "nats")]
        (
            "bus",
            format!("bus: {{type: nats, url: 'nats://h:1', {unknown}: 1}}\n"),
        ),
        #[cfg(feature = "nats")]
        (
            "bus.tls",
            format!("bus: {{type: nats, url: 'nats://h:1', tls: {{{unknown}: 1}}}}\n"),
        ),
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
