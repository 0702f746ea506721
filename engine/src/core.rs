//! One step of the writer: admit, encode, write, sync, publish. Synchronous and deterministic:
//! disk, clock and randomness come in from outside.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::event::{Commit, Committed, Control, Outcome};
use crate::index::apply::Changes;
use crate::interest::Matches;
use crate::limits;
use crate::log::frame::Kind;
use crate::log::{LogWriter, record};
use crate::options::Durability;
use crate::sequencer::{Admitted, Hints, New, Sequencer};
use crate::shared::{Readable, Shared};
use crate::types::{Address, CascadeId, Domain, Edition, Position, Sequence, Timestamp};
use crate::worker::Waker;

mod control;

/// The writing half of an engine.
pub(crate) struct Core {
    shared: Arc<Shared>,
    log: LogWriter,
    sequencer: Sequencer,
    clock: Arc<dyn Clock>,
    durability: Durability,
    /// Behind the last mark frame, or where the log was opened.
    marked: Address,
    /// The segment file being written, for threads that sync it.
    active: ActiveFile,
    /// Woken after each new segment and each deletion of a branch.
    helpers: Vec<Waker>,
    /// For whom there is something in the group, and in which frame.
    noted: Vec<(Arc<Matches>, Address)>,
}

/// The segment file being written.
#[derive(Clone)]
pub(crate) struct ActiveFile(Arc<Mutex<Arc<dyn DiskFile>>>);

impl ActiveFile {
    pub(crate) fn current(&self) -> Arc<dyn DiskFile> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, file: Arc<dyn DiskFile>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

/// Outcomes of a group, in the order of its commits.
pub(crate) type Answers = Vec<Result<Committed>>;

impl Core {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: LogWriter,
        clock: Arc<dyn Clock>,
        durability: Durability,
    ) -> Result<Self> {
        let sequencer = control::load_sequencer(&shared.index)?;
        let marked = log.end();
        let active = ActiveFile(Arc::new(Mutex::new(log.active_file())));
        Ok(Self {
            shared,
            log,
            sequencer,
            clock,
            durability,
            marked,
            active,
            helpers: Vec::new(),
            noted: Vec::new(),
        })
    }

    /// How many of these commits, from the front, make the next group. A commit with controls is
    /// a group of its own.
    pub(crate) fn group_len<'a>(
        commits: impl Iterator<Item = (&'a Commit, usize)>,
    ) -> (usize, usize) {
        let mut count = 0;
        let mut total = 0usize;
        for (commit, bytes) in commits {
            let alone = !commit.controls.is_empty();
            let full = count >= limits::GROUP_COMMITS_MAX
                || total.saturating_add(bytes) > limits::GROUP_BYTES_MAX;
            if count > 0 && (alone || full) {
                break;
            }
            count += 1;
            total = total.saturating_add(bytes);
            if alone {
                break;
            }
        }
        (count, total)
    }

    /// Makes a group durable and readable, and answers each of its commits.
    ///
    /// `bytes` is at least what the group takes in the log. After a failed write the engine is
    /// poisoned and every answer says so.
    pub(crate) fn step(&mut self, group: &[(Commit, Hints)], bytes: usize) -> Answers {
        let answers = self.try_step(group, bytes);
        answers.unwrap_or_else(|(stage, error)| {
            self.shared.poison.set(stage, &error);
            group.iter().map(|_| self.refuse()).collect()
        })
    }

    fn refuse(&self) -> Result<Committed> {
        self.shared.poison.check()?;
        Err(Error::Refused("the engine is closed".to_owned()))
    }

