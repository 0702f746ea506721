//! What the streams of dead letters add up to.

use std::collections::{BTreeMap, BTreeSet};

use angzarr_proto::admin::v1::{DeadLetterDeleted, DeadLetterReplayed};
use angzarr_proto::v1::{Cover, EventPage, Uuid, event_page, page_header};
use prost::Message;

use crate::framework;

/// Domain whose one aggregate numbers the domains of dead letters.
const NUMBERS: &str = "angzarr.dlq";

/// Dead letters of a domain are the events of one aggregate.
pub(super) const PREFIX: &str = "angzarr.dlq.";
const ROOT: [u8; 16] = [0; 16];

pub(super) const PACKAGE: &str = "angzarr.admin.v1.";

/// A letter's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: i64,
    /// The domain whose letter it is.
    pub(super) domain: String,
    /// In the stream of its domain.
    pub(super) sequence: u32,
}

impl Place {
    pub(super) fn cover(&self) -> Cover {
        stream_of(&self.domain)
    }
}

/// What became of a letter that was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Replayed,
}

/// Orders letters by age, those of one instant by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    nanos: i64,
    pub(super) id: i64,
}

impl Key {
    pub(super) fn token(self) -> String {
        format!("{}-{}", self.nanos, self.id)
    }

    pub(super) fn from_token(token: &str) -> Option<Self> {
        let (nanos, id) = token.rsplit_once('-')?;
        Some(Self {
            nanos: nanos.parse().ok()?,
            id: id.parse().ok()?,
        })
    }
}

#[derive(Default)]
pub(super) struct Folded {
    /// In the order of their numbers, which begin with 1.
    pub(super) domains: Vec<Domain>,
    pub(super) by_age: BTreeSet<Key>,
}

pub(super) struct Domain {
    pub(super) name: String,
    pub(super) next: u32,
    letters: BTreeMap<u32, (i64, State)>,
    pub(super) deleted: BTreeSet<u32>,
}

impl Folded {
    pub(super) fn place(&self, id: i64) -> Option<(Place, State)> {
        let (domain, sequence) = self.locate(id)?;
        let (_, state) = domain.letters.get(&sequence)?;
        let place = Place {
            id,
            domain: domain.name.clone(),
            sequence,
        };
        Some((place, *state))
    }

    /// Domain and sequence of an id.
    pub(super) fn locate(&self, id: i64) -> Option<(&Domain, u32)> {
        let number = usize::try_from(id >> 32).ok()?.checked_sub(1)?;
        let sequence = u32::try_from(id & i64::from(u32::MAX)).ok()?;
        Some((self.domains.get(number)?, sequence))
    }

    /// Takes in one page of a domain's stream. One that is none of ours changes nothing.
    pub(super) fn take(&mut self, number: usize, page: &EventPage) {
        let Some(event_page::Payload::Event(any)) = &page.payload else {
            return;
        };
        let Some(domain) = self.domains.get_mut(number) else {
            return;
        };
        if framework::name(&any.type_url) == Some("AngzarrDeadLetter") {
            let (sequence, nanos) = (sequence(page), nanos(page));
            domain.letters.insert(sequence, (nanos, State::Open));
            let id = id_of(number, sequence);
            self.by_age.insert(Key { nanos, id });
            return;
        }
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        match name.strip_prefix(PACKAGE) {
            Some("DeadLetterReplayed") => {
                let replayed = event::<DeadLetterReplayed>(page);
                let letter = replayed.and_then(|event| domain.letters.get_mut(&event.sequence));
                if let Some((_, state)) = letter {
                    *state = State::Replayed;
                }
            }
            Some("DeadLetterDeleted") => {
                let Some(DeadLetterDeleted { sequence, .. }) = event(page) else {
                    return;
                };
                if let Some((nanos, _)) = domain.letters.remove(&sequence) {
                    domain.deleted.insert(sequence);
                    let id = id_of(number, sequence);
                    self.by_age.remove(&Key { nanos, id });
                }
            }
            _ => {}
        }
    }
}

impl Domain {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            next: 0,
            letters: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }
}

/// Number of the domain, from 1, before the sequence in its stream.
fn id_of(number: usize, sequence: u32) -> i64 {
    let number = i64::try_from(number).unwrap_or(i64::MAX >> 33);
    (number.saturating_add(1) << 32) | i64::from(sequence)
}

pub(super) fn stream_of(domain: &str) -> Cover {
    main(format!("{PREFIX}{domain}"))
}

pub(super) fn numbers() -> Cover {
    main(NUMBERS.to_owned())
}

fn main(domain: String) -> Cover {
    Cover {
        domain,
        root: Some(Uuid {
            value: ROOT.to_vec(),
        }),
        ..Cover::default()
    }
}

pub(super) fn sequence(page: &EventPage) -> u32 {
    let header = page.header.as_ref();
    match header.and_then(|header| header.sequence_type.as_ref()) {
        Some(page_header::SequenceType::Sequence(sequence)) => *sequence,
        _ => 0,
    }
}

fn nanos(page: &EventPage) -> i64 {
    let time = page.created_at.unwrap_or_default();
    time.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(time.nanos))
}

pub(super) fn event<M: Message + Default>(page: &EventPage) -> Option<M> {
    let Some(event_page::Payload::Event(any)) = &page.payload else {
        return None;
    };
    M::decode(any.value.as_slice()).ok()
}
