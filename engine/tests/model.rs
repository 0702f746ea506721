//! Random operations against a model of plain maps, with reopenings between, on every index.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::Path;

use angzarr_engine::*;
use futures::executor::block_on;
use proptest::prelude::*;

const DOMAINS: [&str; 2] = ["order", "stock"];
const EDITIONS: [&str; 3] = ["", "what-if", "other"];

#[derive(Debug, Clone)]
enum Op {
    Append {
        at: At,
        pages: u8,
        stale: bool,
        claim: Option<u8>,
        cascade: Option<u8>,
        snapshot: bool,
    },
    AppendBoth {
        root: u8,
        pages: u8,
    },
    Fork {
        domain: usize,
        edition: usize,
        at: u8,
    },
    Delete {
        edition: usize,
        domain: Option<usize>,
    },
    Settle {
        cascade: u8,
        verdict: bool,
    },
    Checkpoint {
        position: u8,
    },
    Reopen,
}

#[derive(Debug, Clone, Copy)]
struct At {
    domain: usize,
    edition: usize,
    root: u8,
}

fn any_at() -> impl Strategy<Value = At> {
    (0..2usize, 0..3usize, 0..3u8).prop_map(|(domain, edition, root)| At {
        domain,
        edition,
        root,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (
            any_at(), 0..4u8, prop::bool::weighted(0.1), prop::option::weighted(0.2, 0..3u8),
            prop::option::weighted(0.2, 0..2u8), prop::bool::weighted(0.2),
        ).prop_map(|(at, pages, stale, claim, cascade, snapshot)| Op::Append {
            at, pages, stale, claim, cascade, snapshot
        }),
        2 => (0..3u8, 1..3u8).prop_map(|(root, pages)| Op::AppendBoth { root, pages }),
        1 => (0..2usize, 1..3usize, 0..6u8)
            .prop_map(|(domain, edition, at)| Op::Fork { domain, edition, at }),
        1 => (1..3usize, prop::option::of(0..2usize))
            .prop_map(|(edition, domain)| Op::Delete { edition, domain }),
        2 => (0..2u8, any::<bool>()).prop_map(|(cascade, verdict)| Op::Settle { cascade, verdict }),
        1 => (0..10u8).prop_map(|position| Op::Checkpoint { position }),
        1 => Just(Op::Reopen),
    ]
}

/// What the store should be.
#[derive(Default)]
struct Model {
    events: BTreeMap<AggregateKey, Vec<Event>>,
    /// Sequence of the first own event of a branch's aggregate.
    bases: BTreeMap<AggregateKey, u32>,
    divergences: BTreeMap<(Edition, Domain), u32>,
    claims: BTreeMap<(AggregateKey, u8), (u32, u32)>,
    snapshots: BTreeMap<AggregateKey, BTreeMap<u32, Vec<u8>>>,
    checkpoint: u64,
    log: Vec<(AggregateKey, u32, Vec<u8>)>,
    written: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    body: Vec<u8>,
    cascade: Option<u8>,
    confirmed: bool,
    revoked: bool,
}

impl Model {
    fn own(&self, key: &AggregateKey) -> &[Event] {
        self.events.get(key).map_or(&[], Vec::as_slice)
    }

    fn divergence(&self, key: &AggregateKey) -> u32 {
        let main = u32::try_from(self.own(&key.on_main()).len()).unwrap();
        let recorded = self
            .divergences
            .get(&(key.edition.clone(), key.domain.clone()))
            .copied();
        self.bases
            .get(key)
            .copied()
            .or(recorded)
            .unwrap_or(main)
            .min(main)
    }

    fn base(&self, key: &AggregateKey) -> u32 {
        if key.edition.is_main() {
            0
        } else {
            self.divergence(key)
        }
    }

    fn next(&self, key: &AggregateKey) -> u32 {
        self.base(key) + u32::try_from(self.own(key).len()).unwrap()
    }

    /// Everything a reader of the timeline sees.
    fn visible(&self, key: &AggregateKey) -> Vec<Event> {
        let inherited = self.base(key) as usize;
        let mut events = self.own(&key.on_main())[..inherited].to_vec();
        events.extend_from_slice(self.own(key));
        events
    }
}

struct Test {
    folder: tempfile::TempDir,
    options: Options,
    engine: Option<Engine>,
    model: Model,
    count: u32,
}

impl Test {
    fn new(index: IndexKind) -> Self {
        let options = Options {
            durability: Durability::Os,
            segment_bytes: 64 * 1024,
            index_buffer_bytes: 2048,
            index,
            ..Options::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let engine = Some(Engine::open(folder.path(), options.clone()).unwrap());
        Self {
            folder,
            options,
            engine,
            model: Model::default(),
            count: 0,
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Append {
                at,
                pages,
                stale,
                claim,
                cascade,
                snapshot,
            } => {
                self.append(at, pages, stale, claim, cascade, snapshot);
            }
            Op::AppendBoth { root, pages } => self.append_both(root, pages),
            Op::Fork {
                domain,
                edition,
                at,
            } => self.fork(domain, edition, at.into()),
            Op::Delete { edition, domain } => self.delete(edition, domain),
            Op::Settle { cascade, verdict } => self.settle(cascade, verdict),
            Op::Checkpoint { position } => self.checkpoint(position.into()),
            Op::Reopen => {
                drop(self.engine.take());
                let path: &Path = self.folder.path();
                self.engine = Some(Engine::open(path, self.options.clone()).unwrap());
            }
        }
    }

    fn bodies(&mut self, pages: u8) -> Vec<Vec<u8>> {
        (0..pages)
            .map(|_| {
                self.count += 1;
                let mut body = self.count.to_le_bytes().to_vec();
                body.resize(4 + (self.count as usize * 37) % 300, 9);
                body
            })
            .collect()
    }

    fn append(
        &mut self,
        at: At,
        pages: u8,
        stale: bool,
        claim: Option<u8>,
        cascade: Option<u8>,
        snapshot: bool,
    ) {
        let key = key(at);
        let bodies = self.bodies(pages);
        let next = self.model.next(&key);
        let after = next + u32::from(pages);
        let state = format!("state {after}").into_bytes();
        let write = Write {
            expected: Expected::Next(Sequence::new(if stale { next + 1 } else { next })),
            pages: bodies.iter().map(|body| page(body)).collect(),
            claim: claim.map(claim_of),
            cascade: cascade.map(cascade_of),
            snapshot: (snapshot && after > 0).then(|| Snapshot {
                sequence: Sequence::new(after - 1),
                retention: Retention::Default,
                created_at: None,
                state: state.clone().into(),
            }),
            ..Write::to(key.clone())
        };
        let stores_snapshot = write.snapshot.is_some();
        let result = block_on(self.engine().commit(Commit {
            writes: vec![write],
            ..Commit::default()
        }));
        if let Some(&(first, count)) = claim.and_then(|c| self.model.claims.get(&(key.clone(), c)))
        {
            let outcome = result.unwrap().results[0];
            assert!(outcome.duplicate);
            assert_eq!((outcome.first.get(), outcome.count), (first, count));
            return;
        }
        if stale {
            assert!(matches!(result, Err(Error::Conflict { actual, .. }) if actual.get() == next));
            return;
        }
        let outcome = result.unwrap().results[0];
        assert_eq!((outcome.first.get(), outcome.next.get()), (next, after));
        self.store(&key, next, bodies, cascade);
        if let Some(claim) = claim {
            self.model
                .claims
                .insert((key.clone(), claim), (next, pages.into()));
        }
        if stores_snapshot {
            let snapshots = self.model.snapshots.entry(key).or_default();
            snapshots.retain(|&at, _| at >= after - 1);
            snapshots.insert(after - 1, state);
        }
    }

    fn store(&mut self, key: &AggregateKey, first: u32, bodies: Vec<Vec<u8>>, cascade: Option<u8>) {
        if bodies.is_empty() {
            return;
        }
        if !key.edition.is_main() && self.model.own(key).is_empty() {
            self.model.bases.insert(key.clone(), first);
        }
        for (n, body) in (first..).zip(bodies) {
            self.model.written += 1;
            self.model.log.push((key.clone(), n, body.clone()));
            let event = Event {
                body,
                cascade,
                confirmed: false,
                revoked: false,
            };
            self.model
                .events
                .entry(key.clone())
                .or_default()
                .push(event);
        }
    }

    fn append_both(&mut self, root: u8, pages: u8) {
        let keys = [0, 1].map(|domain| {
            key(At {
                domain,
                edition: 0,
                root,
            })
        });
        let bodies = [self.bodies(pages), self.bodies(pages)];
        let writes = keys.iter().zip(&bodies).map(|(key, bodies)| Write {
            pages: bodies.iter().map(|body| page(body)).collect(),
            ..Write::to(key.clone())
        });
        let commit = Commit {
            writes: writes.collect(),
            ..Commit::default()
        };
        block_on(self.engine().commit(commit)).unwrap();
        for (key, bodies) in keys.iter().zip(bodies) {
            self.store(key, self.model.next(key), bodies, None);
        }
    }

    fn control(&self, control: Control) -> Result<Committed> {
        block_on(self.engine().commit(Commit {
            controls: vec![control],
            ..Commit::default()
        }))
    }

    fn fork(&mut self, domain: usize, edition: usize, at: u32) {
        let name = Edition::new(EDITIONS[edition]).unwrap();
        let of = Domain::new(DOMAINS[domain]).unwrap();
        let divergence = Some(Sequence::new(at));
        let result = self.control(Control::Fork {
            edition: name.clone(),
            domain: of.clone(),
            divergence,
        });
        let recorded = *self.model.divergences.entry((name, of)).or_insert(at);
        assert_eq!(result.is_ok(), recorded == at);
    }

    fn delete(&mut self, edition: usize, domain: Option<usize>) {
        let name = Edition::new(EDITIONS[edition]).unwrap();
        let of = domain.map(|d| Domain::new(DOMAINS[d]).unwrap());
        let meant = |e: &Edition, d: &Domain| *e == name && of.as_ref().is_none_or(|of| of == d);
        let gone = |key: &AggregateKey| meant(&key.edition, &key.domain);
        let model = &mut self.model;
        let deleted: usize = model
            .events
            .iter()
            .filter(|(k, _)| gone(k))
            .map(|(_, e)| e.len())
            .sum();
        model.events.retain(|key, _| !gone(key));
        model.bases.retain(|key, _| !gone(key));
        model.snapshots.retain(|key, _| !gone(key));
        model.claims.retain(|(key, _), _| !gone(key));
        model.divergences.retain(|(e, d), _| !meant(e, d));
        model.log.retain(|(key, _, _)| !gone(key));
        let result = self.control(Control::DeleteEdition {
            edition: name.clone(),
            domain: of.clone(),
        });
        assert_eq!(result.unwrap().deleted, deleted as u64);
    }

    fn pending(&self, cascade: u8) -> Vec<(AggregateKey, Vec<Sequence>)> {
        let mut found = Vec::new();
        for (key, events) in &self.model.events {
            let base = self.model.base(key);
            let pending: Vec<_> = (base..)
                .zip(events)
                .filter(|(_, e)| e.cascade == Some(cascade) && !e.confirmed && !e.revoked)
                .map(|(n, _)| Sequence::new(n))
                .collect();
            if !pending.is_empty() {
                found.push((key.clone(), pending));
            }
        }
        found.sort();
        found
    }

    fn settle(&mut self, cascade: u8, confirm: bool) {
        let participants = self.pending(cascade);
        let id = cascade_of(cascade);
        assert_eq!(self.engine().participants(&id).unwrap(), participants);
        let verdict = if confirm {
            Verdict::Confirmed
        } else {
            Verdict::Revoked
        };
        let mut writes = Vec::new();
        let mut stored = Vec::new();
        for (key, sequences) in &participants {
            let body = self.bodies(1).remove(0);
            writes.push(Write {
                pages: vec![page(&body)],
                settles: vec![Settle {
                    verdict,
                    sequences: sequences.clone(),
                }],
                ..Write::to(key.clone())
            });
            stored.push((key.clone(), body));
        }
        let expect = Control::ExpectPending {
            cascade: id,
            participants: participants.clone(),
        };
        let commit = Commit {
            writes,
            controls: vec![expect],
            ..Commit::default()
        };
        block_on(self.engine().commit(commit)).unwrap();
        for (key, sequences) in participants {
            let base = self.model.base(&key);
            let events = self.model.events.get_mut(&key).unwrap();
            for sequence in sequences {
                let event = &mut events[(sequence.get() - base) as usize];
                event.confirmed |= confirm;
                event.revoked |= !confirm;
            }
        }
        for (key, body) in stored {
            self.store(&key, self.model.next(&key), vec![body], None);
        }
    }

    fn checkpoint(&mut self, position: u64) {
        let consumer = Consumer::new("me").unwrap();
        let checkpoint = Some((consumer.clone(), Position::new(position)));
        let result = block_on(self.engine().commit(Commit {
            checkpoint,
            ..Commit::default()
        }));
        assert_eq!(result.is_ok(), position >= self.model.checkpoint);
        self.model.checkpoint = self.model.checkpoint.max(position);
        let stored = self
            .engine()
            .checkpoint(&consumer)
            .unwrap()
            .unwrap_or_default();
        assert_eq!(stored.get(), self.model.checkpoint);
    }

    fn check(&self) {
        for domain in 0..2 {
            for edition in 0..3 {
                for root in 0..3 {
                    self.check_aggregate(&key(At {
                        domain,
                        edition,
                        root,
                    }));
                }
            }
        }
        self.check_log();
    }

    fn check_aggregate(&self, key: &AggregateKey) {
        let engine = self.engine();
        let wanted = self.model.visible(key);
        let view = engine.aggregate(key, None).unwrap();
        assert_eq!(view.next().get(), self.model.next(key), "{key}");
        let end = u32::try_from(wanted.len()).unwrap();
        for (from, to) in [
            (0, end),
            (1, end),
            (0, end.saturating_sub(1)),
            (end / 3, end / 3 + 2),
        ] {
            for backwards in [false, true] {
                let found = read(engine, &view, from, to, backwards);
                let to = to.min(end);
                let mut expected: Vec<_> = (from..to)
                    .map(|n| (n, wanted[n as usize].body.clone()))
                    .collect();
                if backwards {
                    expected.reverse();
                }
                assert_eq!(found, expected, "{key} {from}..{to} backwards {backwards}");
            }
        }
        let marks = engine.marks(&view, Sequence::ZERO, view.next()).unwrap();
        let marks: BTreeMap<_, _> = marks.into_iter().map(|m| (m.sequence.get(), m)).collect();
        for (n, event) in (0..).zip(&wanted) {
            let mark = marks.get(&n);
            let cascade = event
                .cascade
                .map(|c| cascade_of(c).to_string())
                .unwrap_or_default();
            assert_eq!(mark.map_or("", |m| &m.cascade), cascade);
            assert_eq!(mark.is_some_and(|m| m.confirmed), event.confirmed);
            assert_eq!(mark.is_some_and(|m| m.revoked), event.revoked);
        }
        let snapshots: BTreeMap<_, _> = engine
            .snapshots(key)
            .unwrap()
            .into_iter()
            .map(|s| (s.sequence.get(), s.state.to_vec()))
            .collect();
        assert_eq!(
            snapshots,
            self.model.snapshots.get(key).cloned().unwrap_or_default(),
            "{key}"
        );
    }

    fn check_log(&self) {
        let engine = self.engine();
        assert_eq!(engine.position().get(), self.model.written);
        let starts = [0, self.model.written / 2, self.model.written];
        let mut all = Vec::new();
        for start in starts {
            let mut cursor = engine
                .cursor(Position::new(start), Filter::default())
                .unwrap();
            let mut found = Vec::new();
            let mut last = start;
            while cursor.position() < engine.position() {
                for recorded in cursor.next_chunk(700, engine.position()).unwrap() {
                    for page in recorded.pages {
                        assert!(page.position.get() > last);
                        last = page.position.get();
                        found.push((
                            recorded.key.clone(),
                            page.sequence.get(),
                            page.body.to_vec(),
                            last,
                        ));
                    }
                }
            }
            if start == 0 {
                all = found;
            } else {
                let behind: Vec<_> = all
                    .iter()
                    .filter(|(_, _, _, p)| *p > start)
                    .cloned()
                    .collect();
                assert_eq!(found, behind);
            }
        }
        let all: Vec<_> = all
            .into_iter()
            .map(|(key, n, body, _)| (key, n, body))
            .collect();
        assert_eq!(all, self.model.log);
    }
}

fn key(at: At) -> AggregateKey {
    AggregateKey {
        domain: Domain::new(DOMAINS[at.domain]).unwrap(),
        edition: Edition::new(EDITIONS[at.edition]).unwrap(),
        root: Root::new([at.root; 16]),
    }
}

fn page(body: &[u8]) -> Page {
    Page {
        created_at: None,
        type_name: Span::default(),
        body: body.to_vec().into(),
    }
}

fn claim_of(n: u8) -> Claim {
    Claim {
        kind: "external".into(),
        key: vec![n].into(),
    }
}

fn cascade_of(n: u8) -> CascadeId {
    CascadeId::new(&format!("cascade-{n}")).unwrap()
}

fn read(engine: &Engine, view: &View, from: u32, to: u32, backwards: bool) -> Vec<(u32, Vec<u8>)> {
    let mut cursor = engine.pages(view, Sequence::new(from), Sequence::new(to), backwards);
    let mut found = Vec::new();
    loop {
        let pages = cursor.next_chunk(64).unwrap();
        if pages.is_empty() {
            return found;
        }
        found.extend(
            pages
                .into_iter()
                .map(|p| (p.sequence.get(), p.body.to_vec())),
        );
    }
}

fn run(index: IndexKind, ops: &[Op]) {
    let mut test = Test::new(index);
    for (n, op) in ops.iter().enumerate() {
        test.run(op);
        if n % 8 == 7 {
            test.check();
        }
    }
    test.check();
    test.run(&Op::Reopen);
    test.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_its_model_on_the_memory_index(ops in prop::collection::vec(any_op(), 1..60)) {
        run(IndexKind::Memory, &ops);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_its_model_on_rocksdb(ops in prop::collection::vec(any_op(), 1..60)) {
        run(IndexKind::RocksDb, &ops);
    }
}
