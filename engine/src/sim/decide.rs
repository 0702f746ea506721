//! What the model says to a commit.

use angzarr_engine::{
    AggregateKey, Claim, ClaimRange, Commit, Control, Domain, Edition, Expected, Outcome, Sequence,
    Write,
};

use super::model::{Decision, Model, count, wanted};

impl Model {
    /// Decides about a commit by what is stored.
    pub(crate) fn decide(&self, commit: &Commit) -> Decision {
        match self.try_decide(commit) {
            Ok(decision) | Err(decision) => decision,
        }
    }

    fn try_decide(&self, commit: &Commit) -> Result<Decision, Decision> {
        if contradicts_itself(commit) {
            return Err(Decision::Invalid);
        }
        for control in &commit.controls {
            self.check_control(control)?;
        }
        if let Some(outcomes) = self.duplicate(commit)? {
            // There is no answer to half an administrative commit.
            return Err(match commit.controls.is_empty() {
                true => Decision::Duplicate(outcomes),
                false => Decision::Refused,
            });
        }
        let mut forks: Vec<(Edition, Domain, u32)> = Vec::new();
        let mut outcomes = Vec::new();
        for write in &commit.writes {
            forks.extend(self.new_divergence(write)?);
            let given = write.divergence.map(Sequence::get);
            let next = self.next(&write.key, given);
            check_expected(&write.key, write.expected, next)?;
            outcomes.push(number(write, next)?);
        }
        for condition in &commit.conditions {
            let next = self.next(&condition.key, None);
            check_expected(&condition.key, condition.expected, next)?;
        }
        if let Some((consumer, position)) = &commit.checkpoint
            && self
                .checkpoints
                .get(consumer)
                .is_some_and(|at| position < at)
        {
            return Err(Decision::Refused);
        }
        Ok(Decision::Stored { outcomes, forks })
    }

    fn check_control(&self, control: &Control) -> Result<(), Decision> {
        match control {
            Control::Fork {
                edition,
                domain,
                divergence,
            } => {
                let recorded = self.divergence(edition, domain);
                let other = divergence.is_some_and(|at| recorded.is_some_and(|r| r != at.get()));
                if edition.is_main() || other {
                    return Err(Decision::Invalid);
                }
            }
            Control::DeleteEdition { edition, .. } => {
                if edition.is_main() {
                    return Err(Decision::Refused);
                }
            }
            Control::DeleteSnapshot { key, sequence } => {
                let snapshots = self.own(key).map(|own| &own.snapshots);
                let newest = snapshots.and_then(|all| all.keys().next_back());
                let there = snapshots.is_some_and(|all| all.contains_key(&sequence.get()));
                if !there || newest == Some(&sequence.get()) {
                    return Err(Decision::Refused);
                }
            }
            Control::ExpectPending {
                cascade,
                participants,
            } => {
                if self.participants(cascade) != *participants {
                    return Err(Decision::Refused);
                }
            }
        }
        Ok(())
    }

    /// The first delivery's outcomes, if all claims are known.
    fn duplicate(&self, commit: &Commit) -> Result<Option<Vec<Outcome>>, Decision> {
        let claims: Vec<_> = commit
            .writes
            .iter()
            .filter_map(|write| Some((&write.key, write.claim.as_ref()?)))
            .collect();
        let known = claims
            .iter()
            .filter(|(key, claim)| self.claim(key, claim).is_some())
            .count();
        if known == 0 {
            return Ok(None);
        }
        if known < claims.len() {
            return Err(Decision::Refused);
        }
        let outcome = |write: &Write| {
            let next = Sequence::new(self.next(&write.key, None));
            let claim = write.claim.as_ref();
            let range = claim.and_then(|claim| self.claim(&write.key, claim));
            Outcome {
                first: range.map_or(next, |range| range.first),
                count: range.map_or(0, |range| range.count),
                next,
                duplicate: true,
            }
        };
        Ok(Some(commit.writes.iter().map(outcome).collect()))
    }

    pub(crate) fn claim(&self, key: &AggregateKey, claim: &Claim) -> Option<ClaimRange> {
        self.own(key)?.claims.get(claim).copied()
    }

    fn new_divergence(&self, write: &Write) -> Result<Option<(Edition, Domain, u32)>, Decision> {
        let Some(given) = write.divergence.map(Sequence::get) else {
            return Ok(None);
        };
        let key = &write.key;
        if key.edition.is_main() {
            return Err(Decision::Invalid);
        }
        match self.divergence(&key.edition, &key.domain) {
            Some(recorded) if recorded != given => Err(Decision::Invalid),
            Some(_) => Ok(None),
            None if given > self.next(&key.on_main(), None) => Err(Decision::Invalid),
            None => Ok(Some((key.edition.clone(), key.domain.clone(), given))),
        }
    }
}

/// Whether a commit has a branch leave main at two places in one domain.
pub(crate) fn contradicts_itself(commit: &Commit) -> bool {
    let mut places: Vec<(&Edition, &Domain, Sequence)> = Vec::new();
    for write in &commit.writes {
        places.extend(
            write
                .divergence
                .map(|at| (&write.key.edition, &write.key.domain, at)),
        );
    }
    for control in &commit.controls {
        if let Control::Fork {
            edition,
            domain,
            divergence: Some(at),
        } = control
        {
            places.push((edition, domain, *at));
        }
    }
    places.iter().any(|(edition, domain, at)| {
        places
            .iter()
            .any(|other| (*edition, *domain) == (other.0, other.1) && *at != other.2)
    })
}

fn check_expected(key: &AggregateKey, expected: Expected, actual: u32) -> Result<(), Decision> {
    match wanted(expected) {
        Some(expected) if expected != actual => Err(Decision::Conflict {
            key: key.clone(),
            expected,
            actual,
        }),
        _ => Ok(()),
    }
}

fn number(write: &Write, first: u32) -> Result<Outcome, Decision> {
    let pages = count(write.pages.len());
    let next = first + pages;
    if let Some(snapshot) = &write.snapshot {
        let at = snapshot.sequence.get();
        if at >= next || (pages > 0 && at + 1 != next) {
            return Err(Decision::Invalid);
        }
    }
    Ok(Outcome {
        first: Sequence::new(first),
        count: pages,
        next: Sequence::new(next),
        duplicate: false,
    })
}