    fn try_step(
        &mut self,
        group: &[(Commit, Hints)],
        bytes: usize,
    ) -> Result<Answers, (&'static str, Error)> {
        if let Err(poisoned) = self.shared.poison.check() {
            return Ok(group.iter().map(|_| Err(poisoned.clone())).collect());
        }
        let now = self.clock.now();
        if self
            .log
            .roll_for(bytes as u64, now)
            .map_err(|e| ("starting a segment", e))?
        {
            self.rolled();
        }
        let mut changes = Changes::default();
        let mut answers = Vec::with_capacity(group.len());
        for (commit, hints) in group {
            let answer = self.admit(commit, hints, now, &mut changes);
            if let Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) = &answer {
                return Err(("reading the index", error.clone()));
            }
            answers.push(answer);
        }
        self.write_group(changes)?;
        Ok(answers)
    }

    /// Admits one commit and encodes it behind the others of the group.
    fn admit(
        &mut self,
        commit: &Commit,
        hints: &Hints,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Committed> {
        if !commit.controls.is_empty() {
            return self.control(commit, now, changes);
        }
        let fresh;
        let hints = if self.sequencer.accepts(commit, hints) {
            hints
        } else {
            fresh = self.shared.read_hints(commit)?;
            &fresh
        };
        match self.sequencer.admit(commit, hints, self.log.end())? {
            Admitted::Duplicate(results) => Ok(self.committed(results, now)),
            Admitted::New(admitted) => {
                self.encode(commit, &admitted, now, changes)?;
                for write in commit.writes.iter().filter(|write| !write.pages.is_empty()) {
                    self.shared.recent.note(&write.key);
                }
                Ok(self.committed(admitted.outcomes, now))
            }
        }
    }

    fn committed(&self, results: Vec<Outcome>, now: Timestamp) -> Committed {
        let position = Position::new(self.log.position().get().saturating_sub(1));
        Committed {
            results,
            position,
            recorded_at: self.log.time(now),
            deleted: 0,
        }
    }

    fn encode(
        &mut self,
        commit: &Commit,
        admitted: &New,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<()> {
        let New {
            outcomes,
            forks,
            heads,
        } = admitted;
        if commit
            .writes
            .iter()
            .all(|w| w.pages.is_empty() && w.claim.is_none() && w.snapshot.is_none())
            && forks.is_empty()
            && commit.checkpoint.is_none()
            && commit
                .controls
                .iter()
                .all(|control| matches!(control, Control::ExpectPending { .. }))
        {
            return Ok(());
        }
        let time = self.log.time(now);
        let header = self.log.encode(Kind::Commit, time, |out| {
            for (edition, domain, at) in forks {
                record::put_fork(out, edition, domain, Some(*at));
            }
            let mut events = 0u32;
            for (write, outcome) in commit.writes.iter().zip(outcomes) {
                events = events.saturating_add(outcome.count);
                put_write(out, write, *outcome, time);
            }
            if let Some((consumer, position)) = &commit.checkpoint {
                record::put_checkpoint(out, consumer, *position);
            }
            for control in &commit.controls {
                control::put_control(out, control);
            }
            events
        });
        let payload = self.log.payload(&header);
        changes.apply(&self.shared.index, &header, payload, Some(heads))?;
        let (interests, frame) = (&self.shared.interests, header.address);
        interests.note(&commit.writes, frame, header.end(), &mut self.noted);
        for write in commit.writes.iter().filter(|w| !w.settles.is_empty()) {
            if let Some(head) = changes.head(&self.shared.index, &write.key)? {
                self.sequencer.note_head(&write.key, head);
            }
        }
        Ok(())
    }

    /// Writes and syncs what was encoded, then makes it readable.
    ///
    /// A crash before the sync has ended leaves some of the group, in any order, on disk; none of
    /// it was acknowledged, and opening cuts at the first frame that is not whole.
    fn write_group(&mut self, changes: Changes) -> Result<(), (&'static str, Error)> {
        if self.log.group_len() == 0 {
            return Ok(());
        }
        self.log.write().map_err(|e| ("writing the log", e))?;
        if self.durability == Durability::Fsync {
            self.log.sync().map_err(|e| ("syncing the log", e))?;
        }
        self.publish(changes);
        self.sequencer.forget(self.log.end());
        Ok(())
    }

    fn publish(&mut self, changes: Changes) {
        for (matches, frame) in &self.noted {
            matches.set(*frame);
        }
        self.log.show();
        self.shared.settle(self.log.end());
        let deletion = changes.timelines.iter().any(|(_, _, t)| t.deleted);
        if !changes.is_empty() {
            self.shared.index.publish(changes);
        }
        if deletion {
            self.wake_helpers();
        }
        let position = Position::new(self.log.position().get().saturating_sub(1));
        self.shared.readable.send_replace(Readable {
            address: self.log.end(),
            position,
        });
        for (matches, _) in self.noted.drain(..) {
            matches.wake();
        }
    }

    /// Writes an empty frame that says how far the log is synced, if anything was written since
    /// the last one: it is the evidence that tells damage to the last group from a torn write.
    pub(crate) fn mark(&mut self) -> Result<()> {
        if self.shared.poison.check().is_err() || self.marked == self.log.end() {
            return Ok(());
        }
        let result = self.try_mark();
        if let Err(error) = &result {
            self.shared.poison.set("writing the log", error);
        }
        result
    }

    fn try_mark(&mut self) -> Result<()> {
        self.log.sync()?;
        let now = self.clock.now();
        if self.log.roll_for(limits::SEGMENT_MIN / 16, now)? {
            self.rolled();
        }
        self.log.encode(Kind::Mark, now, |_| 0);
        self.log.write()?;
        self.log.sync()?;
        self.marked = self.log.end();
        self.publish(Changes::default());
        Ok(())
    }

    /// Goes on in a new segment, if this one holds anything. Returns the position at which the
    /// ended one began.
    pub(crate) fn seal(&mut self) -> Result<Option<Position>> {
        self.shared.poison.check()?;
        let Some((active, _)) = self.shared.log.segment_at(self.log.end()) else {
            return Ok(None);
        };
        if active.header.base == self.log.end() {
            return Ok(None);
        }
        if let Err(error) = self.log.roll(self.clock.now()) {
            self.shared.poison.set("starting a segment", &error);
            return Err(error);
        }
        self.rolled();
        Ok(Some(active.header.position))
    }

    /// Whether something was written since the last mark frame.
    pub(crate) fn is_restless(&self) -> bool {
        self.marked != self.log.end()
    }

    /// The segment file being written, whichever that is at the time.
    pub(crate) fn active_file(&self) -> ActiveFile {
        self.active.clone()
    }

    /// Has somebody woken now, after each new segment, and after each deletion of a branch.
    pub(crate) fn add_helper(&mut self, waker: Waker) {
        waker.wake();
        self.helpers.push(waker);
    }

    fn rolled(&self) {
        self.active.set(self.log.active_file());
        self.wake_helpers();
    }

    fn wake_helpers(&self) {
        self.helpers.iter().for_each(Waker::wake);
    }
}

fn put_write(out: &mut Vec<u8>, write: &crate::event::Write, outcome: Outcome, time: Timestamp) {
    if !write.pages.is_empty() {
        record::put_pages(out, write, outcome.first, time);
    }
    for settle in &write.settles {
        record::put_settle(out, &write.key, settle.verdict, &settle.sequences);
    }
    if let Some(claim) = &write.claim {
        let range = crate::event::ClaimRange {
            first: outcome.first,
            count: outcome.count,
        };
        record::put_claim(out, &write.key, claim, range);
    }
    if let Some(snapshot) = &write.snapshot {
        record::put_snapshot(out, &write.key, snapshot, time);
    }
}
