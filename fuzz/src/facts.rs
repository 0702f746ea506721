//! A store made step by step, with what is true of it after each.

use std::collections::BTreeSet;
use std::sync::Arc;

use angzarr_engine::clock::ManualClock;
use angzarr_engine::internals::{Direct, IndexEntry};
use angzarr_engine::{Control, Filter, Position, Result, Sequence, Timestamp, Verdict};
use arbitrary::Arbitrary;

use crate::disk::MemoryDisk;
use crate::ops::{self, At, Op};

/// The least that an operator may ask for.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024;

/// Opens what is on a disk.
pub(crate) fn open(disk: &MemoryDisk) -> Result<Direct> {
    let clock = ManualClock::at(Timestamp::from_nanos(1_700_000_000_000_000_000));
    Direct::open(Arc::new(disk.clone()), Arc::new(clock), 1, SEGMENT_BYTES)
}

/// All that the index of a sound store says.
pub(crate) fn entries(store: &Direct) -> Vec<IndexEntry> {
    store.index_entries().expect("the index is sound")
}

/// A state that was acknowledged.
#[derive(Debug)]
pub(crate) struct Fact {
    /// Where the log ended before.
    pub(crate) start: u64,
    /// And after.
    pub(crate) end: u64,
    /// All that the index says after it.
    pub(crate) index: Vec<IndexEntry>,
    /// All that can be read.
    pub(crate) view: View,
}

/// A store and its history.
pub(crate) struct History {
    pub(crate) disk: MemoryDisk,
    /// In the order of the log, without gaps.
    pub(crate) facts: Vec<Fact>,
    pub(crate) database_id: [u8; 16],
    /// Whether segments were rewritten: what cannot be read any more may then be missing.
    pub(crate) rewritten: bool,
    count: u32,
}

impl History {
    /// Makes each step a commit of its own. With a limit, the disk fails after so many
    /// operations and the steps from then on come to nothing that anybody was told of.
    pub(crate) fn make(steps: &[Op], operations: Option<u32>) -> Self {
        let disk = MemoryDisk::default();
        let mut store = open(&disk).expect("the disk is sound");
        let mut history = Self {
            disk: disk.clone(),
            facts: Vec::new(),
            database_id: store.stats().database_id,
            rewritten: false,
            count: 0,
        };
        if let Some(operations) = operations {
            disk.fail_after(operations);
        }
        for step in steps {
            let start = store.stats().log_bytes;
            if history.step(&mut store, step).is_err() && store.poisoned().is_some() {
                break;
            }
            let end = store.stats().log_bytes;
            if end > start {
                history.facts.push(Fact {
                    start,
                    end,
                    index: entries(&store),
                    view: read_all(&store).expect("a sound store is readable"),
                });
            }
        }
        history
    }

    /// Where the acknowledged log ends.
    pub(crate) fn end(&self) -> u64 {
        self.facts.last().map_or(0, |fact| fact.end)
    }

    fn body(&mut self, size: u8) -> Vec<u8> {
        self.count += 1;
        let mut body = self.count.to_le_bytes().to_vec();
        body.resize(4 + usize::from(size) * 16, 0xA7);
        body
    }

    fn step(&mut self, store: &mut Direct, step: &Op) -> Result<()> {
        let commit = match step {
            Op::Append(append) => {
                let bodies: Vec<_> = (0..append.pages % 4)
                    .map(|_| self.body(append.size))
                    .collect();
                let next = store.aggregate(&append.at.key(), None)?.next();
                append.commit(next.get(), &bodies)
            }
            Op::AppendBoth { at, pages } => {
                let writes = at.keys_on_main().map(|key| angzarr_engine::Write {
                    pages: (0..pages % 4).map(|n| ops::page(&self.body(n))).collect(),
                    ..angzarr_engine::Write::to(key)
                });
                ops::of_writes(writes.to_vec())
            }
            Op::Fork { at, divergence } => ops::of_control(Control::Fork {
                edition: at.branch(),
                domain: at.domain(),
                divergence: Some(Sequence::new(u32::from(divergence % 8))),
            }),
            Op::Delete { at, everywhere } => ops::of_control(Control::DeleteEdition {
                edition: at.branch(),
                domain: (!everywhere).then(|| at.domain()),
            }),
            Op::DeleteSnapshot { at, sequence } => ops::of_control(Control::DeleteSnapshot {
                key: at.key(),
                sequence: Sequence::new((*sequence).into()),
            }),
            Op::Settle { cascade, confirm } => {
                let verdict = if *confirm {
                    Verdict::Confirmed
                } else {
                    Verdict::Revoked
                };
                let cascade = ops::cascade_of(*cascade);
                let participants = store.participants(&cascade)?;
                let bodies: Vec<_> = participants.iter().map(|_| self.body(1)).collect();
                ops::settle(cascade, verdict, participants, &bodies)
            }
            Op::Checkpoint(position) => ops::of_checkpoint((*position).into()),
            Op::Mark | Op::Reopen => return store.mark(),
            Op::Seal => return store.seal().map(drop),
            Op::Rewrite => {
                self.rewritten = true;
                return store.seal_now();
            }
        };
        store.commit(commit).map(drop)
    }
}

