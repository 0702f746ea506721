//! Rewriting full segments: everything that could be read before can be read after.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::path::Path;

use angzarr_engine::*;
use futures::executor::block_on;

/// A store that seals only when it is told to.
fn open(folder: &Path) -> Engine {
    let options = Options {
        segment_bytes: 64 * 1024,
        seal_rate: 0,
        index: IndexKind::Memory,
        ..Options::default()
    };
    Engine::open(folder, options).unwrap()
}

fn key(edition: &str, n: u8) -> AggregateKey {
    AggregateKey {
        domain: Domain::new("order").unwrap(),
        edition: Edition::new(edition).unwrap(),
        root: Root::new([n; 16]),
    }
}

fn write(key: &AggregateKey, texts: &[String]) -> Write {
    Write {
        pages: texts
            .iter()
            .map(|text| Page {
                created_at: None,
                type_name: Span { start: 0, len: 4 },
                body: text.clone().into(),
            })
            .collect(),
        correlation: CorrelationId::new("story").unwrap(),
        ..Write::to(key.clone())
    }
}

fn commit(engine: &Engine, write: Write) -> Committed {
    let commit = Commit {
        writes: vec![write],
        ..Commit::default()
    };
    block_on(engine.commit(commit)).unwrap()
}

fn control(engine: &Engine, control: Control) -> Committed {
    let commit = Commit {
        controls: vec![control],
        ..Commit::default()
    };
    block_on(engine.commit(commit)).unwrap()
}

/// A payload of some length that compresses like JSON does.
fn text(n: usize) -> String {
    format!(
        "Kind {{\"number\": {n}, \"note\": \"{}\"}}",
        "abc".repeat(n % 60)
    )
}

/// Many commits for a few aggregates of an edition, one after the other.
fn fill(engine: &Engine, edition: &str, commits: usize) {
    for n in 0..commits {
        let at = key(edition, (n % 7).try_into().unwrap());
        commit(engine, write(&at, &[text(n), text(n + 1)]));
    }
}

fn read(engine: &Engine, key: &AggregateKey, backwards: bool) -> Vec<(u32, String)> {
    let view = engine.aggregate(key, None).unwrap();
    let mut cursor = engine.pages(&view, Sequence::ZERO, view.next(), backwards);
    let mut found = Vec::new();
    while !cursor.is_done() {
        for page in cursor.next_chunk(1000).unwrap() {
            let body = String::from_utf8(page.body.to_vec()).unwrap();
            found.push((page.sequence.get(), body));
        }
    }
    found
}

fn read_all(engine: &Engine, after: u64) -> Vec<Recorded> {
    let mut cursor = engine
        .cursor(Position::new(after), Filter::default())
        .unwrap();
    let mut all = Vec::new();
    while cursor.position() < engine.position() {
        all.extend(cursor.next_chunk(10_000, engine.position()).unwrap());
    }
    all
}

/// Everything a reader can ask for.
fn everything(engine: &Engine, editions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for edition in editions {
        for n in 0..7 {
            let key = key(edition, n);
            found.push(format!("{:?}", read(engine, &key, false)));
            found.push(format!("{:?}", read(engine, &key, true)));
            found.push(format!("{:?}", engine.snapshots(&key).unwrap()));
            let view = engine.aggregate(&key, None).unwrap();
            let marks = engine.marks(&view, Sequence::ZERO, view.next()).unwrap();
            found.push(format!("{marks:?}"));
        }
    }
    for after in [0, 1, 100, engine.position().get() / 2] {
        found.push(format!("{:?}", read_all(engine, after)));
    }
    found
}

fn files(folder: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

#[test]
fn a_sealed_store_reads_as_before_and_is_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    fill(&engine, "", 2_000);
    let before = everything(&engine, &[""]);
    let bytes = engine.stats().disk_bytes;
    let waiting = engine.sealing().waiting;
    assert!(waiting >= 3, "{waiting} segments are full");
    engine.seal_now().unwrap();
    let sealing = engine.sealing();
    assert_eq!((sealing.sealed, sealing.waiting), (waiting, 0));
    assert_eq!(files(folder.path(), ".segz").len(), waiting);
    assert_eq!(files(folder.path(), ".seg").len(), 1);
    assert!(engine.stats().disk_bytes * 2 < bytes);
    assert_eq!(everything(&engine, &[""]), before);
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(everything(&engine, &[""]), before);
    fill(&engine, "", 10);
    drop(engine);
    let verified = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(verified.soundness, Soundness::Sound);
    assert_eq!(verified.events, 4_020);
}

#[test]
fn readers_go_on_while_segments_change_under_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    fill(&engine, "", 2_000);
    let view = engine.aggregate(&key("", 3), None).unwrap();
    let mut pages = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let mut all = engine.cursor(Position::START, Filter::default()).unwrap();
    let first = pages.next_chunk(100).unwrap();
    let mut seen = first.len();
    let mut recorded = all.next_chunk(100, engine.position()).unwrap().len();
    engine.seal_now().unwrap();
    while !pages.is_done() {
        seen += pages.next_chunk(1000).unwrap().len();
    }
    while all.position() < engine.position() {
        recorded += all.next_chunk(10_000, engine.position()).unwrap().len();
    }
    assert_eq!(seen, view.next().get() as usize);
    assert_eq!(recorded, 2_000);
}

