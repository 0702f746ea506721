//! Random commits that make sense for what is stored, and some that do not.

use angzarr_engine::{
    AggregateKey, CascadeId, Claim, Commit, Condition, Consumer, Control, CorrelationId, Domain,
    Edition, Expected, Page, Position, Retention, Root, Sequence, Settle, Snapshot, Span,
    Timestamp, Verdict, Write,
};
use bytes::Bytes;

use super::model::Model;

pub(crate) const DOMAINS: [&str; 2] = ["order", "stock"];
pub(crate) const EDITIONS: [&str; 4] = ["", "what-if", "other", "third"];
pub(crate) const ROOTS: u8 = 3;
pub(crate) const CASCADES: u32 = 3;
pub(crate) const CLAIMS: u32 = 4;
pub(crate) const CONSUMERS: [&str; 2] = ["mailer", "report"];
const CORRELATIONS: [&str; 4] = ["", "a", "a-b", "b"];

/// A source of choices: chance, or a list that a test runner makes shorter.
pub(crate) trait Choose {
    /// A number below `n`; 0 is the plainest choice.
    fn below(&mut self, n: u32) -> u32;

    /// True once in so many times.
    fn once_in(&mut self, n: u32) -> bool {
        n > 0 && self.below(n) == n - 1
    }
}

/// What is made, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Taste {
    /// Weight of each kind, in the order of [`Generator::commit`].
    pub(crate) kinds: [u32; 8],
    pub(crate) writes_max: u32,
    pub(crate) body_max: u32,
    /// One in so many writes has it; 0 for never.
    pub(crate) stale: u32,
    pub(crate) claim: u32,
    pub(crate) cascade: u32,
    pub(crate) snapshot: u32,
    pub(crate) divergence: u32,
}

impl Default for Taste {
    fn default() -> Self {
        Self {
            kinds: [12, 2, 1, 1, 1, 1, 1, 1],
            writes_max: 3,
            body_max: 300,
            stale: 10,
            claim: 5,
            cascade: 5,
            snapshot: 4,
            divergence: 8,
        }
    }
}

/// Makes commits.
#[derive(Debug, Default)]
pub(crate) struct Generator {
    pub(crate) taste: Taste,
    /// Bytes that look like something else, for bodies.
    pub(crate) hostile: Bytes,
    pub(crate) bodies: u32,
}

pub(crate) fn domain(n: u32) -> Domain {
    Domain::new(DOMAINS[n as usize]).unwrap()
}

pub(crate) fn edition(n: u32) -> Edition {
    Edition::new(EDITIONS[n as usize]).unwrap()
}

pub(crate) fn cascade(n: u32) -> CascadeId {
    CascadeId::new(&format!("cascade-{n}")).unwrap()
}

pub(crate) fn claim(n: u32) -> Claim {
    Claim {
        kind: Bytes::from_static(if n.is_multiple_of(2) {
            b"command"
        } else {
            b"fact"
        }),
        key: vec![7; n as usize].into(),
    }
}

/// Every aggregate that can occur.
pub(crate) fn keys() -> Vec<AggregateKey> {
    let mut keys = Vec::new();
    for d in 0..DOMAINS.len() as u32 {
        for e in 0..EDITIONS.len() as u32 {
            keys.extend((0..ROOTS).map(|root| AggregateKey {
                domain: domain(d),
                edition: edition(e),
                root: Root::new([root; 16]),
            }));
        }
    }
    keys
}

impl Generator {
    /// A commit. Never empty.
    pub(crate) fn commit(&mut self, choose: &mut dyn Choose, model: &Model) -> Commit {
        let kind = weighted(choose, &self.taste.kinds);
        let mut commit = Commit::default();
        match kind {
            0 => self.appends(choose, model, &mut commit),
            1 => self.settle_cascade(choose, model, &mut commit),
            2 => self.revoke_any(choose, model, &mut commit),
            3 => commit.controls = forks(choose, 3),
            4 => commit.controls.push(deletion(choose)),
            5 => commit.controls.push(snapshot_deletion(choose, model)),
            6 => commit.checkpoint = Some(checkpoint(choose, model)),
            _ => {
                self.appends(choose, model, &mut commit);
                commit.controls = forks(choose, 2);
                if choose.once_in(3) {
                    commit.controls.push(deletion(choose));
                }
            }
        }
        commit
    }

