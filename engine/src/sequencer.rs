//! Decides whether a commit may be made, and numbers its events. Does no I/O: what it does not
//! know itself, the submitter has read for it.

mod cache;

use std::collections::BTreeMap;

use cache::Cache;

use crate::error::{Error, Result};
use crate::event::{Claim, ClaimRange, Commit, Expected, Outcome, Write};
use crate::index::keys::{Head, Place};
use crate::limits;
use crate::types::{Address, AggregateKey, Consumer, Domain, Edition, Position, Sequence};

/// Where branches leave main, by domain.
pub(crate) type Divergences = BTreeMap<Edition, BTreeMap<Domain, Sequence>>;

/// The newest state of what was written lately, and of all branches and checkpoints.
///
/// Invariant: an aggregate or claim that is in no cache has not changed since `floor`.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    heads: Cache<AggregateKey, Head>,
    claims: Cache<(AggregateKey, Claim), ClaimRange>,
    divergences: Divergences,
    checkpoints: BTreeMap<Consumer, Position>,
    /// What was read from the index before the log reached this address may be out of date.
    floor: Address,
}

/// What a submitter read from the index for its commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// The log was readable up to here before the first of the reads.
    pub(crate) as_of: Address,
    /// For each write, then for each condition. `None`: nothing was read, as the sequencer is
    /// thought to know the aggregates.
    pub(crate) aggregates: Option<Vec<AggregateHint>>,
}

impl Hints {
    fn of(&self, n: usize) -> AggregateHint {
        let aggregates = self.aggregates.as_deref().unwrap_or_default();
        aggregates.get(n).copied().unwrap_or_default()
    }
}

/// What the index says of one aggregate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AggregateHint {
    /// On its own timeline.
    pub(crate) own: Option<Head>,
    /// On main, if its own timeline is another.
    pub(crate) main: Option<Head>,
    /// What the write's claim stands for.
    pub(crate) claim: Option<ClaimRange>,
}

/// A commit that may be made.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// Every claim is known: nothing is to be stored.
    Duplicate(Vec<Outcome>),
    /// To be stored.
    New(New),
}

/// How a commit is to be stored.
#[derive(Debug)]
pub(crate) struct New {
    /// For each write, the sequences of its events.
    pub(crate) outcomes: Vec<Outcome>,
    /// Branches whose divergence is recorded with it.
    pub(crate) forks: Vec<(Edition, Domain, Sequence)>,
    /// For each write with events, the aggregate's head before.
    pub(crate) heads: Vec<Option<Head>>,
}

impl Sequencer {
    /// A sequencer that knows every recorded divergence and checkpoint.
    pub(crate) fn new(divergences: Divergences, checkpoints: BTreeMap<Consumer, Position>) -> Self {
        Self {
            divergences,
            checkpoints,
            ..Self::default()
        }
    }

    /// Whether these hints are all that is needed for a commit.
    pub(crate) fn accepts(&self, commit: &Commit, hints: &Hints) -> bool {
        match hints.aggregates {
            Some(_) => hints.as_of >= self.floor,
            None => {
                let conditions = commit.conditions.iter().map(|condition| &condition.key);
                let mut keys = commit.writes.iter().map(|w| &w.key).chain(conditions);
                keys.all(|key| key.edition.is_main() && self.heads.get(key).is_some())
                    && commit.writes.iter().all(|write| write.claim.is_none())
            }
        }
    }

    /// Decides about a commit that would be stored at `frame`. When it is admitted, its effects
    /// count for the next one.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Invalid`] or [`Error::Refused`]; nothing has changed then.
    pub(crate) fn admit(
        &mut self,
        commit: &Commit,
        hints: &Hints,
        frame: Address,
    ) -> Result<Admitted> {
        assert!(
            self.accepts(commit, hints),
            "what is stale or missing is read before admission"
        );
        if let Some(outcomes) = self.duplicate(commit, hints)? {
            return Ok(Admitted::Duplicate(outcomes));
        }
        let mut forks = Vec::new();
        let mut outcomes = Vec::with_capacity(commit.writes.len());
        for (n, write) in commit.writes.iter().enumerate() {
            let state = self.state(&write.key, hints.of(n), write.divergence)?;
            forks.extend(state.new_divergence);
            check_expected(&write.key, write.expected, state.next)?;
            outcomes.push(number(write, state.next)?);
        }
        for (n, condition) in commit.conditions.iter().enumerate() {
            let state = self.state(&condition.key, hints.of(commit.writes.len() + n), None)?;
            check_expected(&condition.key, condition.expected, state.next)?;
        }
        if let Some((consumer, position)) = &commit.checkpoint {
            self.check_checkpoint(consumer, *position)?;
        }
        let heads = self.remember(commit, hints, frame, &outcomes, &forks);
        Ok(Admitted::New(New {
            outcomes,
            forks,
            heads,
        }))
    }

