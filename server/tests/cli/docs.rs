//! The manual says what the binary does.

use std::{fs, path::PathBuf};

use angzarr_server::config::{Config, KEYS, Sources};

use super::support::angzarr;

fn manual(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    fs::read_to_string(&path).unwrap()
}

/// The text of the first fenced block that begins with this line.
fn block<'a>(manual: &'a str, opening: &str) -> &'a str {
    let (_, rest) = manual.split_once(opening).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn configuration_lists_every_key() {
    let rows: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let default = match key.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            format!("| `{}` | {default} | {} |", key.name, key.meaning)
        })
        .collect();
    let manual = manual("configuration.md");
    let written: Vec<&str> = manual
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(written, rows, "the table should be:\n{}\n", rows.join("\n"));
}

#[test]
fn the_example_of_the_configuration_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let manual = manual("configuration.md");
    fs::write(
        folder.path().join("angzarr.yaml"),
        block(&manual, "```yaml\n"),
    )
    .unwrap();
    let sources = Sources {
        folder: folder.path().to_path_buf(),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.aggregates.len(), 2);
    assert_eq!(config.server.listen.len(), 2);
}

/// What it names are the defaults, as it says.
#[test]
#[cfg(feature = "nats")]
fn the_example_of_the_bus_is_accepted() {
    use angzarr_server::config::Bus;

    let bus_of = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("angzarr.yaml"), text).unwrap();
        let sources = Sources {
            folder: folder.path().to_path_buf(),
            ..Sources::default()
        };
        Config::load(&sources).unwrap().bus
    };
    let manual = manual("bus.md");
    let example = bus_of(block(&manual, "```yaml\n"));
    let url = "nats://angzarr:secret@127.0.0.1:4222";
    let plain = bus_of(&format!("bus: {{type: nats, url: '{url}'}}\n"));
    assert!(matches!(example, Bus::Nats(_)));
    assert_eq!(example, plain);
}

#[test]
fn the_help_of_every_command_is_in_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let manual = manual("cli.md");
    let general = angzarr(folder.path(), &["--help"]).ok();
    assert!(
        manual.contains(&general),
        "`angzarr --help` says\n{general}"
    );
    let commands = general
        .split_once("Commands:\n")
        .unwrap()
        .1
        .split_once("\n\n")
        .unwrap()
        .0;
    let names = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        let help = angzarr(folder.path(), &[name, "-h"]).ok();
        assert!(manual.contains(&help), "`angzarr {name} -h` says\n{help}");
    }
}

#[test]
fn the_readme_shows_the_demo_as_it_is() {
    // Process ids differ from run to run.
    let masked = |text: &str| -> String {
        let words = text.split_inclusive(char::is_whitespace);
        let mut after_process = false;
        words
            .map(|word| {
                let number = word
                    .trim_end_matches([':', ' '])
                    .bytes()
                    .all(|b| b.is_ascii_digit());
                let hide = after_process && number;
                after_process = matches!(word.trim_end(), "process" | "-9");
                if hide { "PID " } else { word }
            })
            .collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let told = angzarr(folder.path(), &["demo"]).ok();
    let readme = manual("../README.md");
    let (_, shown) = readme.split_once("```text\nA small tea shop").unwrap();
    let shown = format!("A small tea shop{}", shown.split_once("```").unwrap().0);
    assert_eq!(masked(&shown).trim(), masked(&told).trim());
}