    fn appends(&mut self, choose: &mut dyn Choose, model: &Model, commit: &mut Commit) {
        let mut keys = keys();
        for _ in 0..=choose.below(self.taste.writes_max) {
            let key = keys.remove(choose.below(keys.len() as u32) as usize);
            commit.writes.push(self.write(choose, model, key));
        }
        if choose.once_in(6) {
            let key = keys.remove(choose.below(keys.len() as u32) as usize);
            let expected = self.expected(choose, model.next(&key, None));
            commit.conditions.push(Condition { key, expected });
        }
        if choose.once_in(8) {
            commit.checkpoint = Some(checkpoint(choose, model));
        }
    }

    fn write(&mut self, choose: &mut dyn Choose, model: &Model, key: AggregateKey) -> Write {
        let divergence = (!key.edition.is_main() && choose.once_in(self.taste.divergence))
            .then(|| Sequence::new(choose.below(6)));
        let next = model.next(&key, divergence.map(Sequence::get));
        let pages: Vec<_> = (0..[1, 2, 3, 0, 7][choose.below(5) as usize])
            .map(|_| self.page(choose))
            .collect();
        let after = next + pages.len() as u32;
        Write {
            divergence,
            expected: self.expected(choose, next),
            correlation: CorrelationId::new(CORRELATIONS[choose.below(4) as usize]).unwrap(),
            ext: vec![1; choose.below(3) as usize].into(),
            cascade: choose
                .once_in(self.taste.cascade)
                .then(|| cascade(choose.below(CASCADES))),
            isolated: choose.once_in(8),
            claim: choose
                .once_in(self.taste.claim)
                .then(|| claim(choose.below(CLAIMS))),
            snapshot: choose
                .once_in(self.taste.snapshot)
                .then(|| snapshot(choose, after, pages.is_empty())),
            pages,
            ..Write::to(key)
        }
    }

    fn page(&mut self, choose: &mut dyn Choose) -> Page {
        self.bodies += 1;
        let mut body = self.bodies.to_le_bytes().to_vec();
        if choose.once_in(9) && !self.hostile.is_empty() {
            let from = choose.below(self.hostile.len() as u32) as usize;
            let until = (from + self.taste.body_max as usize).min(self.hostile.len());
            body.extend_from_slice(&self.hostile[from..until]);
        } else {
            let fill = self.bodies.to_le_bytes()[0];
            body.resize(4 + choose.below(self.taste.body_max) as usize, fill);
        }
        Page {
            created_at: choose
                .once_in(4)
                .then(|| Timestamp::from_nanos(i64::from(choose.below(1000)))),
            type_name: Span {
                start: 0,
                len: choose.below(4),
            },
            body: body.into(),
        }
    }

    fn expected(&self, choose: &mut dyn Choose, next: u32) -> Expected {
        if choose.once_in(self.taste.stale) {
            return match choose.below(3) {
                0 => Expected::NoEvents,
                1 => Expected::Next(Sequence::new(next + 1)),
                _ => Expected::Next(Sequence::new(next.saturating_sub(1))),
            };
        }
        match choose.below(3) {
            0 => Expected::Any,
            _ => Expected::Next(Sequence::new(next)),
        }
    }

    /// Confirms or revokes all that is pending in a cascade.
    fn settle_cascade(&mut self, choose: &mut dyn Choose, model: &Model, commit: &mut Commit) {
        let cascade = cascade(choose.below(CASCADES));
        let verdict = verdict(choose);
        let mut participants = model.participants(&cascade);
        for (key, sequences) in &participants {
            commit.writes.push(Write {
                pages: vec![self.page(choose)],
                settles: vec![Settle {
                    verdict,
                    sequences: sequences.clone(),
                }],
                ..Write::to(key.clone())
            });
        }
        if choose.once_in(10) {
            participants.pop();
        }
        commit.controls.push(Control::ExpectPending {
            cascade,
            participants,
        });
    }

