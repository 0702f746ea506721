//! Replays every input in the tree, on a stable compiler and without libFuzzer.
#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use angzarr_fuzz::{TARGETS, run};

fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(target);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The name of the input is printed before it is run: the last one is the one that failed.
fn replay(target: &str) {
    let seeds = inputs("corpus", target);
    assert!(!seeds.is_empty(), "fuzz/corpus/{target} is empty");
    for path in seeds.iter().chain(&inputs("regressions", target)) {
        println!("{}", path.display());
        run(target, &fs::read(path).unwrap());
    }
    run(target, &[]);
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($target)),*];
            let names = TARGETS.map(|target| target.name);
            assert_eq!(replayed.as_slice(), names.as_slice());
            for name in names {
                let main = Path::new(env!("CARGO_MANIFEST_DIR"));
                let main = main.join("fuzz_targets").join(format!("{name}.rs"));
                assert!(main.is_file(), "{} is missing", main.display());
            }
        }
    };
}

replays!(frame record index_keys apply sealed image directory append_request operations);