    /// Called between groups, when everything admitted so far is readable in the index.
    /// `readable` is how far that is.
    pub(crate) fn forget(&mut self, readable: Address) {
        if self.heads.is_full(limits::HEADS_CACHED) || self.claims.is_full(limits::CLAIMS_CACHED) {
            self.heads.rotate();
            self.claims.rotate();
            // The entries that went were last touched before the rotation before this one; any
            // later bound is a safe one.
            self.floor = readable;
        }
    }

    /// Called between groups after an edition was deleted.
    pub(crate) fn forget_edition(
        &mut self,
        edition: &Edition,
        domain: Option<&Domain>,
        readable: Address,
    ) {
        let meant = |e: &Edition, d: &Domain| e == edition && domain.is_none_or(|of| of == d);
        self.heads.retain(|key| !meant(&key.edition, &key.domain));
        self.claims
            .retain(|(key, _)| !meant(&key.edition, &key.domain));
        if let Some(domains) = self.divergences.get_mut(edition) {
            domains.retain(|of, _| !meant(edition, of));
        }
        self.floor = readable;
    }

    /// The divergence recorded for a branch in a domain.
    pub(crate) fn divergence(&self, edition: &Edition, domain: &Domain) -> Option<Sequence> {
        self.divergences.get(edition)?.get(domain).copied()
    }

    /// Notes what settling events has made of their aggregate.
    pub(crate) fn note_head(&mut self, key: &AggregateKey, head: Head) {
        self.heads.set(key, head);
    }

    /// Notes a divergence that has been recorded.
    pub(crate) fn set_divergence(&mut self, edition: Edition, domain: Domain, at: Sequence) {
        self.divergences
            .entry(edition)
            .or_default()
            .insert(domain, at);
    }

    /// The outcomes of the first deliveries, if the claims of the commit are known. A write
    /// without a claim of its own was delivered with the others.
    fn duplicate(&self, commit: &Commit, hints: &Hints) -> Result<Option<Vec<Outcome>>> {
        if commit.writes.iter().all(|write| write.claim.is_none()) {
            return Ok(None);
        }
        let mut outcomes = Vec::with_capacity(commit.writes.len());
        let (mut known, mut unknown) = (0, 0);
        for (n, write) in commit.writes.iter().enumerate() {
            let hint = hints.of(n);
            let next = self.state(&write.key, hint, None)?.next;
            let claim = write.claim.as_ref().map(|claim| {
                self.claims
                    .get(&(write.key.clone(), claim.clone()))
                    .or(hint.claim)
            });
            match claim {
                None => {}
                Some(None) => unknown += 1,
                Some(Some(_)) => known += 1,
            }
            let range = claim.flatten().unwrap_or(ClaimRange {
                first: next,
                count: 0,
            });
            outcomes.push(Outcome {
                first: range.first,
                count: range.count,
                next,
                duplicate: true,
            });
        }
        if known > 0 && unknown > 0 {
            return Err(Error::Refused(
                "some of the commit's claims are already known and others are not: the first \
                 delivery was a different commit"
                    .to_owned(),
            ));
        }
        Ok((known > 0).then_some(outcomes))
    }

