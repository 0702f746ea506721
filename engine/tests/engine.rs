//! The engine through its public interface.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use angzarr_engine::*;
use futures::executor::block_on;

fn options() -> Options {
    Options {
        segment_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn key(n: u8) -> AggregateKey {
    AggregateKey {
        domain: Domain::new("order").unwrap(),
        edition: Edition::MAIN,
        root: Root::new([n; 16]),
    }
}

fn page(text: &str) -> Page {
    Page {
        created_at: None,
        type_name: Span::default(),
        body: text.to_owned().into(),
    }
}

fn append(
    engine: &Engine,
    key: &AggregateKey,
    expected: Expected,
    texts: &[&str],
) -> Result<Committed> {
    let pages = texts.iter().map(|text| page(text)).collect();
    let write = Write {
        expected,
        pages,
        ..Write::to(key.clone())
    };
    block_on(engine.commit(Commit {
        writes: vec![write],
        ..Commit::default()
    }))
}

fn read(engine: &Engine, key: &AggregateKey) -> Vec<String> {
    let view = engine.aggregate(key, None).unwrap();
    let mut cursor = engine.pages(&view, Sequence::ZERO, view.next(), false);
    let mut found = Vec::new();
    loop {
        let pages = cursor.next_chunk(1000).unwrap();
        if pages.is_empty() {
            return found;
        }
        for page in pages {
            assert_eq!(page.sequence.get() as usize, found.len());
            found.push(String::from_utf8(page.body.to_vec()).unwrap());
        }
    }
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let engine = Engine::open(folder.path(), options()).unwrap();
        for n in 0..500 {
            let text = format!("{round}-{n}");
            let next = Sequence::new(u32::try_from(expected.len()).unwrap());
            append(&engine, &key(1), Expected::Next(next), &[&text]).unwrap();
            expected.push(text);
        }
        assert_eq!(read(&engine, &key(1)), expected);
    }
    let engine = Engine::open(folder.path(), options()).unwrap();
    assert!(engine.stats().segments > 1);
    assert_eq!(read(&engine, &key(1)), expected);
    let mut cursor = engine.cursor(Position::START, Filter::default()).unwrap();
    let mut all = Vec::new();
    while cursor.position() < engine.position() {
        for recorded in cursor.next_chunk(10_000, engine.position()).unwrap() {
            all.extend(
                recorded
                    .pages
                    .into_iter()
                    .map(|p| String::from_utf8(p.body.to_vec()).unwrap()),
            );
        }
    }
    assert_eq!(all, expected);
}

#[test]
fn a_stale_expectation_is_refused_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    append(&engine, &key(1), Expected::NoEvents, &["a", "b"]).unwrap();
    let refused = append(&engine, &key(1), Expected::Next(Sequence::new(1)), &["c"]);
    assert!(matches!(refused, Err(Error::Conflict { actual, .. }) if actual == Sequence::new(2)));
    let refused = append(&engine, &key(1), Expected::NoEvents, &["c"]);
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    assert_eq!(read(&engine, &key(1)), ["a", "b"]);
    assert_eq!(engine.position(), Position::new(2));
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    assert!(matches!(
        Engine::open(folder.path(), options()),
        Err(Error::Locked(_))
    ));
    drop(engine);
    Engine::open(folder.path(), options()).unwrap();
}

/// Appends from many threads at once; each waits for its answer before the next.
fn append_from_many(engine: &Engine) {
    std::thread::scope(|scope| {
        for n in 0..32 {
            scope.spawn(move || {
                for sequence in 0..20 {
                    let expected = Expected::Next(Sequence::new(sequence));
                    append(engine, &key(n), expected, &["one"]).unwrap();
                }
            });
        }
    });
}

#[test]
fn everybody_is_answered_whoever_delivers_the_answers() {
    type Deliver = fn(&Engine) -> Option<std::thread::JoinHandle<()>>;
    let nobody: Deliver = |_| None;
    let gone: Deliver = |engine| {
        drop(engine.deliver_answers());
        None
    };
    let to_the_end: Deliver = |engine| {
        let delivery = engine.deliver_answers();
        Some(std::thread::spawn(move || block_on(delivery)))
    };
    // Two of whom the first is not needed any more.
    let relieved: Deliver = |engine| {
        let first = engine.deliver_answers();
        let delivery = engine.deliver_answers();
        Some(std::thread::spawn(move || {
            block_on(first);
            block_on(delivery);
        }))
    };
    for deliver in [nobody, gone, to_the_end, relieved] {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path(), options()).unwrap();
        let delivery = deliver(&engine);
        append_from_many(&engine);
        engine.close().unwrap();
        // It ends with the engine.
        if let Some(delivery) = delivery {
            delivery.join().unwrap();
        }
        for n in 0..32 {
            assert_eq!(read(&engine, &key(n)).len(), 20);
        }
    }
}

/// Leaves while answers are on their way to it.
#[test]
fn answers_outlive_who_was_to_deliver_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    let delivery = engine.deliver_answers();
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| append_from_many(&engine));
        // Takes nothing of what is posted to it, which everybody would wait for.
        while engine.position() < Position::new(8) {
            std::thread::yield_now();
        }
        drop(delivery);
        appending.join().unwrap();
    });
}
