//! What the simulation has found, each as the shortest story that shows it.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::clock::ManualClock;
use crate::disk::sim::{Fault, Faults, SimDisk};
use crate::engine::still::Still;
use crate::error::Error;
use crate::event::{Commit, Control, Page, Retention, Snapshot, Span, Write};
use crate::options::{IndexKind, Options};
use crate::types::{AggregateKey, Domain, Edition, Root, Sequence, Timestamp};

fn open(disk: &SimDisk) -> Still {
    let options = Options {
        segment_bytes: 4096,
        index: IndexKind::Memory,
        ..Options::default()
    };
    let clock = Arc::new(ManualClock::at(Timestamp::from_nanos(1)));
    let random = Box::new(StdRng::seed_from_u64(1));
    Still::open(Arc::new(disk.clone()), None, clock, options, random).unwrap()
}

fn key(domain: &str) -> AggregateKey {
    AggregateKey {
        domain: Domain::new(domain).unwrap(),
        edition: Edition::MAIN,
        root: Root::new([1; 16]),
    }
}

fn write(domain: &str, body: &str) -> Write {
    let page = Page {
        created_at: None,
        type_name: Span::default(),
        body: body.to_owned().into(),
    };
    Write {
        pages: vec![page],
        ..Write::to(key(domain))
    }
}

fn commit(still: &mut Still, commit: Commit) -> crate::Result<()> {
    let bytes = crate::validate::commit(&commit)?;
    let hints = still.engine.shared.hints(&commit)?;
    still.core.step(&[(commit, hints)], bytes).remove(0)?;
    Ok(())
}

fn append(still: &mut Still, domain: &str) {
    let writes = vec![write(domain, "event")];
    commit(
        still,
        Commit {
            writes,
            ..Commit::default()
        },
    )
    .unwrap();
}

fn fork(domain: &str, at: u32) -> Control {
    Control::Fork {
        edition: Edition::new("what-if").unwrap(),
        domain: Domain::new(domain).unwrap(),
        divergence: Some(Sequence::new(at)),
    }
}

/// Each fork of a commit had a frame of its own: a crash could leave a branch that exists in one
/// domain and not in the other.
#[test]
fn a_commit_of_several_changes_is_one_frame() {
    let disk = SimDisk::default();
    let mut still = open(&disk);
    let controls = vec![fork("order", 0), fork("stock", 0)];
    let both = Commit {
        writes: vec![write("order", "event")],
        controls,
        ..Commit::default()
    };
    commit(&mut still, both).unwrap();
    drop(still);
    assert_eq!(open(&disk).engine.recovery().replayed_commits, 1);
}

/// The last divergence counted until the next opening, and from then on the first.
#[test]
fn a_commit_does_not_contradict_itself() {
    let mut still = open(&SimDisk::default());
    let controls = vec![fork("order", 0), fork("order", 1)];
    let both = Commit {
        controls,
        ..Commit::default()
    };
    let refused = commit(&mut still, both).unwrap_err();
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("what-if") && text.contains("order"), "{text}");
}

/// The state of whichever aggregate came first in the commit was returned for the other one too.
#[test]
fn snapshots_of_equal_roots_in_one_commit_are_told_apart() {
    let mut still = open(&SimDisk::default());
    let writes = ["order", "stock"].map(|domain| Write {
        snapshot: Some(Snapshot {
            sequence: Sequence::ZERO,
            retention: Retention::Default,
            created_at: None,
            state: domain.to_owned().into(),
        }),
        ..write(domain, "event")
    });
    let both = Commit {
        writes: writes.into(),
        ..Commit::default()
    };
    commit(&mut still, both).unwrap();
    for domain in ["order", "stock"] {
        let found = still.engine.snapshots(&key(domain)).unwrap();
        assert_eq!(found[0].state, domain);
    }
}

/// A process died between giving a new segment its name and making the name last; the next one
/// wrote to that segment, and a power failure took the file with everything in it.
#[test]
fn a_segment_found_at_opening_is_there_to_stay() {
    let disk = SimDisk::default();
    let mut still = open(&disk);
    append(&mut still, "order");
    disk.set_faults(Faults::always(Fault::SyncFolder, 0));
    assert!(still.core.seal().is_err());
    drop(still);
    for seed in 0..20 {
        let disk = disk.handed_over();
        let mut still = open(&disk);
        append(&mut still, "order");
        drop(still);
        let after = disk.crash(&mut StdRng::seed_from_u64(seed));
        assert_eq!(open(&after).engine.position().get(), 2, "seed {seed}");
    }
}

/// A sync failed, the system kept the bytes and took them for saved; the next process read them,
/// its sync had nothing to do, and a power failure left a hole before what it acknowledged.
#[test]
fn what_a_failed_sync_left_in_memory_is_written_again() {
    for seed in 0..20 {
        let disk = SimDisk::default();
        let mut still = open(&disk);
        append(&mut still, "order");
        disk.set_faults(Faults::always(Fault::Sync, seed));
        let writes = vec![write("order", &"unsaved".repeat(200))];
        let unsaved = Commit {
            writes,
            ..Commit::default()
        };
        commit(&mut still, unsaved).unwrap_err();
        drop(still);
        let disk = disk.handed_over();
        let mut still = open(&disk);
        append(&mut still, "order");
        drop(still);
        let after = disk.crash(&mut StdRng::seed_from_u64(seed));
        assert_eq!(open(&after).engine.position().get(), 3, "seed {seed}");
    }
}

/// A rewritten segment left out a snapshot that was superseded, and with it that this one had
/// taken the place of an older one: an index built anew brought the older one back.
#[test]
fn a_replaced_snapshot_stays_away_when_segments_are_rewritten() {
    let disk = SimDisk::default();
    let mut still = open(&disk);
    let stored = [
        (1, 0, Retention::Persist),
        (0, 0, Retention::Default),
        (1, 1, Retention::Default),
    ];
    for (events, sequence, retention) in stored {
        let mut write = write("order", "event");
        write.pages.truncate(events);
        write.snapshot = Some(Snapshot {
            sequence: Sequence::new(sequence),
            retention,
            created_at: None,
            state: "state".into(),
        });
        let writes = vec![write];
        let all = Commit {
            writes,
            ..Commit::default()
        };
        commit(&mut still, all).unwrap();
        still.core.seal().unwrap();
        assert!(still.engine.seal_next().unwrap());
    }
    let kept = |still: &Still| still.engine.snapshots(&key("order")).unwrap();
    let before = kept(&still);
    assert_eq!(before.len(), 1);
    drop(still);
    assert_eq!(kept(&open(&disk)), before);
}
