#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::clock::ManualClock;
use crate::disk::sim::{Fail, SimDisk};
use crate::index::keys::applied;
use crate::index::{Base, Direction, Entry, Family, Layer, Range};
use crate::log::{self, Sizes};
use crate::{
    AggregateKey, Domain, Edition, Expected, Page, Root, Sequence, Span, Timestamp, Write,
};
use futures::executor::block_on;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicUsize, Ordering};

fn open(disk: &SimDisk) -> Result<Engine> {
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        ..Options::default()
    };
    let clock = ManualClock::at(Timestamp::from_nanos(1));
    Engine::open_on(Arc::new(disk.clone()), None, Arc::new(clock), options)
}

fn key() -> AggregateKey {
    AggregateKey {
        domain: Domain::new("order").unwrap(),
        edition: Edition::MAIN,
        root: Root::new([1; 16]),
    }
}

fn append(engine: &Engine, expected: Expected, text: &str) -> Result<Committed> {
    let body = text.to_owned().into();
    let page = Page {
        created_at: None,
        type_name: Span::default(),
        body,
    };
    let write = Write {
        expected,
        pages: vec![page],
        ..Write::to(key())
    };
    block_on(engine.commit(Commit {
        writes: vec![write],
        ..Commit::default()
    }))
}

fn read(engine: &Engine) -> Vec<String> {
    let view = engine.aggregate(&key(), None).unwrap();
    let mut cursor = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let pages = cursor.next_chunk(usize::MAX).unwrap();
    pages
        .iter()
        .map(|page| String::from_utf8(page.body.to_vec()).unwrap())
        .collect()
}

/// After a failed write or sync nothing is acknowledged any more, reads go on, and reopening
/// shows everything that was.
fn poisoned_by(fail: Fail) {
    let disk = SimDisk::default();
    let engine = open(&disk).unwrap();
    append(&engine, Expected::NoEvents, "acknowledged").unwrap();
    disk.fail(fail);
    let failed = append(&engine, Expected::Any, "lost").unwrap_err();
    assert!(matches!(failed, Error::Poisoned { .. }), "{failed}");
    assert!(failed.to_string().contains("restart"), "{failed}");
    // Not even a refusal is told: it could rest on what was not saved.
    let later = append(&engine, Expected::NoEvents, "x").unwrap_err();
    assert!(matches!(later, Error::Poisoned { .. }), "{later}");
    assert_eq!(read(&engine), ["acknowledged"]);
    assert!(engine.poisoned().unwrap().contains("log"));
    let _ = engine.close();
    for seed in 0..20 {
        let after = disk.crash(&mut StdRng::seed_from_u64(seed));
        let reopened = open(&after).unwrap();
        assert_eq!(read(&reopened)[0], "acknowledged");
        append(&reopened, Expected::Any, "goes on").unwrap();
    }
}

#[test]
fn the_end_of_the_log_is_read_from_memory() {
    let disk = SimDisk::default();
    let engine = open(&disk).unwrap();
    append(&engine, Expected::NoEvents, "first").unwrap();
    disk.fail(Fail::Read);
    assert_eq!(read(&engine), ["first"]);
    let long = "x".repeat(crate::limits::TAIL_CACHE_BYTES / 2);
    append(&engine, Expected::Any, &long).unwrap();
    append(&engine, Expected::Any, &long).unwrap();
    let view = engine.aggregate(&key(), None).unwrap();
    let mut last = engine.pages(&view, Sequence::new(2), view.next(), false);
    assert_eq!(last.next_chunk(1).unwrap()[0].body, long);
    let mut all = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let failed = all.next_chunk(1).unwrap_err();
    assert!(matches!(failed, Error::Io { .. }), "{failed}");
}

#[test]
fn a_failed_sync_is_final() {
    poisoned_by(Fail::Sync);
}

#[test]
fn a_full_disk_is_final_until_reopened() {
    poisoned_by(Fail::Write);
}

#[test]
fn closing_answers_what_is_queued_and_refuses_what_comes_later() {
    let disk = SimDisk::default();
    let engine = open(&disk).unwrap();
    append(&engine, Expected::Any, "a").unwrap();
    engine.close().unwrap();
    assert!(matches!(
        append(&engine, Expected::Any, "b"),
        Err(Error::Refused(_))
    ));
    assert_eq!(read(&engine), ["a"]);
    drop(engine);
    assert_eq!(read(&open(&disk).unwrap()), ["a"]);
}