/// What can be read of a store, one line a fact.
pub(crate) type View = Vec<String>;

/// Reads everything in the store in every way there is. Bodies of revoked events are left out:
/// they may be gone.
pub(crate) fn read_all(store: &Direct) -> Result<View> {
    let mut lines = Vec::new();
    let mut revoked = BTreeSet::new();
    for at in At::all() {
        let key = at.key();
        let view = store.aggregate(&key, None)?;
        for mark in store.marks(&view, Sequence::ZERO, view.next())? {
            lines.push(format!("{key} {mark:?}"));
            if mark.revoked {
                revoked.insert((key.clone(), mark.sequence));
            }
        }
        for backwards in [false, true] {
            let mut pages = store.pages(&view, Sequence::ZERO, view.next(), backwards);
            loop {
                let chunk = pages.next_chunk(1 << 12)?;
                if chunk.is_empty() {
                    break;
                }
                for page in chunk {
                    let n = page.sequence;
                    let body = if revoked.contains(&(key.clone(), n)) {
                        &[]
                    } else {
                        &page.body[..]
                    };
                    lines.push(format!("{key} {n} {:?} {body:?}", page.created_at));
                }
            }
        }
        lines.push(format!(
            "{key} ends {} {:?}",
            view.next(),
            store.snapshots(&key)?
        ));
    }
    let mut cursor = store.cursor(Position::default(), Filter::default())?;
    while cursor.position() < store.position() {
        for recorded in cursor.next_chunk(1 << 12, store.position())? {
            for page in recorded.pages {
                let key = &recorded.key;
                lines.push(format!("{} {key} {}", page.position, page.sequence));
            }
        }
    }
    for n in 0..2 {
        lines.push(format!("{:?}", store.participants(&ops::cascade_of(n))?));
    }
    lines.push(format!("{:?}", store.checkpoint(&ops::consumer())?));
    Ok(lines)
}

/// Frames of a log that holds every kind of record.
pub(crate) fn sample_frames() -> Vec<Vec<u8>> {
    let append = |at: u8, pages: u8, more: u8| {
        let bytes = [
            at, pages, 0, more, more, more, more, more, more, more, more, more, more, 2,
        ];
        let mut bytes = arbitrary::Unstructured::new(&bytes);
        Op::Append(ops::Append::arbitrary(&mut bytes).expect("long enough"))
    };
    let at = |n: u8| At::arbitrary(&mut arbitrary::Unstructured::new(&[n])).expect("a byte");
    let steps = [
        append(0, 3, 0),
        append(1, 2, 1),
        append(6, 1, 3),
        Op::Fork {
            at: at(0),
            divergence: 2,
        },
        append(2, 2, 1),
        append(4, 1, 0),
        Op::AppendBoth {
            at: at(0),
            pages: 2,
        },
        Op::Settle {
            cascade: 1,
            confirm: true,
        },
        append(0, 1, 1),
        Op::Settle {
            cascade: 1,
            confirm: false,
        },
        Op::Checkpoint(5),
        append(0, 0, 5),
        append(0, 1, 5),
        append(0, 1, 5),
        Op::DeleteSnapshot {
            at: at(0),
            sequence: 6,
        },
        Op::Delete {
            at: at(2),
            everywhere: true,
        },
        Op::Mark,
    ];
    let history = History::make(&steps, None);
    let files = history.disk.files();
    let segment = files.values().next().cloned().unwrap_or_default();
    let frames = history.facts.iter().map(|fact| {
        let at = |address: u64| usize::try_from(address).expect("small") + 128;
        segment[at(fact.start)..at(fact.end)].to_vec()
    });
    frames.collect()
}
