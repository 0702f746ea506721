//! Whole operations against a model, with crashes and reopenings between.

use std::collections::BTreeMap;

use angzarr_engine::internals::Direct;
use angzarr_engine::{
    AggregateKey, Control, Error, Filter, Position, Sequence, Verdict, View, Write,
};
use arbitrary::{Arbitrary, Unstructured};

use crate::disk::MemoryDisk;
use crate::facts::{entries, open};
use crate::model::Model;
use crate::ops::{self, Append, At, Op};

const OPS_MAX: usize = 96;

/// Does to a store what the bytes say, compares every answer with a model, and in the end
/// everything that can be read, before and after opening it again.
pub(crate) fn operations(data: &[u8]) {
    let Ok(mut ops) = Vec::<Op>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    ops.truncate(OPS_MAX);
    let mut test = Test::new();
    for op in &ops {
        test.run(op);
    }
    test.check();
    test.reopen();
    test.check();
}

struct Test {
    disk: MemoryDisk,
    store: Direct,
    model: Model,
    /// The bodies of revoked events may be gone.
    rewritten: bool,
    count: u32,
}

impl Test {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        Self {
            store: open(&disk).expect("an empty disk"),
            disk,
            model: Model::default(),
            rewritten: false,
            count: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(append) => self.append(append),
            Op::AppendBoth { at, pages } => self.append_both(*at, *pages),
            Op::Fork { at, divergence } => self.fork(*at, u32::from(divergence % 8)),
            Op::Delete { at, everywhere } => self.delete(*at, *everywhere),
            Op::DeleteSnapshot { at, sequence } => self.delete_snapshot(*at, (*sequence).into()),
            Op::Settle { cascade, confirm } => self.settle(*cascade % 2, *confirm),
            Op::Checkpoint(position) => self.checkpoint((*position).into()),
            Op::Mark => self.store.mark().expect("the disk is sound"),
            Op::Seal => drop(self.store.seal().expect("the disk is sound")),
            Op::Rewrite => {
                self.rewritten = true;
                self.store.seal_now().expect("the disk is sound");
            }
            Op::Reopen => self.reopen(),
        }
    }

    /// A power failure; what was not synced is gone, which must be nothing of note.
    fn reopen(&mut self) {
        let before = entries(&self.store);
        let files = self.disk.after_power_failure(|| false);
        self.disk = MemoryDisk::with(&files);
        self.store = open(&self.disk).expect("the disk is sound");
        if !self.rewritten {
            assert_eq!(entries(&self.store), before);
        }
    }

    fn bodies(&mut self, count: u8, size: u8) -> Vec<Vec<u8>> {
        let body = |_| {
            self.count += 1;
            let mut body = self.count.to_le_bytes().to_vec();
            body.resize(4 + usize::from(size) * 16, 9);
            body
        };
        (0..count % 4).map(body).collect()
    }

    fn append(&mut self, append: &Append) {
        let key = append.at.key();
        let bodies = self.bodies(append.pages, append.size);
        let count = u32::try_from(bodies.len()).expect("few");
        let next = self.model.next(&key);
        let after = next + count;
        let result = self.store.commit(append.commit(next, &bodies));
        let claim = append.claim.map(|claim| (key.clone(), claim % 3));
        let known = claim
            .as_ref()
            .and_then(|claim| self.model.claims.get(claim));
        if let Some(&(first, count)) = known {
            let outcome = result.expect("a duplicate").results[0];
            assert!(outcome.duplicate);
            assert_eq!((outcome.first.get(), outcome.count), (first, count));
            return;
        }
        if append.stale {
            let conflict =
                matches!(result, Err(Error::Conflict { actual, .. }) if actual.get() == next);
            assert!(conflict);
            return;
        }
        let outcome = result.expect("nothing is against it").results[0];
        assert!(!outcome.duplicate);
        assert_eq!((outcome.first.get(), outcome.next.get()), (next, after));
        let cascade = append.cascade.map(|cascade| cascade % 2);
        self.model.append(&key, bodies, cascade);
        if let Some(claim) = claim {
            self.model.claims.insert(claim, (next, count));
        }
        if let Some(kept) = append.snapshot.filter(|_| after > 0) {
            let state = ops::state(after);
            self.model.put_snapshot(&key, after - 1, state, kept);
        }
    }

    fn append_both(&mut self, at: At, pages: u8) {
        let keys = at.keys_on_main();
        let bodies = [self.bodies(pages, 1), self.bodies(pages, 2)];
        let writes = keys.iter().zip(&bodies).map(|(key, bodies)| Write {
            pages: bodies.iter().map(|body| ops::page(body)).collect(),
            ..Write::to(key.clone())
        });
        let commit = ops::of_writes(writes.collect());
        let committed = self.store.commit(commit).expect("nothing is against it");
        for ((key, bodies), outcome) in keys.iter().zip(bodies).zip(committed.results) {
            self.model.append(key, bodies, None);
            assert_eq!(outcome.next.get(), self.model.next(key));
        }
        assert_eq!(committed.position.get(), self.model.written);
    }

    fn fork(&mut self, at: At, divergence: u32) {
        let name = (at.branch(), at.domain());
        let result = self.store.commit(ops::of_control(Control::Fork {
            edition: name.0.clone(),
            domain: name.1.clone(),
            divergence: Some(Sequence::new(divergence)),
        }));
        let recorded = *self.model.divergences.entry(name).or_insert(divergence);
        assert_eq!(result.is_ok(), recorded == divergence);
    }

    fn delete(&mut self, at: At, everywhere: bool) {
        let (edition, domain) = (at.branch(), (!everywhere).then(|| at.domain()));
        let deleted = self.model.delete(&edition, domain.as_ref());
        let control = Control::DeleteEdition { edition, domain };
        let committed = self.store.commit(ops::of_control(control));
        assert_eq!(committed.expect("it may be empty").deleted, deleted);
    }

    fn delete_snapshot(&mut self, at: At, sequence: u32) {
        let key = at.key();
        let result = self.store.commit(ops::of_control(Control::DeleteSnapshot {
            key: key.clone(),
            sequence: Sequence::new(sequence),
        }));
        let snapshots = self.model.snapshots.entry(key).or_default();
        let newest = snapshots.last_key_value().map(|(at, _)| *at);
        let may = snapshots.contains_key(&sequence) && newest != Some(sequence);
        assert_eq!(result.is_ok(), may, "{result:?}");
        if may {
            snapshots.remove(&sequence);
        }
    }

    fn settle(&mut self, cascade: u8, confirm: bool) {
        let participants = self.model.pending(cascade);
        let id = ops::cascade_of(cascade);
        let found = self.store.participants(&id).expect("readable");
        assert_eq!(found, participants);
        let verdict = if confirm {
            Verdict::Confirmed
        } else {
            Verdict::Revoked
        };
        let bodies: Vec<_> = participants
            .iter()
            .map(|_| self.bodies(1, 1).remove(0))
            .collect();
        let commit = ops::settle(id, verdict, participants.clone(), &bodies);
        self.store.commit(commit).expect("they are pending");
        for ((key, sequences), body) in participants.into_iter().zip(bodies) {
            self.model.settle(&key, &sequences, confirm);
            self.model.append(&key, vec![body], None);
        }
    }

    fn checkpoint(&mut self, position: u64) {
        let result = self.store.commit(ops::of_checkpoint(position));
        assert_eq!(result.is_ok(), position >= self.model.checkpoint);
        self.model.checkpoint = self.model.checkpoint.max(position);
        let stored = self.store.checkpoint(&ops::consumer()).expect("readable");
        assert_eq!(stored.unwrap_or_default().get(), self.model.checkpoint);
    }

    fn check(&self) {
        for at in At::all() {
            self.check_aggregate(&at.key());
        }
        for cascade in 0..2 {
            let found = self.store.participants(&ops::cascade_of(cascade));
            assert_eq!(found.expect("readable"), self.model.pending(cascade));
        }
        self.check_log();
    }

    fn check_aggregate(&self, key: &AggregateKey) {
        let wanted = self.model.visible(key);
        let view = self.store.aggregate(key, None).expect("readable");
        assert_eq!(view.next().get(), self.model.next(key), "{key}");
        let end = u32::try_from(wanted.len()).expect("few");
        for (from, to) in [(0, end), (1, end), (end / 3, end / 3 + 2)] {
            for backwards in [false, true] {
                let mut found = self.read(&view, from, to, backwards);
                if backwards {
                    found.reverse();
                }
                let expected =
                    &wanted[from.min(end) as usize..to.min(end).max(from.min(end)) as usize];
                assert_eq!(found.len(), expected.len(), "{key} {from}..{to}");
                for ((n, body), (wanted_n, event)) in found.iter().zip((from..).zip(expected)) {
                    assert_eq!(*n, wanted_n, "{key} backwards {backwards}");
                    let gone = self.rewritten && event.revoked && body.is_empty();
                    assert!(gone || *body == event.body, "{key} {n}: {body:?}");
                }
            }
        }
        let marks = self.store.marks(&view, Sequence::ZERO, view.next());
        let marks = marks.expect("readable").into_iter();
        let marks: BTreeMap<_, _> = marks.map(|mark| (mark.sequence.get(), mark)).collect();
        for (n, event) in (0..).zip(&wanted) {
            let mark = marks.get(&n);
            let cascade = event.cascade.map(|c| ops::cascade_of(c).to_string());
            assert_eq!(mark.map_or("", |m| &m.cascade), cascade.unwrap_or_default());
            assert_eq!(mark.is_some_and(|m| m.confirmed), event.confirmed);
            assert_eq!(mark.is_some_and(|m| m.revoked), event.revoked);
        }
        let found = self.store.snapshots(key).expect("readable").into_iter();
        let found: Vec<_> = found
            .map(|s| (s.sequence.get(), s.state.to_vec(), s.retention))
            .collect();
        let wanted = self.model.snapshots.get(key).into_iter().flatten();
        let wanted: Vec<_> = wanted
            .map(|(at, (state, kept))| (*at, state.clone(), kept.retention()))
            .collect();
        assert_eq!(found, wanted, "{key}");
    }

    fn read(&self, view: &View, from: u32, to: u32, backwards: bool) -> Vec<(u32, Vec<u8>)> {
        let (from, to) = (Sequence::new(from), Sequence::new(to));
        let mut cursor = self.store.pages(view, from, to, backwards);
        let mut found = Vec::new();
        loop {
            let pages = cursor.next_chunk(200).expect("readable");
            if pages.is_empty() {
                return found;
            }
            let pages = pages.iter();
            found.extend(pages.map(|page| (page.sequence.get(), page.body.to_vec())));
        }
    }

    fn check_log(&self) {
        let end = self.store.position();
        assert_eq!(end.get(), self.model.written);
        let cursor = self.store.cursor(Position::default(), Filter::default());
        let mut cursor = cursor.expect("readable");
        let mut found = Vec::new();
        while cursor.position() < end {
            for recorded in cursor.next_chunk(700, end).expect("readable") {
                let pages = recorded.pages.iter();
                found.extend(
                    pages.map(|p| (recorded.key.clone(), p.sequence.get(), p.body.to_vec())),
                );
            }
        }
        assert_eq!(found.len(), self.model.log.len());
        for (found, wanted) in found.iter().zip(&self.model.log) {
            let (key, sequence, body) = wanted;
            let revoked = || {
                let own = sequence - self.model.base(key);
                self.model.events[key][own as usize].revoked
            };
            let gone = self.rewritten && found.2.is_empty() && revoked();
            assert!(gone || found == wanted, "{found:?} {wanted:?}");
            assert_eq!((&found.0, &found.1), (key, sequence));
            assert!(gone || found.2 == *body);
        }
    }
}