#[test]
fn time_in_the_log_never_goes_back() {
    let disk = SimDisk::default();
    let first = append(&open(&disk).unwrap(), Expected::Any, "a").unwrap();
    let clock = ManualClock::at(Timestamp::from_nanos(-5));
    let options = Options {
        segment_bytes: 64 * 1024,
        ..Options::default()
    };
    let options = Options {
        index: IndexKind::Memory,
        ..options
    };
    let engine = Engine::open_on(Arc::new(disk.clone()), None, Arc::new(clock), options).unwrap();
    let second = append(&engine, Expected::Any, "b").unwrap();
    assert!(second.recorded_at >= first.recorded_at);
}

/// Files of an index that hold nothing. Whenever they are written, the log must be there as far
/// as they say, even if the power fails at that moment.
struct Suspicious {
    disk: SimDisk,
    writes: Arc<AtomicUsize>,
}

impl Base for Suspicious {
    fn get(&self, _: Family, _: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn scan(&self, _: &Range, _: Direction, _: usize) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        let entry = layer.get(Family::Meta, applied::KEY).flatten().unwrap();
        let resume = applied::decode(&entry).unwrap();
        for seed in 0..20 {
            let after = self.disk.crash(&mut StdRng::seed_from_u64(seed));
            let sizes = Sizes {
                segment_bytes: 64 * 1024,
                cache_bytes: 0,
            };
            let random = Box::new(StdRng::seed_from_u64(seed));
            let now = Timestamp::from_nanos(2);
            let opened = log::open(
                Arc::new(after),
                sizes,
                random,
                now,
                Some(resume),
                &mut |_| Ok(()),
            );
            assert!(opened.is_ok(), "seed {seed}: {}", opened.err().unwrap());
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn opening_writes_only_what_is_durable_to_the_index() {
    let options = Options {
        segment_bytes: 64 * 1024,
        index: IndexKind::Memory,
        index_buffer_bytes: 1000,
        durability: Durability::Os,
        ..Options::default()
    };
    let clock = Arc::new(ManualClock::at(Timestamp::from_nanos(1)));
    let disk = SimDisk::default();
    let engine =
        Engine::open_on(Arc::new(disk.clone()), None, clock.clone(), options.clone()).unwrap();
    for _ in 0..60 {
        append(&engine, Expected::Any, "written, not synced").unwrap();
    }
    let next = disk.handed_over();
    let writes = Arc::new(AtomicUsize::new(0));
    let base = Suspicious {
        disk: next.clone(),
        writes: writes.clone(),
    };
    Engine::open_on(Arc::new(next), Some(Box::new(base)), clock, options).unwrap();
    assert!(writes.load(Ordering::Relaxed) > 3);
}

/// The index that another version left is of no use, and is in nobody's way.
#[cfg(feature = "rocksdb")]
#[test]
fn an_index_of_another_version_is_built_anew() {
    use crate::index::rocks::Rocks;
    use crate::{IndexCheck, verify};

    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        index: IndexKind::RocksDb,
        ..Options::default()
    };
    let engine = Engine::open(folder.path(), options.clone()).unwrap();
    append(&engine, Expected::NoEvents, "a").unwrap();
    append(&engine, Expected::Any, "b").unwrap();
    engine.close().unwrap();
    drop(engine);
    {
        let files = Rocks::open(&folder.path().join("index"), 1 << 20, 1 << 20).unwrap();
        let mut older = Layer::default();
        older.put(Family::Meta, b"applied", b"in another form");
        files.write(&older).unwrap();
    }

    let verified = verify(folder.path(), |_| {}).unwrap();
    assert!(
        matches!(verified.index, IndexCheck::Skipped(reason) if reason.contains("another version"))
    );
    let engine = Engine::open(folder.path(), options).unwrap();
    assert_eq!(engine.recovery().replayed_commits, 2);
    assert_eq!(read(&engine), ["a", "b"]);
    engine.close().unwrap();
    drop(engine);
    let verified = verify(folder.path(), |_| {}).unwrap();
    assert!(
        matches!(verified.index, IndexCheck::Checked { .. }),
        "{:?}",
        verified.index
    );
}
