//! Readers that wait at the end of the log, each for its own part of what is written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use angzarr_engine::*;
use futures::executor::block_on;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const READERS: usize = 60;
const WRITERS: usize = 4;
const COMMITS: usize = 400;

/// Far more than it takes: who is not woken by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_reader_is_woken_for_what_it_wants_and_gets_it_once() {
    let seed =
        std::env::var("ANGZARR_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    eprintln!("ANGZARR_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let plans: Vec<Vec<Write>> = (0..WRITERS)
        .map(|writer| {
            (0..COMMITS)
                .map(|_| some_write(&mut random, writer))
                .collect()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        index: IndexKind::Memory,
        segment_bytes: 64 * 1024,
        ..Options::default()
    };
    let engine = Arc::new(Engine::open(folder.path(), options).unwrap());
    let (done, ended) = mpsc::channel();
    for n in 0..READERS {
        let filter = some_filter(&mut random);
        let wanted = plans
            .iter()
            .flatten()
            .filter(|write| passes(&filter, write))
            .count();
        let (engine, done) = (engine.clone(), done.clone());
        // One frame at a time, or as many as there are: a slow reader falls behind.
        let chunk = if random.random() { 1 } else { 4096 };
        thread::spawn(move || {
            let problem = follow(&engine, filter, wanted, chunk);
            done.send((n, problem)).unwrap();
        });
    }
    drop(done);
    thread::scope(|scope| {
        for plan in plans {
            let engine = &engine;
            scope.spawn(move || {
                for write in plan {
                    let commit = Commit {
                        writes: vec![write],
                        ..Commit::default()
                    };
                    block_on(engine.commit(commit)).unwrap();
                }
            });
        }
    });
    for _ in 0..READERS {
        let (n, problem) = ended
            .recv_timeout(PATIENCE)
            .expect("every reader gets all it wants");
        assert_eq!(problem, None, "reader {n}");
    }
}

/// Reads until all that is wanted has come; tells what was wrong with it.
fn follow(engine: &Engine, filter: Filter, wanted: usize, chunk: u64) -> Option<String> {
    let mut cursor = engine.cursor(Position::START, filter.clone()).unwrap();
    let mut seen = BTreeSet::new();
    let mut last = Position::START;
    while seen.len() < wanted {
        if !cursor.is_behind() {
            block_on(cursor.changed());
            continue;
        }
        let before = cursor.position();
        let found = cursor.next_chunk(chunk, Position::new(u64::MAX)).unwrap();
        if let Some(problem) = differs(engine, &filter, before, &found) {
            return Some(problem);
        }
        for recorded in found {
            for page in &recorded.pages {
                if page.position <= last {
                    return Some(format!("{} after {last}", page.position));
                }
                last = page.position;
                if !seen.insert((recorded.key.clone(), page.sequence)) {
                    return Some(format!("{:?} {} twice", recorded.key, page.sequence));
                }
            }
        }
        if cursor.position() < last {
            return Some(format!("at {} behind {last}", cursor.position()));
        }
    }
    (seen.len() != wanted).then(|| format!("{} of {wanted} for {filter:?}", seen.len()))
}

/// Whether a visitor that starts at the same place sees other events than those found.
fn differs(
    engine: &Engine,
    filter: &Filter,
    after: Position,
    found: &[Recorded],
) -> Option<String> {
    let last = found.last()?.pages.last()?.position;
    let mut cursor = engine.cursor(after, filter.clone()).unwrap();
    let mut expected = found.iter();
    let mut problem = None;
    while cursor.position() < last {
        let visited = cursor.visit_chunk(100, last, |seen| {
            let same = expected.next().is_some_and(|expected| {
                let pages = expected
                    .pages
                    .iter()
                    .zip(seen.pages)
                    .all(|(expected, seen)| {
                        (expected.position, expected.sequence, &*expected.body)
                            == (seen.position, seen.sequence, seen.body)
                    });
                pages
                    && expected.pages.len() == seen.pages.len()
                    && expected.key.domain.as_str() == seen.domain
                    && expected.key.edition.as_str() == seen.edition
                    && expected.key.root == seen.root
                    && expected.correlation.as_str() == seen.correlation
            });
            if !same {
                problem = Some(format!("visited {seen:?}"));
            }
        });
        visited.unwrap();
    }
    problem.or(expected
        .next()
        .map(|unseen| format!("not visited {unseen:?}")))
}

fn some_filter(random: &mut SmallRng) -> Filter {
    let mut filter = Filter::default();
    if random.random_bool(0.4) {
        filter.domains = (0..random.random_range(1..3))
            .map(|_| some_domain(random))
            .collect();
    }
    if random.random_bool(0.4) {
        filter.roots = (0..random.random_range(1..3))
            .map(|_| some_root(random))
            .collect();
    }
    if random.random_bool(0.2) {
        filter.editions = vec![some_edition(random)];
    }
    if random.random_bool(0.2) {
        filter.correlation = some_correlation(random);
    }
    filter.skip_isolated = random.random_bool(0.3);
    filter
}

fn passes(filter: &Filter, write: &Write) -> bool {
    (filter.domains.is_empty() || filter.domains.contains(&write.key.domain))
        && (filter.roots.is_empty() || filter.roots.contains(&write.key.root))
        && (filter.editions.is_empty() || filter.editions.contains(&write.key.edition))
        && (filter.correlation.as_str().is_empty() || filter.correlation == write.correlation)
        && !(filter.skip_isolated && write.isolated)
}

/// Each event is a commit of its own. A root belongs to one writer and a branch begins at the
/// start, so that the number of events does not depend on who came first.
fn some_write(random: &mut SmallRng, writer: usize) -> Write {
    let key = AggregateKey {
        domain: some_domain(random),
        edition: some_edition(random),
        root: Root::new([u8::try_from(writer).unwrap() * 16 + random.random_range(0..8); 16]),
    };
    let page = Page {
        created_at: None,
        type_name: Span::default(),
        body: vec![b'x'; random.random_range(0..200)].into(),
    };
    Write {
        correlation: some_correlation(random),
        isolated: random.random_bool(0.2),
        pages: vec![page],
        ..Write::to(key)
    }
}

fn some_domain(random: &mut SmallRng) -> Domain {
    Domain::new(["order", "stock", "payment"][random.random_range(0..3)]).unwrap()
}

fn some_edition(random: &mut SmallRng) -> Edition {
    match random.random_bool(0.8) {
        true => Edition::MAIN,
        false => Edition::new("what-if").unwrap(),
    }
}

fn some_root(random: &mut SmallRng) -> Root {
    let writer = u8::try_from(random.random_range(0..WRITERS)).unwrap();
    Root::new([writer * 16 + random.random_range(0..8); 16])
}

fn some_correlation(random: &mut SmallRng) -> CorrelationId {
    CorrelationId::new(["", "a", "b"][random.random_range(0..3)]).unwrap()
}
