//! The history that the golden folders hold, and how they were written.
//!
//! It has every kind of record, every flag and every form of frame. It is not changed: a later
//! version of the format gets a history of its own.

use std::path::Path;
use std::sync::Arc;

use angzarr_engine::clock::ManualClock;
use angzarr_engine::internals::Direct;
use angzarr_engine::*;

/// Time of the first commit, in nanoseconds; each later one is a second after the one before.
pub const BEGINS: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Writes the history into an empty folder. With `rewrite`, segments that have ended are rewritten.
pub fn write(folder: &Path, rewrite: bool) {
    std::fs::create_dir_all(folder).unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_nanos(BEGINS)));
    let disk = OsDisk::new(&folder.join("log")).unwrap();
    let mut store = Direct::open(Arc::new(disk), clock.clone(), 20, 64 * 1024).unwrap();
    for part in [orders, branches, cascades, snapshots] {
        for commit in part() {
            store.commit(commit).unwrap();
            clock.advance(SECOND);
        }
        store.mark().unwrap();
        store.seal().unwrap();
    }
    if rewrite {
        store.seal_now().unwrap();
    }
    // Something in the last segment, too.
    store
        .commit(writes([append("stock", "", 9, &["StockCounted last"])]))
        .unwrap();
    store.mark().unwrap();
}

pub fn key(domain: &str, edition: &str, root: u8) -> AggregateKey {
    AggregateKey {
        domain: Domain::new(domain).unwrap(),
        edition: Edition::new(edition).unwrap(),
        root: Root::new([root; 16]),
    }
}

/// Events whose type is the first word of the text.
fn append(domain: &str, edition: &str, root: u8, texts: &[&str]) -> Write {
    let pages = texts.iter().map(|text| Page {
        created_at: None,
        type_name: Span {
            start: 0,
            len: u32::try_from(text.find(' ').unwrap_or(text.len())).unwrap(),
        },
        body: text.as_bytes().to_vec().into(),
    });
    Write {
        pages: pages.collect(),
        ..Write::to(key(domain, edition, root))
    }
}

fn writes<const N: usize>(writes: [Write; N]) -> Commit {
    Commit {
        writes: writes.into(),
        ..Commit::default()
    }
}

fn control(control: Control) -> Commit {
    Commit {
        controls: vec![control],
        ..Commit::default()
    }
}

pub fn cascade(id: &str) -> CascadeId {
    CascadeId::new(id).unwrap()
}

fn snapshot(sequence: u32, retention: Retention, created_at: Option<i64>) -> Option<Snapshot> {
    Some(Snapshot {
        sequence: Sequence::new(sequence),
        retention,
        created_at: created_at.map(Timestamp::from_nanos),
        state: format!("state after {sequence}").into(),
    })
}

/// Plain events, claims, checkpoints, one commit over several aggregates.
fn orders() -> Vec<Commit> {
    let mut placed = append("order", "", 1, &["OrderPlaced a", "OrderPaid b"]);
    placed.correlation = CorrelationId::new("story-1").unwrap();
    placed.ext = "extension".into();
    placed.claim = Some(Claim {
        kind: "external".into(),
        key: "payment-17".into(),
    });
    let mut old = append(
        "order",
        "",
        2,
        &["OrderPlaced long ago", "OrderShipped later"],
    );
    old.pages[0].created_at = Some(Timestamp::from_nanos(-1));
    old.pages[1].created_at = Some(Timestamp::from_nanos(BEGINS + 5));
    old.expected = Expected::Next(Sequence::ZERO);
    let mut apart = append("order", "", 3, &["OrderPlaced apart"]);
    apart.isolated = true;
    let mut only_claim = Write::to(key("order", "", 4));
    only_claim.claim = Some(Claim {
        kind: "command".into(),
        key: vec![0, 255, 7].into(),
    });
    let both = [
        append("order", "", 1, &["OrderPacked with stock"]),
        append("stock", "", 1, &["StockTaken one", ""]),
    ];
    let mut with_checkpoint = writes(both);
    with_checkpoint.checkpoint = Some((Consumer::new("projector").unwrap(), Position::new(4)));
    let checkpoint = Commit {
        checkpoint: Some((Consumer::new("projector").unwrap(), Position::new(6))),
        ..Commit::default()
    };
    let large = "x".repeat(3000);
    let large = append("stock", "", 2, &[&format!("StockFilled {large}")]);
    vec![
        writes([placed]),
        writes([old]),
        writes([apart]),
        writes([only_claim]),
        with_checkpoint,
        checkpoint,
        writes([large]),
    ]
}

