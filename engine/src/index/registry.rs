//! The timelines, in memory: every operation begins with one of them.

use std::collections::BTreeMap;

use super::keys::{Timeline, TimelineId};
use crate::log::codec::BadRecord;
use crate::types::{Address, Domain, Edition};

/// Every timeline that was ever written to. About 200 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: BTreeMap<(Edition, Domain), Timeline>,
    by_id: BTreeMap<TimelineId, (Edition, Domain)>,
}

impl Registry {
    /// The timeline of an edition in a domain, unless it does not exist or was deleted.
    pub(crate) fn get(&self, edition: &Edition, domain: &Domain) -> Option<Timeline> {
        self.known(edition, domain)
            .filter(|timeline| !timeline.deleted)
    }

    /// The same, deleted ones included.
    pub(crate) fn known(&self, edition: &Edition, domain: &Domain) -> Option<Timeline> {
        self.by_name
            .get(&(edition.clone(), domain.clone()))
            .copied()
    }

    /// Names of a timeline that was not deleted.
    pub(crate) fn name(&self, id: TimelineId) -> Option<(Edition, Domain)> {
        let name = self.by_id.get(&id)?;
        self.by_name
            .get(name)
            .filter(|t| t.id == id && !t.deleted)
            .map(|_| name.clone())
    }

    /// Names of a timeline, of a deleted one too.
    pub(crate) fn known_name(&self, id: TimelineId) -> Option<(Edition, Domain)> {
        self.by_id.get(&id).cloned()
    }

    /// Whether a record that stands at an address is part of the timeline as it is now.
    pub(crate) fn holds(&self, edition: &Edition, domain: &Domain, address: Address) -> bool {
        self.get(edition, domain)
            .is_some_and(|timeline| timeline.since <= address)
    }

    /// Every timeline that was not deleted, by edition and domain.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Edition, &Domain, &Timeline)> {
        self.by_name
            .iter()
            .filter(|(_, timeline)| !timeline.deleted)
            .map(|((edition, domain), timeline)| (edition, domain, timeline))
    }

    /// The number that no timeline has had yet.
    pub(crate) fn next_id(&self) -> TimelineId {
        self.by_id
            .last_key_value()
            .map_or(0, |(id, _)| id.saturating_add(1))
    }

    /// How many timelines were ever deleted.
    pub(crate) fn deletions(&self) -> u32 {
        let alive = self.by_name.values().filter(|t| !t.deleted).count();
        u32::try_from(self.by_id.len() - alive.min(self.by_id.len())).unwrap_or(u32::MAX)
    }

    pub(crate) fn load(
        &mut self,
        edition: &str,
        domain: &str,
        timeline: Timeline,
    ) -> Result<(), BadRecord> {
        let edition = Edition::new(edition).map_err(|_| BadRecord("an edition is malformed"))?;
        let domain = Domain::new(domain).map_err(|_| BadRecord("a domain is malformed"))?;
        self.set(edition, domain, timeline);
        Ok(())
    }

    pub(crate) fn apply(&mut self, timelines: BTreeMap<(Edition, Domain), Timeline>) {
        for ((edition, domain), timeline) in timelines {
            self.set(edition, domain, timeline);
        }
    }

    fn set(&mut self, edition: Edition, domain: Domain, timeline: Timeline) {
        self.by_id
            .insert(timeline.id, (edition.clone(), domain.clone()));
        self.by_name.insert((edition, domain), timeline);
    }
}
