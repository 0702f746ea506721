//! Opening what a crash and damage left.

use std::sync::OnceLock;

use angzarr_engine::internals::Direct;
use angzarr_engine::{Engine, Error};
use arbitrary::{Arbitrary, Unstructured};

use crate::damage::{Bytes, Names};
use crate::disk::{Files, MemoryDisk};
use crate::facts::{Fact, History, View, entries, open, read_all};
use crate::ops::{self, Append, Op};

/// Bytes of a segment's header.
const HEADER: usize = 128;
const STEPS_MAX: usize = 24;
const DAMAGES_MAX: usize = 4;

/// A store that was written for some steps, stopped at any operation of its disk, lost what was
/// not synced and then had bytes of its files changed.
#[derive(Debug, Arbitrary)]
struct Scene<D> {
    steps: Vec<Op>,
    /// Operations of the disk before the power fails.
    operations: Option<u16>,
    /// Which of the unsynced survives.
    kept: Vec<bool>,
    damages: Vec<D>,
}

/// Opening it never panics; gives the store as it was after some commit, or refuses; gives
/// everything acknowledged if nothing was damaged; and never leaves out a commit when what stands
/// behind it proves that it had been acknowledged.
pub(crate) fn image(data: &[u8]) {
    let Some(scene) = parse::<Bytes>(data) else {
        return;
    };
    check(&scene, |damage, files| {
        damage.apply(files).unwrap_or_default()
    });
}

/// The same with whole files removed, renamed, swapped, added.
pub(crate) fn directory(data: &[u8]) {
    static FOREIGN: OnceLock<Files> = OnceLock::new();
    let Some(scene) = parse::<Names>(data) else {
        return;
    };
    let foreign = FOREIGN.get_or_init(foreign);
    check(&scene, |damage, files| {
        damage.apply(files, foreign).unwrap_or_default();
    });
}

fn parse<'a, D: Arbitrary<'a>>(data: &'a [u8]) -> Option<Scene<D>> {
    let mut scene = Scene::arbitrary_take_rest(Unstructured::new(data)).ok()?;
    scene.steps.truncate(STEPS_MAX);
    scene.damages.truncate(DAMAGES_MAX);
    Some(scene)
}

fn check<D>(scene: &Scene<D>, damage: impl Fn(&D, &mut Files)) {
    let history = History::make(&scene.steps, scene.operations.map(u32::from));
    let written = history.disk.files();
    let mut kept = scene.kept.iter();
    let crashed = history
        .disk
        .after_power_failure(|| *kept.next().unwrap_or(&true));
    let mut files = crashed.clone();
    for change in &scene.damages {
        damage(change, &mut files);
    }
    let disk = MemoryDisk::with(&files);
    match open(&disk) {
        Ok(store) => {
            let end = store.stats().log_bytes;
            let view = read_all(&store).expect("what was opened can be read");
            if segments(&files) == segments(&crashed) {
                assert!(end >= history.end(), "acknowledged commits are gone");
            }
            // Another store in the place of this one is as good as this one.
            if store.stats().database_id == history.database_id {
                check_content(&history, &store, &view);
                for later in history.facts.iter().filter(|fact| fact.start > end) {
                    let proof = is_intact(later, &files, &written);
                    assert!(!proof, "{} was left out, {} proves it", end, later.start);
                }
            }
            check_again(&disk, &store);
        }
        Err(error) => {
            let same = segments(&files) == segments(&crashed);
            assert!(!same, "a sound store was refused: {error}");
            let expected = matches!(
                error,
                Error::Corrupt { .. } | Error::Unsupported { .. } | Error::Io { .. }
            );
            assert!(expected, "{error}");
        }
    }
}

/// What is a segment by its name; nothing else matters.
fn segments(files: &Files) -> Vec<(&String, &Vec<u8>)> {
    let is_segment = |name: &str| {
        let stem = name.strip_suffix(".seg").or(name.strip_suffix(".segz"));
        let digits = stem.unwrap_or_default();
        digits.len() == 20 && digits.parse::<u64>().is_ok() && !digits.starts_with('+')
    };
    files.iter().filter(|(name, _)| is_segment(name)).collect()
}

/// The store is as it was after one of the commits. Behind the acknowledged ones there may be one
/// more, whole.
fn check_content(history: &History, store: &Direct, view: &View) {
    let end = store.stats().log_bytes;
    let fact = history.facts.iter().find(|fact| fact.end == end);
    assert!(
        fact.is_some() || end == 0 || end > history.end(),
        "the log ends at {end}"
    );
    let Some(fact) = fact else { return };
    if !history.rewritten {
        assert_eq!(entries(store), fact.index);
    }
    // What a rewriting left out rests on later commits; damage may have taken those.
    if !history.rewritten || end >= history.end() {
        assert_eq!(*view, fact.view);
    }
}

/// Whether every byte of a commit is where it was written, in a segment that is what it was.
fn is_intact(fact: &Fact, files: &Files, written: &Files) -> bool {
    let holder = written.iter().rfind(|(name, _)| {
        let base = name.split('.').next().and_then(|base| base.parse().ok());
        base.is_some_and(|base: u64| base <= fact.start)
    });
    let Some((name, was)) = holder else {
        return false;
    };
    if name.ends_with(".segz") {
        return files.get(name) == Some(was);
    }
    let base: u64 = name.trim_end_matches(".seg").parse().expect("parsed above");
    let offset = |address: u64| usize::try_from(address - base).expect("small") + HEADER;
    let range = offset(fact.start)..offset(fact.end);
    files.get(name).is_some_and(|now| {
        now.get(..HEADER) == was.get(..HEADER) && now.get(range.clone()) == was.get(range)
    })
}

/// Opening it once more changes nothing; it takes commits, and they are there afterwards.
fn check_again(disk: &MemoryDisk, store: &Engine) {
    let end = store.stats().log_bytes;
    let mut again = open(disk).expect("what was opened opens again");
    assert_eq!(again.stats().log_bytes, end);
    assert_eq!(again.recovery().cut_bytes, 0);
    let at = ops::At::all().next().expect("there are some");
    let append = Append {
        at,
        pages: 1,
        stale: false,
        claim: None,
        cascade: None,
        correlation: None,
        snapshot: None,
        isolated: false,
        ext: false,
        size: 1,
    };
    let next = again.aggregate(&at.key(), None).expect("readable").next();
    let commit = append.commit(next.get(), &[b"more".to_vec()]);
    again.commit(commit).expect("it takes commits");
    let before = entries(&again);
    let last = open(disk).expect("it opens a third time");
    assert_eq!(entries(&last), before);
    let after = last.aggregate(&at.key(), None).expect("readable").next();
    assert_eq!(after.get(), next.get() + 1);
}

/// A store of another database id.
fn foreign() -> Files {
    let disk = MemoryDisk::default();
    let clock = angzarr_engine::clock::ManualClock::default();
    let mut store = Direct::open(
        std::sync::Arc::new(disk.clone()),
        std::sync::Arc::new(clock),
        2,
        crate::facts::SEGMENT_BYTES,
    )
    .expect("the disk is sound");
    for _ in 0..3 {
        store.commit(ops::of_checkpoint(0)).expect("sound");
        store.seal().expect("sound");
    }
    disk.files()
}