    fn state(
        &self,
        key: &AggregateKey,
        hint: AggregateHint,
        divergence: Option<Sequence>,
    ) -> Result<State> {
        let own = self.heads.get(key).or(hint.own);
        if key.edition.is_main() {
            if divergence.is_some() {
                return Err(Error::invalid("the main timeline has no divergence"));
            }
            let next = own.map_or(Sequence::ZERO, |head| head.next);
            return Ok(State {
                next,
                new_divergence: None,
            });
        }
        let recorded = self.divergence(&key.edition, &key.domain);
        if let (Some(given), Some(recorded)) = (divergence, recorded)
            && given != recorded
        {
            return Err(Error::invalid(format!(
                "edition {} leaves main at {recorded} in domain {}, not at {given}",
                key.edition, key.domain
            )));
        }
        let main = self.heads.get(&key.on_main()).or(hint.main);
        let main_next = main.map_or(Sequence::ZERO, |head| head.next);
        let new = divergence.filter(|_| recorded.is_none());
        if new.is_some_and(|new| new > main_next) {
            return Err(Error::invalid(format!(
                "divergence {} of edition {} is beyond the next sequence {main_next} of {}",
                new.unwrap_or_default(),
                key.edition,
                key.on_main()
            )));
        }
        let next = match own {
            Some(own) => own.next,
            None => divergence
                .or(recorded)
                .map_or(main_next, |d| d.min(main_next)),
        };
        let new_divergence = new.map(|d| (key.edition.clone(), key.domain.clone(), d));
        Ok(State {
            next,
            new_divergence,
        })
    }

    fn check_checkpoint(&self, consumer: &Consumer, position: Position) -> Result<()> {
        match self.checkpoints.get(consumer) {
            Some(&stored) if position < stored => Err(Error::Refused(format!(
                "the checkpoint of {consumer} is at position {stored} and cannot go back to \
                 {position}"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the heads that the aggregates with new events had.
    fn remember(
        &mut self,
        commit: &Commit,
        hints: &Hints,
        frame: Address,
        outcomes: &[Outcome],
        forks: &[(Edition, Domain, Sequence)],
    ) -> Vec<Option<Head>> {
        let mut heads = Vec::with_capacity(commit.writes.len());
        for (n, (write, outcome)) in commit.writes.iter().zip(outcomes).enumerate() {
            let key = &write.key;
            let at = |sequence| Place { sequence, frame };
            let mut head = self.heads.get(key).or(hints.of(n).own);
            let known = head;
            if outcome.count > 0 {
                heads.push(head);
                let pending = write.cascade.is_some();
                head = Some(Head::appended(
                    head,
                    at(outcome.first),
                    outcome.next,
                    pending,
                ));
            }
            if let Some(snapshot) = &write.snapshot {
                head = head.map(|head| head.with_snapshot(at(snapshot.sequence)));
            }
            if let Some(head) = head.filter(|_| head != known) {
                self.heads.set(key, head);
            }
            if let Some(claim) = &write.claim {
                let range = ClaimRange {
                    first: outcome.first,
                    count: outcome.count,
                };
                self.claims.set(&(key.clone(), claim.clone()), range);
            }
        }
        for (edition, domain, at) in forks {
            self.set_divergence(edition.clone(), domain.clone(), *at);
        }
        if let Some((consumer, position)) = &commit.checkpoint {
            self.checkpoints.insert(consumer.clone(), *position);
        }
        heads
    }
}

/// What the sequencer makes of an aggregate.
struct State {
    next: Sequence,
    new_divergence: Option<(Edition, Domain, Sequence)>,
}

fn check_expected(key: &AggregateKey, expected: Expected, next: Sequence) -> Result<()> {
    let expected = match expected {
        Expected::Any => return Ok(()),
        Expected::NoEvents => Sequence::ZERO,
        Expected::Next(expected) => expected,
    };
    if expected == next {
        return Ok(());
    }
    Err(Error::Conflict {
        key: key.clone(),
        expected,
        actual: next,
    })
}

fn number(write: &Write, first: Sequence) -> Result<Outcome> {
    let count = u32::try_from(write.pages.len()).unwrap_or(u32::MAX);
    let next = first.plus(count).ok_or_else(|| {
        Error::invalid(format!(
            "{} has no sequence left: the last is {}",
            write.key,
            u32::MAX
        ))
    })?;
    if let Some(snapshot) = &write.snapshot {
        // A snapshot that comes with pages is of the state after them, or it would be another's.
        let is_last = snapshot.sequence.plus(1) == Some(next);
        if snapshot.sequence >= next || (count > 0 && !is_last) {
            return Err(Error::invalid(format!(
                "snapshot.sequence is {}, but the next sequence of {} after this is {next}: a \
                 snapshot stored with pages is of the last of them",
                snapshot.sequence, write.key
            )));
        }
    }
    Ok(Outcome {
        first,
        count,
        next,
        duplicate: false,
    })
}

#[cfg(test)]
mod tests;
