//! Documents name what exists, and their links lead somewhere.

use super::{Source, expect_none, sources, top};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_link_leads_somewhere() {
    let mut problems = Vec::new();
    for source in documents() {
        for (number, target) in links(&source) {
            if let Err(why) = follow(&source, &target) {
                problems.push(format!("{}:{number}: {target}: {why}", source.path));
            }
        }
    }
    expect_none(
        "a relative link must name a file, and its anchor a heading of it",
        &problems,
    );
}

#[test]
fn the_architecture_names_every_crate_and_no_missing_file() {
    let document = documents()
        .into_iter()
        .find(|source| source.path == "ARCHITECTURE.md")
        .unwrap_or_else(|| panic!("ARCHITECTURE.md is missing"));
    let tree = tree();
    let mut problems = Vec::new();
    for member in workspace_members() {
        if !document.text.contains(&format!("{member}/")) {
            problems.push(format!("the crate {member}/ is not named"));
        }
    }
    for (number, line) in document.lines() {
        for name in paths_in(line) {
            if !tree.iter().any(|path| is_or_ends_in(path, name)) {
                problems.push(format!("line {number}: {name} does not exist"));
            }
        }
    }
    expect_none("ARCHITECTURE.md describes the tree as it is", &problems);
}

#[test]
fn documents_name_only_make_targets_that_exist() {
    let makefile = fs::read_to_string(top().join("Makefile")).unwrap();
    let mut problems = Vec::new();
    for source in documents() {
        for (number, line) in source.lines() {
            for target in make_targets_in(line) {
                if !makefile
                    .lines()
                    .any(|rule| rule.starts_with(&format!("{target}:")))
                {
                    problems.push(format!("{}:{number}: make {target}", source.path));
                }
            }
        }
    }
    expect_none("the Makefile has no such target", &problems);
}

fn documents() -> Vec<Source> {
    sources()
        .into_iter()
        .filter(|source| source.path.ends_with(".md"))
        .collect()
}

/// Link targets outside code, with their line numbers.
fn links(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in source.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
        for part in prose.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
    }
    found
}

fn follow(source: &Source, target: &str) -> Result<(), String> {
    if ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
    {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(&source.path).parent().unwrap();
    let path = if file.is_empty() {
        top().join(&source.path)
    } else {
        top().join(folder).join(file)
    };
    if !path.exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    if text
        .lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor_of(line) == anchor)
    {
        Ok(())
    } else {
        Err("no such heading".to_owned())
    }
}

/// The anchor that code hosts give a heading: lower case, punctuation gone, spaces as hyphens.
fn anchor_of(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Every file and every folder of the tree; folders end in a slash.
fn tree() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for source in sources() {
        for (slash, _) in source.path.match_indices('/') {
            paths.insert(source.path[..=slash].to_owned());
        }
        paths.insert(source.path);
    }
    paths
}

/// Inside the description of a crate a path is written from there.
fn is_or_ends_in(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// Words in backticks that look like a file or folder of this tree.
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    const ENDS: [&str; 6] = [".rs", ".md", ".toml", ".proto", ".py", "/"];
    line.split('`').skip(1).step_by(2).filter(|word| {
        !word.contains(|c: char| c.is_whitespace() || "*{}<>$:".contains(c))
            && !word.starts_with('/')
            && ENDS.iter().any(|end| word.ends_with(end))
    })
}

fn make_targets_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("make ").filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back();
        let starts_command = matches!(before, None | Some('`')) || line[..at].ends_with("&& ");
        let target = line[at + "make ".len()..].split(|c: char| !c.is_alphanumeric() && c != '-');
        target
            .into_iter()
            .next()
            .filter(|name| starts_command && !name.is_empty())
    })
}

fn workspace_members() -> Vec<String> {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let members = manifest
        .split("members = [")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    let names: Vec<_> = members
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(
        !names.is_empty(),
        "no workspace members found in Cargo.toml"
    );
    names
}
