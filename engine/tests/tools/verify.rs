//! Checking.

use std::fs;
use std::path::{Path, PathBuf};

use angzarr_engine::{
    AggregateKey, Commit, Damage, Domain, Edition, Engine, Error, IndexKind, Options, Page, Root,
    Soundness, Span, Verified, Write, verify,
};
use futures::executor::block_on;

fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        seal_rate: 0,
        ..Options::default()
    };
    let engine = Engine::open(folder.path(), options).unwrap();
    for n in 0..40u8 {
        let key = AggregateKey {
            domain: Domain::new("order").unwrap(),
            edition: Edition::MAIN,
            root: Root::new([n % 4; 16]),
        };
        let body = vec![n; 3000];
        let page = Page {
            created_at: None,
            type_name: Span::default(),
            body: body.into(),
        };
        let write = Write {
            pages: vec![page],
            ..Write::to(key)
        };
        block_on(engine.commit(Commit {
            writes: vec![write],
            ..Commit::default()
        }))
        .unwrap();
    }
    assert!(matches!(
        verify(folder.path(), |_| {}),
        Err(Error::Locked(_))
    ));
    engine.close().unwrap();
    drop(engine);
    folder
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("log")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    paths.sort();
    paths
}

/// Where the frames of a segment end in its file: where the next segment, or nothing, begins.
fn end_in_file(folder: &Path, path: &Path) -> usize {
    let base =
        |path: &Path| -> u64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let next = segments(folder)
        .iter()
        .map(|other| base(other))
        .find(|b| *b > base(path));
    let end = next.unwrap_or_else(|| verify(folder, |_| {}).unwrap().bytes);
    usize::try_from(128 + end - base(path)).unwrap()
}

#[test]
fn a_store_that_was_closed_is_sound() {
    let folder = filled();
    let mut last = 0;
    let verified = verify(folder.path(), |progress| last = progress.done).unwrap();
    assert_eq!(verified.soundness, Soundness::Sound);
    assert_eq!((verified.events, verified.aggregates), (40, 4));
    assert_eq!(verified.segments, segments(folder.path()).len());
    assert!(verified.segments > 1);
    assert!(last > 0);
}

#[test]
fn a_torn_tail_is_told_and_left_alone() {
    let folder = filled();
    let path = segments(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let start = end_in_file(folder.path(), &path);
    bytes[start..start + 100].fill(0xab);
    fs::write(&path, &bytes).unwrap();
    let verified = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(verified.soundness, Soundness::TornTail { bytes: 100 });
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Wherever a bit flips in what was written, the check says so and names the file.
#[test]
fn every_damage_is_found() {
    let folder = filled();
    let paths = segments(folder.path());
    for path in &paths {
        let sound = fs::read(path).unwrap();
        let end = end_in_file(folder.path(), path);
        // The last frame is a mark; damage to it alone looks like a torn write.
        let end = if Some(path) == paths.last() {
            end - 64
        } else {
            end
        };
        for at in (0..end).step_by(997) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(path, &bytes).unwrap();
            match verify(folder.path(), |_| {}) {
                Ok(Verified {
                    soundness: Soundness::Corrupt,
                    damage,
                    ..
                }) => {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let named = |damage: &Damage| damage.file.contains(name);
                    assert!(
                        damage.iter().any(named),
                        "{at}: {name} is not in {damage:?}"
                    );
                }
                // The version field itself was hit.
                Err(Error::Unsupported { .. }) if at < 24 => {}
                other => panic!("{}: byte {at}: {other:?}", path.display()),
            }
        }
        fs::write(path, &sound).unwrap();
    }
}

/// Several damaged places are all listed, with the addresses between which frames are missing.
#[test]
fn all_damage_is_listed() {
    let folder = filled();
    let before = verify(folder.path(), |_| {}).unwrap();
    let paths = segments(folder.path());
    let mut places = Vec::new();
    for (path, at) in [(&paths[0], 7000), (&paths[0], 30_000), (&paths[1], 5000)] {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 4;
        fs::write(path, &bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        places.push((format!("log/{name}"), at as u64));
    }
    let found = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(found.soundness, Soundness::Corrupt);
    assert_eq!(found.damage.len(), 3, "{:?}", found.damage);
    for ((file, at), damage) in places.iter().zip(&found.damage) {
        let len = damage.until.get() - damage.address.get();
        assert_eq!(&damage.file, file);
        assert!(
            damage.offset <= *at && *at < damage.offset + len,
            "{damage:?}"
        );
    }
    // One frame of one event is lost at each place, and all others are seen.
    assert_eq!(found.events, before.events - 3);
    assert_eq!(
        (found.bytes, found.position),
        (before.bytes, before.position)
    );
}

#[test]
fn a_missing_segment_is_told() {
    let folder = filled();
    let paths = segments(folder.path());
    fs::remove_file(&paths[1]).unwrap();
    let found = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(found.soundness, Soundness::Corrupt);
    let base =
        |path: &Path| -> u64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let damage = &found.damage[0];
    assert_eq!(
        (damage.address.get(), damage.until.get()),
        (base(&paths[1]), base(&paths[2]))
    );
    fs::remove_file(&paths[0]).unwrap();
    let found = verify(folder.path(), |_| {}).unwrap();
    assert!(
        found.damage[0].problem.contains("beginning is missing"),
        "{:?}",
        found.damage
    );
}

/// A rewritten segment holds its frames in compressed blocks: damage to one is told with its place
/// in the file, and frames of other blocks are found.
#[test]
fn damage_in_a_rewritten_segment_is_found() {
    let folder = filled();
    let before = verify(folder.path(), |_| {}).unwrap();
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        seal_rate: 0,
        ..Options::default()
    };
    let engine = Engine::open(folder.path(), options).unwrap();
    engine.seal_now().unwrap();
    engine.close().unwrap();
    drop(engine);
    let sound = verify(folder.path(), |_| {}).unwrap();
    assert_eq!(sound.soundness, Soundness::Sound);
    assert_eq!(
        (sound.events, sound.position),
        (before.events, before.position)
    );
    let mut sealed: Vec<_> = fs::read_dir(folder.path().join("log"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    sealed.retain(|path| path.extension().is_some_and(|end| end == "segz"));
    assert!(!sealed.is_empty());
    for path in sealed {
        let name = format!("log/{}", path.file_name().unwrap().to_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            match verify(folder.path(), |_| {}) {
                Ok(found) => {
                    assert_eq!(found.soundness, Soundness::Corrupt, "byte {at}");
                    assert!(
                        found.damage.iter().any(|it| it.file == name),
                        "{at}: {:?}",
                        found.damage
                    );
                }
                // The version field itself was hit.
                Err(Error::Unsupported { .. }) if at < 24 => {}
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        fs::write(&path, bytes).unwrap();
    }
}