/// Branches that leave main in every way there is, one of them deleted and used again.
fn branches() -> Vec<Commit> {
    let mut explicit = append("order", "what-if", 1, &["OrderCancelled on a branch"]);
    explicit.divergence = Some(Sequence::new(1));
    let fork = |edition: &str, domain: &str, divergence: Option<u32>| {
        control(Control::Fork {
            edition: Edition::new(edition).unwrap(),
            domain: Domain::new(domain).unwrap(),
            divergence: divergence.map(Sequence::new),
        })
    };
    let delete = |edition: &str, domain: Option<&str>| {
        control(Control::DeleteEdition {
            edition: Edition::new(edition).unwrap(),
            domain: domain.map(|domain| Domain::new(domain).unwrap()),
        })
    };
    vec![
        writes([explicit]),
        fork("plan", "stock", Some(1)),
        fork("bare", "stock", None),
        writes([append("stock", "plan", 1, &["StockTaken planned"])]),
        writes([append(
            "stock",
            "gone",
            1,
            &["StockTaken gone", "StockTaken gone too"],
        )]),
        writes([append("order", "gone", 1, &["OrderPacked gone"])]),
        delete("gone", Some("stock")),
        writes([append("stock", "gone", 2, &["StockTaken again"])]),
        writes([append("order", "lost", 2, &["OrderPacked lost"])]),
        delete("lost", None),
        // Main goes on; branches do not see it.
        writes([append("order", "", 1, &["OrderShipped on main"])]),
    ]
}

/// Pending events: some confirmed, some revoked, some left pending.
fn cascades() -> Vec<Commit> {
    let pending = |id: &str, domain: &str, root: u8, text: &str| Write {
        cascade: Some(cascade(id)),
        correlation: CorrelationId::new("story-2").unwrap(),
        ..append(domain, "", root, &[text])
    };
    let settle = |domain: &str, root: u8, sequence: u32, verdict: Verdict, text: &str| Write {
        settles: vec![Settle {
            verdict,
            sequences: vec![Sequence::new(sequence)],
        }],
        ..append(domain, "", root, &[text])
    };
    vec![
        writes([
            pending("kept", "order", 5, "OrderReserved kept"),
            pending("kept", "stock", 5, "StockReserved kept"),
        ]),
        writes([pending("void", "order", 6, "OrderReserved void")]),
        writes([pending("open", "stock", 7, "StockReserved open")]),
        writes([
            settle("order", 5, 0, Verdict::Confirmed, "Confirmation a"),
            settle("stock", 5, 0, Verdict::Confirmed, "Confirmation b"),
        ]),
        writes([settle("order", 6, 0, Verdict::Revoked, "Revocation")]),
        writes([settle(
            "order",
            2,
            1,
            Verdict::Revoked,
            "Revocation of a final event",
        )]),
    ]
}

/// Snapshots of every retention, superseded, kept and deleted.
fn snapshots() -> Vec<Commit> {
    let of = |text: &str, sequence: u32, retention: Retention, at: Option<i64>| Write {
        snapshot: snapshot(sequence, retention, at),
        ..append("stock", "", 8, &[text])
    };
    vec![
        writes([of(
            "StockCounted 0",
            0,
            Retention::Persist,
            Some(BEGINS - 7),
        )]),
        writes([of("StockCounted 1", 1, Retention::Default, None)]),
        writes([of("StockCounted 2", 2, Retention::Transient, None)]),
        writes([of("StockCounted 3", 3, Retention::Persist, None)]),
        writes([of("StockCounted 4", 4, Retention::Default, None)]),
        control(Control::DeleteSnapshot {
            key: key("stock", "", 8),
            sequence: Sequence::new(0),
        }),
    ]
}