#[test]
fn a_deleted_edition_gives_its_space_back_and_positions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    fill(&engine, "", 300);
    fill(&engine, "what-if", 1_500);
    fill(&engine, "", 300);
    engine.seal_now().unwrap();
    let sealed = engine.stats().disk_bytes;
    let main = everything(&engine, &[""]);
    let deleted = control(
        &engine,
        Control::DeleteEdition {
            edition: Edition::new("what-if").unwrap(),
            domain: None,
        },
    );
    assert_eq!(deleted.deleted, 3_000);
    let after_deletion = everything(&engine, &["", "what-if"]);
    engine.seal_now().unwrap();
    assert!(engine.stats().disk_bytes < sealed);
    assert_eq!(everything(&engine, &["", "what-if"]), after_deletion);
    assert_eq!(main[..28], after_deletion[..28]);
    // A branch of the same name begins anew.
    fill(&engine, "what-if", 10);
    let again = everything(&engine, &["", "what-if"]);
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(everything(&engine, &["", "what-if"]), again);
    drop(engine);
    assert_eq!(verify(folder.path(), |_| {}).unwrap().events, 4_220);
}

#[test]
fn superseded_snapshots_and_revoked_events_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let cascade = CascadeId::new("checkout").unwrap();
    let pending = Write {
        cascade: Some(cascade.clone()),
        ..write(&key("", 1), &["revoked later".to_owned()])
    };
    commit(&engine, pending);
    for n in 0..5u32 {
        let snapshot = Snapshot {
            sequence: Sequence::new(n),
            retention: Retention::Default,
            created_at: None,
            state: format!("state {n} ").repeat(100).into(),
        };
        commit(
            &engine,
            Write {
                snapshot: Some(snapshot),
                ..write(&key("", 2), &[text(1)])
            },
        );
    }
    let settle = Settle {
        verdict: Verdict::Revoked,
        sequences: vec![Sequence::ZERO],
    };
    commit(
        &engine,
        Write {
            settles: vec![settle],
            ..write(&key("", 1), &["revocation".to_owned()])
        },
    );
    fill(&engine, "", 300);
    let snapshots = engine.snapshots(&key("", 2)).unwrap();
    assert_eq!(snapshots.len(), 1);
    engine.seal_now().unwrap();
    assert_eq!(engine.snapshots(&key("", 2)).unwrap(), snapshots);
    let pages = read(&engine, &key("", 1), false);
    assert_eq!(pages[0], (0, String::new()));
    assert_eq!(pages[1], (1, "revocation".to_owned()));
    let before = everything(&engine, &[""]);
    drop(engine);
    assert_eq!(everything(&open(folder.path()), &[""]), before);
}

#[test]
fn where_a_crash_left_both_files_one_of_them_counts() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    fill(&engine, "", 1_000);
    let before = everything(&engine, &[""]);
    let log = folder.path().join("log");
    let name = files(folder.path(), ".seg").remove(0);
    let original = fs::read(log.join(&name)).unwrap();
    engine.seal_now().unwrap();
    drop(engine);
    let sealed = log.join(format!("{name}z"));
    fs::write(log.join(&name), &original).unwrap();
    fs::write(log.join("seal-00000000000000000000.tmp"), b"half").unwrap();
    assert_eq!(everything(&open(folder.path()), &[""]), before);
    assert!(sealed.exists() && !log.join(&name).exists());
    assert!(
        files(folder.path(), ".tmp")
            .iter()
            .all(|name| name.starts_with("spare"))
    );
    // The same, but the new file is damaged: the original takes its place again.
    let mut bytes = fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&sealed, bytes).unwrap();
    fs::write(log.join(&name), &original).unwrap();
    assert_eq!(everything(&open(folder.path()), &[""]), before);
    assert!(!sealed.exists() && log.join(&name).exists());
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    fill(&engine, "", 300);
    engine.seal_now().unwrap();
    let before = everything(&engine, &[""]);
    drop(engine);
    let sealed = folder
        .path()
        .join("log")
        .join(&files(folder.path(), ".segz")[0]);
    let whole = fs::read(&sealed).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 200) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&sealed, bytes).unwrap();
        match verify(folder.path(), |_| {}) {
            Ok(found) => {
                let named = found
                    .damage
                    .iter()
                    .any(|place| place.file.contains(".segz"));
                assert!(named, "offset {at}: {found:?}");
            }
            Err(Error::Unsupported { .. }) if (16..24).contains(&at) => {}
            Err(error) => panic!("offset {at}: {error}"),
        }
    }
    for len in [0, 100, 128, 200, whole.len() / 2, whole.len() - 1] {
        fs::write(&sealed, &whole[..len]).unwrap();
        let found = verify(folder.path(), |_| {}).unwrap();
        assert_eq!(found.soundness, Soundness::Corrupt, "cut to {len} bytes");
    }
    fs::write(&sealed, &whole).unwrap();
    assert_eq!(everything(&open(folder.path()), &[""]), before);
}

#[test]
fn sealing_runs_by_itself_and_can_be_held_up() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        ..Options::default()
    };
    let engine = Engine::open(folder.path(), options).unwrap();
    engine.pause_sealing();
    fill(&engine, "", 1_000);
    let sealing = engine.sealing();
    assert!(sealing.paused && sealing.waiting > 0);
    let before = everything(&engine, &[""]);
    engine.resume_sealing();
    while engine.sealing().waiting > 0 {
        assert_eq!(engine.sealing().failure, None);
        std::thread::yield_now();
    }
    assert_eq!(everything(&engine, &[""]), before);
    engine.close().unwrap();
}
