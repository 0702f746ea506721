//! Administrative commits. Each runs between two groups, when all that was admitted before is in
//! the index, and may therefore read it.

use super::*;
use crate::index::keys::{self, cascade};
use crate::index::{AggregateId, Direction, Family, Index, Range, damaged};
use crate::sequencer::Divergences;
use crate::types::{AggregateKey, Consumer};
use std::collections::BTreeMap;

/// A sequencer that knows what the index knows of branches and checkpoints.
pub(super) fn load_sequencer(index: &Index) -> Result<Sequencer> {
    let mut divergences = Divergences::new();
    for (edition, domain, timeline) in index.registry().iter() {
        if let Some(at) = timeline.divergence {
            let domains = divergences.entry(edition.clone()).or_default();
            domains.insert(domain.clone(), at);
        }
    }
    let mut checkpoints = BTreeMap::new();
    for (key, value) in load(index, Family::Checkpoints)? {
        let name = std::str::from_utf8(&key).unwrap_or_default();
        let position = Position::new(keys::parse_number(&value).map_err(damaged)?);
        checkpoints.insert(Consumer::new(name)?, position);
    }
    Ok(Sequencer::new(divergences, checkpoints))
}

fn load(index: &Index, family: Family) -> Result<Vec<crate::index::Entry>> {
    index.scan(&Range::prefix(family, &[]), Direction::Forwards, usize::MAX)
}

impl Core {
    /// Makes an administrative commit. Its writes, if any, are admitted like any other's.
    pub(super) fn control(
        &mut self,
        commit: &Commit,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Committed> {
        for control in &commit.controls {
            self.check(control)?;
        }
        let plain = Commit {
            controls: Vec::new(),
            ..commit.clone()
        };
        let hints = self.shared.read_hints(&plain)?;
        let Admitted::New(admitted) = self.sequencer.admit(&plain, &hints, self.log.end())? else {
            return Err(Error::Refused(
                "an administrative commit has no claims".to_owned(),
            ));
        };
        self.encode(commit, &admitted, now, changes)?;
        for control in &commit.controls {
            self.apply_control(control);
        }
        let mut result = self.committed(admitted.outcomes, now);
        result.deleted = changes.deleted;
        Ok(result)
    }

    fn check(&self, control: &Control) -> Result<()> {
        match control {
            Control::Fork {
                edition,
                domain,
                divergence,
            } => self.check_fork(edition, domain, *divergence),
            Control::DeleteEdition { edition, .. } => {
                if edition.is_main() {
                    return Err(Error::Refused(
                        "the main timeline cannot be deleted".to_owned(),
                    ));
                }
                Ok(())
            }
            Control::DeleteSnapshot { key, sequence } => self.check_snapshot(key, *sequence),
            Control::ExpectPending {
                cascade,
                participants,
            } => {
                if self.shared.index.participants(cascade)? != *participants {
                    return Err(Error::Refused(format!(
                        "cascade {cascade} got another pending event meanwhile; try again"
                    )));
                }
                Ok(())
            }
        }
    }

    fn check_fork(
        &self,
        edition: &Edition,
        domain: &Domain,
        divergence: Option<Sequence>,
    ) -> Result<()> {
        if edition.is_main() {
            return Err(Error::invalid(
                "edition.name must name a branch, not the main timeline",
            ));
        }
        match (self.sequencer.divergence(edition, domain), divergence) {
            (Some(recorded), Some(given)) if recorded != given => Err(Error::invalid(format!(
                "edition {edition} already leaves main at {recorded} in domain {domain}, not at \
                 {given}"
            ))),
            _ => Ok(()),
        }
    }

    fn check_snapshot(&self, key: &AggregateKey, sequence: Sequence) -> Result<()> {
        let Some(id) = self.shared.index.id(key) else {
            return Err(no_snapshot(key, sequence));
        };
        let all = Range::prefix(Family::Snapshots, &id.key());
        let newest = self.shared.index.scan(&all, Direction::Backwards, 1)?;
        if newest
            .first()
            .is_some_and(|(found, _)| *found == id.at(sequence))
        {
            return Err(Error::Refused(format!(
                "the snapshot at {sequence} is the newest of {key} and is kept"
            )));
        }
        if self
            .shared
            .index
            .get(Family::Snapshots, &id.at(sequence))?
            .is_none()
        {
            return Err(no_snapshot(key, sequence));
        }
        Ok(())
    }

    /// Notes what was encoded.
    fn apply_control(&mut self, control: &Control) {
        match control {
            Control::Fork {
                edition,
                domain,
                divergence: Some(at),
            } => {
                self.sequencer
                    .set_divergence(edition.clone(), domain.clone(), *at);
            }
            Control::DeleteEdition { edition, domain } => {
                // Hints read before this commit is readable still show the deleted events.
                self.sequencer
                    .forget_edition(edition, domain.as_ref(), self.log.end());
            }
            Control::Fork { .. }
            | Control::DeleteSnapshot { .. }
            | Control::ExpectPending { .. } => {}
        }
    }
}

pub(super) fn put_control(out: &mut Vec<u8>, control: &Control) {
    match control {
        Control::Fork {
            edition,
            domain,
            divergence,
        } => record::put_fork(out, edition, domain, *divergence),
        Control::DeleteEdition { edition, domain } => {
            record::put_delete_edition(out, edition, domain.as_ref());
        }
        Control::DeleteSnapshot { key, sequence } => {
            record::put_delete_snapshot(out, key, *sequence);
        }
        Control::ExpectPending { .. } => {}
    }
}

fn no_snapshot(key: &AggregateKey, sequence: Sequence) -> Error {
    Error::Refused(format!("{key} has no snapshot at {sequence}"))
}

impl Index {
    /// The pending events of a cascade, by aggregate in key order.
    pub(crate) fn participants(
        &self,
        id: &CascadeId,
    ) -> Result<Vec<(AggregateKey, Vec<Sequence>)>> {
        let mut found: BTreeMap<AggregateId, Vec<Sequence>> = BTreeMap::new();
        let pending = Range::prefix(Family::Cascades, &cascade::participants(id.as_str()));
        self.for_each(&pending, |key, _| {
            let (aggregate, sequence) = cascade::parse_participant(key)?;
            found.entry(aggregate).or_default().push(sequence);
            Ok(())
        })?;
        let registry = self.registry();
        let mut named: Vec<_> = found
            .into_iter()
            .filter_map(|(id, sequences)| {
                let (edition, domain) = registry.name(id.timeline)?;
                Some((
                    AggregateKey {
                        domain,
                        edition,
                        root: id.root,
                    },
                    sequences,
                ))
            })
            .collect();
        named.sort();
        Ok(named)
    }
}
