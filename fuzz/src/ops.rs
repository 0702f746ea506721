//! What may be done to a store, made from bytes.

use angzarr_engine::{
    AggregateKey, CascadeId, Claim, Commit, Consumer, Control, CorrelationId, Domain, Edition,
    Expected, Page, Position, Retention, Root, Sequence, Settle, Snapshot, Span, Timestamp,
    Verdict, Write,
};
use arbitrary::Arbitrary;

const DOMAINS: [&str; 2] = ["order", "stock"];
const EDITIONS: [&str; 3] = ["", "what-if", "other"];

/// One step.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Op {
    Append(Append),
    /// The same number of pages to one root in both domains, in one commit.
    AppendBoth {
        at: At,
        pages: u8,
    },
    Fork {
        at: At,
        divergence: u8,
    },
    Delete {
        at: At,
        everywhere: bool,
    },
    DeleteSnapshot {
        at: At,
        sequence: u8,
    },
    Settle {
        cascade: u8,
        confirm: bool,
    },
    Checkpoint(u8),
    Mark,
    /// Ends the segment being written.
    Seal,
    /// Rewrites segments that have ended.
    Rewrite,
    Reopen,
}

/// An append to one aggregate.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct Append {
    pub(crate) at: At,
    pub(crate) pages: u8,
    /// Expects one sequence too many.
    pub(crate) stale: bool,
    pub(crate) claim: Option<u8>,
    pub(crate) cascade: Option<u8>,
    pub(crate) correlation: Option<bool>,
    pub(crate) snapshot: Option<Kept>,
    pub(crate) isolated: bool,
    pub(crate) ext: bool,
    /// Of each page, in sixteens of bytes.
    pub(crate) size: u8,
}

/// A retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub(crate) enum Kept {
    Default,
    Persist,
    Transient,
}

/// An aggregate, one byte: few of them, so that steps meet.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct At(u8);

impl At {
    pub(crate) fn domain(self) -> Domain {
        Domain::new(DOMAINS[usize::from(self.0) % 2]).expect("well formed")
    }

    pub(crate) fn edition(self) -> Edition {
        Edition::new(EDITIONS[usize::from(self.0) / 2 % 3]).expect("well formed")
    }

    /// A branch, never main.
    pub(crate) fn branch(self) -> Edition {
        Edition::new(EDITIONS[1 + usize::from(self.0) / 2 % 2]).expect("well formed")
    }

    pub(crate) fn key(self) -> AggregateKey {
        AggregateKey {
            domain: self.domain(),
            edition: self.edition(),
            root: Root::new([self.0 / 6 % 3; 16]),
        }
    }

    /// The key on main in each domain.
    pub(crate) fn keys_on_main(self) -> [AggregateKey; 2] {
        [0, 1].map(|domain| AggregateKey {
            domain: Domain::new(DOMAINS[domain]).expect("well formed"),
            ..self.key().on_main()
        })
    }

    /// Every aggregate there may be.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..18).map(Self)
    }
}

impl Append {
    /// The commit, given where the aggregate ends and the bodies of the new pages.
    pub(crate) fn commit(&self, next: u32, bodies: &[Vec<u8>]) -> Commit {
        let after = next + u32::try_from(bodies.len()).expect("few pages");
        let expected = if self.stale { next + 1 } else { next };
        let snapshot = self.snapshot.filter(|_| after > 0).map(|kept| Snapshot {
            sequence: Sequence::new(after - 1),
            retention: kept.retention(),
            created_at: None,
            state: state(after).into(),
        });
        let correlation = match self.correlation {
            None => "",
            Some(false) => "one",
            Some(true) => "two",
        };
        let ext: &[u8] = if self.ext { b"ext" } else { b"" };
        let write = Write {
            expected: Expected::Next(Sequence::new(expected)),
            correlation: CorrelationId::new(correlation).expect("well formed"),
            ext: ext.into(),
            isolated: self.isolated,
            pages: bodies.iter().map(|body| page(body)).collect(),
            claim: self.claim.map(claim_of),
            cascade: self.cascade.map(cascade_of),
            snapshot,
            ..Write::to(self.at.key())
        };
        of_writes(vec![write])
    }
}

impl Kept {
    pub(crate) fn retention(self) -> Retention {
        match self {
            Self::Default => Retention::Default,
            Self::Persist => Retention::Persist,
            Self::Transient => Retention::Transient,
        }
    }
}

/// The state of a snapshot taken when the next sequence is this.
pub(crate) fn state(next: u32) -> Vec<u8> {
    format!("state {next}").into_bytes()
}

pub(crate) fn of_writes(writes: Vec<Write>) -> Commit {
    Commit {
        writes,
        ..Commit::default()
    }
}

pub(crate) fn of_control(control: Control) -> Commit {
    Commit {
        controls: vec![control],
        ..Commit::default()
    }
}

pub(crate) fn of_checkpoint(position: u64) -> Commit {
    Commit {
        checkpoint: Some((consumer(), Position::new(position))),
        ..Commit::default()
    }
}

pub(crate) fn consumer() -> Consumer {
    Consumer::new("reader").expect("well formed")
}

pub(crate) fn page(body: &[u8]) -> Page {
    Page {
        created_at: body
            .first()
            .filter(|byte| **byte % 4 == 0)
            .map(|byte| Timestamp::from_nanos(i64::from(*byte))),
        type_name: Span {
            start: 0,
            len: u32::from(body.len() > 4) * 4,
        },
        body: body.to_vec().into(),
    }
}

pub(crate) fn claim_of(n: u8) -> Claim {
    Claim {
        kind: "external".into(),
        key: vec![n % 3].into(),
    }
}

pub(crate) fn cascade_of(n: u8) -> CascadeId {
    CascadeId::new(&format!("cascade-{}", n % 2)).expect("well formed")
}

/// A commit that decides about these events and says so with one event in each aggregate.
pub(crate) fn settle(
    cascade: CascadeId,
    verdict: Verdict,
    participants: Vec<(AggregateKey, Vec<Sequence>)>,
    bodies: &[Vec<u8>],
) -> Commit {
    let writes = participants.iter().zip(bodies);
    let writes = writes.map(|((key, sequences), body)| Write {
        pages: vec![page(body)],
        settles: vec![Settle {
            verdict,
            sequences: sequences.clone(),
        }],
        ..Write::to(key.clone())
    });
    Commit {
        writes: writes.collect(),
        controls: vec![Control::ExpectPending {
            cascade,
            participants,
        }],
        ..Commit::default()
    }
}
