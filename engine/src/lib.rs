//! An append-only event log with sequence concurrency, branches of history, pending cascades and
//! snapshots.
//!
//! The log is the database: every fact is a record in it, and the index can be deleted and is
//! rebuilt. See `docs/FORMAT.md` for the bytes.

#[cfg(test)]
extern crate self as angzarr_engine;

pub mod clock;
mod core;
mod disk;
mod engine;
mod error;
mod event;
mod index;
mod interest;
#[doc(hidden)]
pub mod internals;
pub mod limits;
mod log;
mod options;
mod queue;
mod read;
mod recent;
mod sealing;
mod sequencer;
mod shared;
#[cfg(test)]
mod sim;
mod subscribe;
mod tools;
mod types;
mod validate;
mod worker;

pub use disk::{Disk, DiskFile, OsDisk};
pub use engine::{Engine, Recovery, Stats, Watch};
pub use error::{Error, Result};
pub use event::{
    Claim, ClaimRange, Commit, Committed, Condition, Control, Expected, Outcome, Page, Retention,
    Settle, Snapshot, Span, Verdict, Write,
};
pub use options::{Durability, IndexKind, Options};
pub use read::{EditionDomain, Listed, PageCursor, PageMark, PageView, StoredPage, View};
pub use sealing::Sealing;
pub use subscribe::{Filter, LogCursor, Recorded, RecordedPage, RecordedPageView, RecordedView};
pub use tools::{
    CutAt, CutLog, Damage, Dump, DumpRange, DumpedFrame, DumpedPage, DumpedRecord, IndexCheck,
    LogCopy, LogFile, LostEvents, Progress, Rebuilt, Repair, Soundness, Verified, cut_log, dump,
    folder_copy, plan_repair, rebuild_index, verify, verify_log,
};
pub use types::{
    Address, AggregateKey, CascadeId, Consumer, CorrelationId, Domain, Edition, Position, Root,
    Sequence, Timestamp,
};
