//! Which readers at the end of the log are to be woken for what: the writer compares each commit
//! with their filters once, so that a thousand readers of single aggregates cost it a look-up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::Write;
use crate::subscribe::{About, Filter};
use crate::types::{Address, Domain, Root};

/// Every reader that waits for something narrower than everything.
#[derive(Debug, Default)]
pub(crate) struct Interests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Frames below this were compared with those who were here at the time.
    compared: Address,
    last_id: u64,
    readers: BTreeMap<u64, (Filter, Arc<Matches>)>,
    /// Each reader is in one of these: by its roots, by its domains, or under neither.
    by_root: BTreeMap<Root, Vec<u64>>,
    by_domain: BTreeMap<Domain, Vec<u64>>,
    others: Vec<u64>,
}

/// What was found for a reader and not taken by it yet.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    found: Mutex<Option<Found>>,
    wake: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    first: Address,
    last: Address,
}

/// A reader's place among the others, given up when it is dropped.
pub(crate) struct Interest {
    interests: Arc<Interests>,
    id: u64,
    matches: Arc<Matches>,
    /// Frames below this the reader has to look at itself.
    pub(crate) from: Address,
}

impl Interests {
    /// Enters a reader.
    pub(crate) fn enter(self: &Arc<Self>, filter: Filter) -> Interest {
        let matches = Arc::new(Matches::default());
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.enter(id, &filter);
        state.readers.insert(id, (filter, matches.clone()));
        Interest {
            interests: self.clone(),
            id,
            matches,
            from: state.compared,
        }
    }

    /// Adds to `noted` those for whom there is something in a commit, which is not readable yet.
    pub(crate) fn note(
        &self,
        writes: &[Write],
        frame: Address,
        end: Address,
        noted: &mut Vec<(Arc<Matches>, Address)>,
    ) {
        let mut state = self.lock();
        state.compared = end;
        if state.readers.is_empty() {
            return;
        }
        for write in writes.iter().filter(|write| !write.pages.is_empty()) {
            let by_root = state.by_root.get(&write.key.root);
            let by_domain = state.by_domain.get(&write.key.domain);
            let lists = [by_root, by_domain, Some(&state.others)];
            for id in lists.into_iter().flatten().flatten() {
                if let Some((filter, matches)) = state.readers.get(id)
                    && filter.wants(&About::of(write))
                {
                    noted.push((matches.clone(), frame));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, id: u64, filter: &Filter) {
        if !filter.roots.is_empty() {
            for root in &filter.roots {
                self.by_root.entry(*root).or_default().push(id);
            }
        } else if !filter.domains.is_empty() {
            for domain in &filter.domains {
                self.by_domain.entry(domain.clone()).or_default().push(id);
            }
        } else {
            self.others.push(id);
        }
    }

    fn leave(&mut self, id: u64) {
        let Some((filter, _)) = self.readers.remove(&id) else {
            return;
        };
        for root in &filter.roots {
            leave(&mut self.by_root, root, id);
        }
        for domain in &filter.domains {
            leave(&mut self.by_domain, domain, id);
        }
        self.others.retain(|other| *other != id);
    }
}

fn leave<K: Ord>(lists: &mut BTreeMap<K, Vec<u64>>, key: &K, id: u64) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| *other != id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

impl Matches {
    /// To be called before the frame becomes readable, so that who sees that it is readable sees
    /// this too.
    pub(crate) fn set(&self, frame: Address) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let first = found.map_or(frame, |found| found.first.min(frame));
        *found = Some(Found { first, last: frame });
    }

    /// To be called when it has become readable.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Interest {
    /// The first frame below `readable` with something for the reader, which then reads on from
    /// there to `readable` at least.
    pub(crate) fn take(&self, readable: Address) -> Option<Address> {
        let mut found = self
            .matches
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Found { first, last } = found.filter(|found| found.first < readable)?;
        // Of those not readable yet only the last is known; none is before `readable`.
        *found = (last >= readable).then_some(Found {
            first: readable,
            last,
        });
        Some(first)
    }

    /// Resolves when there may be something to take.
    pub(crate) async fn woken(&self) {
        self.matches.wake.notified().await;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.interests.lock().leave(self.id);
    }
}
