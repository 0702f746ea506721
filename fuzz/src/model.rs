//! What a store should be: plain maps.

use std::collections::BTreeMap;

use angzarr_engine::{AggregateKey, Domain, Edition, Sequence};

use crate::ops::Kept;

/// Everything that was acknowledged.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) events: BTreeMap<AggregateKey, Vec<Event>>,
    /// Sequence of the first own event of a branch's aggregate.
    pub(crate) bases: BTreeMap<AggregateKey, u32>,
    pub(crate) divergences: BTreeMap<(Edition, Domain), u32>,
    pub(crate) claims: BTreeMap<(AggregateKey, u8), (u32, u32)>,
    pub(crate) snapshots: BTreeMap<AggregateKey, BTreeMap<u32, (Vec<u8>, Kept)>>,
    pub(crate) checkpoint: u64,
    /// In global order, events of deleted branches left out.
    pub(crate) log: Vec<(AggregateKey, u32, Vec<u8>)>,
    /// Events ever written.
    pub(crate) written: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) body: Vec<u8>,
    pub(crate) cascade: Option<u8>,
    pub(crate) confirmed: bool,
    pub(crate) revoked: bool,
}

impl Model {
    fn own(&self, key: &AggregateKey) -> &[Event] {
        self.events.get(key).map_or(&[], Vec::as_slice)
    }

    /// Sequence of the aggregate's first event on its own timeline.
    pub(crate) fn base(&self, key: &AggregateKey) -> u32 {
        if key.edition.is_main() {
            return 0;
        }
        let main = u32::try_from(self.own(&key.on_main()).len()).expect("few");
        let name = (key.edition.clone(), key.domain.clone());
        let recorded = self.divergences.get(&name).copied();
        let base = self.bases.get(key).copied();
        base.or(recorded).unwrap_or(main).min(main)
    }

    pub(crate) fn next(&self, key: &AggregateKey) -> u32 {
        self.base(key) + u32::try_from(self.own(key).len()).expect("few")
    }

    /// Everything a reader of the timeline sees.
    pub(crate) fn visible(&self, key: &AggregateKey) -> Vec<Event> {
        let inherited = self.base(key) as usize;
        let mut events = self.own(&key.on_main())[..inherited].to_vec();
        events.extend_from_slice(self.own(key));
        events
    }

    pub(crate) fn append(&mut self, key: &AggregateKey, bodies: Vec<Vec<u8>>, cascade: Option<u8>) {
        if bodies.is_empty() {
            return;
        }
        let first = self.next(key);
        if !key.edition.is_main() && self.own(key).is_empty() {
            self.bases.insert(key.clone(), first);
        }
        for (n, body) in (first..).zip(bodies) {
            self.written += 1;
            self.log.push((key.clone(), n, body.clone()));
            self.events.entry(key.clone()).or_default().push(Event {
                body,
                cascade,
                confirmed: false,
                revoked: false,
            });
        }
    }

    pub(crate) fn put_snapshot(&mut self, key: &AggregateKey, at: u32, state: Vec<u8>, kept: Kept) {
        let snapshots = self.snapshots.entry(key.clone()).or_default();
        snapshots.retain(|&other, (_, kept)| other >= at || *kept == Kept::Persist);
        snapshots.insert(at, (state, kept));
    }

    /// Removes a branch, in one domain or all; returns how many events that were.
    pub(crate) fn delete(&mut self, edition: &Edition, domain: Option<&Domain>) -> u64 {
        let meant = |e: &Edition, d: &Domain| e == edition && domain.is_none_or(|of| of == d);
        let gone = |key: &AggregateKey| meant(&key.edition, &key.domain);
        let own = self.events.iter().filter(|(key, _)| gone(key));
        let deleted = own.map(|(_, events)| events.len() as u64).sum();
        self.events.retain(|key, _| !gone(key));
        self.bases.retain(|key, _| !gone(key));
        self.snapshots.retain(|key, _| !gone(key));
        self.claims.retain(|(key, _), _| !gone(key));
        self.divergences.retain(|(e, d), _| !meant(e, d));
        self.log.retain(|(key, _, _)| !gone(key));
        deleted
    }

    /// Pending events of a cascade, by aggregate.
    pub(crate) fn pending(&self, cascade: u8) -> Vec<(AggregateKey, Vec<Sequence>)> {
        let mut found = Vec::new();
        for (key, events) in &self.events {
            let pending: Vec<_> = (self.base(key)..)
                .zip(events)
                .filter(|(_, e)| e.cascade == Some(cascade) && !e.confirmed && !e.revoked)
                .map(|(n, _)| Sequence::new(n))
                .collect();
            if !pending.is_empty() {
                found.push((key.clone(), pending));
            }
        }
        found
    }

    pub(crate) fn settle(&mut self, key: &AggregateKey, sequences: &[Sequence], confirm: bool) {
        let base = self.base(key);
        let Some(events) = self.events.get_mut(key) else {
            return;
        };
        for sequence in sequences {
            let event = &mut events[(sequence.get() - base) as usize];
            event.confirmed |= confirm;
            event.revoked |= !confirm;
        }
    }
}
