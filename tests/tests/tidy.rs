//! The rules of the tree that no compiler checks: size, forbidden words, who may know whom, and
//! documents that name what exists. CONTRIBUTING.md says why each rule is there.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping"
)]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/structure.rs"]
mod structure;

use std::fs;
use std::path::{Path, PathBuf};

/// One text file of the checkout; `path` is relative to its top and written with slashes.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_production(&self) -> bool {
        const OTHER: [&str; 6] = [
            "tests/",
            "benches/",
            "fuzz/",
            "examples/",
            "/tests/",
            "/examples/",
        ];
        self.is_rust()
            && !self.path.ends_with("/tests.rs")
            && !OTHER.iter().any(|part| match part.strip_prefix('/') {
                Some(_) => self.path.contains(part),
                None => self.path.starts_with(part),
            })
    }

    /// Numbered lines, comments and all.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Numbered lines without `//` comments: what the compiler sees, near enough.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .map(|(number, line)| (number, line.split("//").next().unwrap_or(line)))
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every text file a person wrote, in path order.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&top(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        found
            .iter()
            .any(|source| source.path == "tests/tests/tidy.rs"),
        "looking elsewhere"
    );
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    const SKIPPED: [&str; 6] = [
        "target",
        "data",
        ".git",
        ".venv",
        "node_modules",
        "__pycache__",
    ];
    const KINDS: [&str; 5] = ["rs", "md", "toml", "proto", "py"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&path, found);
            }
        } else if path
            .extension()
            .is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
        {
            let relative = path
                .strip_prefix(top())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            found.push(Source {
                path: relative,
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Fails with every problem at once, one a line, so that one run is enough.
fn expect_none(rule: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{rule}\n  {}\n", problems.join("\n  "));
}
