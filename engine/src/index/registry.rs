//! The timelines, in memory: every operation begins with one of them.

use std::collections::BTreeMap;

use super::keys::{Timeline, TimelineId};
use crate::log::codec::BadRecord;
use crate::types::{Address, Domain, Edition};

/// Every timeline that was ever written to. About 200 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: Timelines,
    by_id: BTreeMap<TimelineId, (Edition, Domain)>,
}

/// Timelines by edition and domain. Found by borrowed names, as records have them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Timelines(BTreeMap<Edition, BTreeMap<Domain, Timeline>>);

impl Timelines {
    pub(crate) fn get(&self, edition: &str, domain: &str) -> Option<Timeline> {
        self.0.get(edition)?.get(domain).copied()
    }

    pub(crate) fn insert(&mut self, edition: Edition, domain: Domain, timeline: Timeline) {
        self.0.entry(edition).or_default().insert(domain, timeline);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of one edition, by domain.
    pub(crate) fn of(&self, edition: &Edition) -> impl Iterator<Item = (&Domain, &Timeline)> {
        self.0.get(edition).into_iter().flatten()
    }

    /// In the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Edition, &Domain, &Timeline)> {
        self.0.iter().flat_map(|(edition, domains)| {
            domains
                .iter()
                .map(move |(domain, timeline)| (edition, domain, timeline))
        })
    }
}

impl Registry {
    /// The timeline of an edition in a domain, unless it does not exist or was deleted.
    pub(crate) fn get(&self, edition: &Edition, domain: &Domain) -> Option<Timeline> {
        self.known(edition.as_str(), domain.as_str())
            .filter(|timeline| !timeline.deleted)
    }

    /// The same, deleted ones included.
    pub(crate) fn known(&self, edition: &str, domain: &str) -> Option<Timeline> {
        self.by_name.get(edition, domain)
    }

    /// Names of a timeline that was not deleted.
    pub(crate) fn name(&self, id: TimelineId) -> Option<(Edition, Domain)> {
        let (edition, domain) = self.by_id.get(&id)?;
        self.get(edition, domain)
            .filter(|timeline| timeline.id == id)
            .map(|_| (edition.clone(), domain.clone()))
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
            .filter(|(_, _, timeline)| !timeline.deleted)
    }

    /// Those of one edition, by domain.
    pub(crate) fn of(&self, edition: &Edition) -> impl Iterator<Item = (&Domain, &Timeline)> {
        let all = self.by_name.of(edition);
        all.filter(|(_, timeline)| !timeline.deleted)
    }

    /// The number that no timeline has had yet.
    pub(crate) fn next_id(&self) -> TimelineId {
        self.by_id
            .last_key_value()
            .map_or(0, |(id, _)| id.saturating_add(1))
    }

    /// How many timelines were ever deleted.
    pub(crate) fn deletions(&self) -> u32 {
        let alive = self.iter().count();
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

    pub(crate) fn apply(&mut self, timelines: &Timelines) {
        for (edition, domain, timeline) in timelines.iter() {
            self.set(edition.clone(), domain.clone(), *timeline);
        }
    }

    fn set(&mut self, edition: Edition, domain: Domain, timeline: Timeline) {
        self.by_id
            .insert(timeline.id, (edition.clone(), domain.clone()));
        self.by_name.insert(edition, domain, timeline);
    }
}