    /// Decides about whatever events, the new ones and ones that do not exist included.
    fn revoke_any(&mut self, choose: &mut dyn Choose, model: &Model, commit: &mut Commit) {
        let keys = keys();
        let key = keys[choose.below(keys.len() as u32) as usize].clone();
        let end = model.next(&key, None) + 3;
        let settles = (0..=choose.below(2)).map(|_| Settle {
            verdict: verdict(choose),
            sequences: (0..choose.below(4))
                .map(|_| Sequence::new(choose.below(end)))
                .collect(),
        });
        let settles = settles.collect();
        let mut write = self.write(choose, model, key);
        write.settles = settles;
        if write.pages.is_empty() {
            write.pages.push(self.page(choose));
            write.snapshot = None;
        }
        commit.writes.push(write);
    }
}

fn snapshot(choose: &mut dyn Choose, after: u32, anywhere: bool) -> Snapshot {
    let newest = after.saturating_sub(1);
    let at = match anywhere {
        true => newest.saturating_sub(choose.below(3)),
        false => newest,
    };
    Snapshot {
        sequence: Sequence::new(at),
        retention: [Retention::Default, Retention::Transient, Retention::Persist]
            [choose.below(3) as usize],
        created_at: choose
            .once_in(4)
            .then(|| Timestamp::from_nanos(i64::from(choose.below(1000)))),
        state: vec![choose.below(250) as u8; choose.below(90) as usize].into(),
    }
}

fn verdict(choose: &mut dyn Choose) -> Verdict {
    [Verdict::Confirmed, Verdict::Revoked][choose.below(2) as usize]
}

fn forks(choose: &mut dyn Choose, most: u32) -> Vec<Control> {
    let fork = |choose: &mut dyn Choose, d: u32| Control::Fork {
        edition: edition(choose.below(EDITIONS.len() as u32)),
        domain: domain(d),
        divergence: (!choose.once_in(4)).then(|| Sequence::new(choose.below(6))),
    };
    (0..=choose.below(most))
        .map(|n| fork(choose, n % DOMAINS.len() as u32))
        .collect()
}

fn deletion(choose: &mut dyn Choose) -> Control {
    let of = choose.below(1 + DOMAINS.len() as u32);
    Control::DeleteEdition {
        edition: edition((1 + choose.below(EDITIONS.len() as u32)) % EDITIONS.len() as u32),
        domain: of.checked_sub(1).map(domain),
    }
}

fn snapshot_deletion(choose: &mut dyn Choose, model: &Model) -> Control {
    let keys = keys();
    let mut key = keys[choose.below(keys.len() as u32) as usize].clone();
    let with = model
        .aggregates
        .iter()
        .find(|(_, own)| own.snapshots.len() > 1);
    if let Some((found, _)) = with.filter(|_| !choose.once_in(3)) {
        key = found.clone();
    }
    let known = model.own(&key).and_then(|own| own.snapshots.keys().next());
    Control::DeleteSnapshot {
        key,
        sequence: Sequence::new(known.copied().unwrap_or_else(|| choose.below(5))),
    }
}

fn checkpoint(choose: &mut dyn Choose, model: &Model) -> (Consumer, Position) {
    let consumer = Consumer::new(CONSUMERS[choose.below(2) as usize]).unwrap();
    let position = match choose.once_in(4) {
        true => u64::from(choose.below(20)),
        false => model.written,
    };
    (consumer, Position::new(position))
}

fn weighted(choose: &mut dyn Choose, weights: &[u32]) -> usize {
    let mut left = choose.below(weights.iter().sum::<u32>().max(1));
    for (n, &weight) in weights.iter().enumerate() {
        if left < weight {
            return n;
        }
        left -= weight;
    }
    0
}
