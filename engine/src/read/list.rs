//! Domains, editions, aggregates, cascades and checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::error::Result;
use crate::index::keys::{self, Head, Timeline, cascade, correlation};
use crate::index::{AggregateId, Direction, Family, Range, damaged};
use crate::types::{
    AggregateKey, CascadeId, Consumer, CorrelationId, Domain, Edition, Position, Root, Sequence,
    Timestamp,
};

/// Part of a list, and whether there is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// In key order.
    pub items: Vec<T>,
    /// Whether the list goes on behind the last item.
    pub more: bool,
}

/// A branch in one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditionDomain {
    /// The domain.
    pub domain: Domain,
    /// Where it leaves main, if that is recorded.
    pub divergence: Option<Sequence>,
    /// Events of its own.
    pub events: u64,
}

impl EditionDomain {
    fn of(domain: &Domain, timeline: &Timeline) -> Self {
        Self {
            domain: domain.clone(),
            divergence: timeline.divergence,
            events: timeline.events,
        }
    }
}

impl Engine {
    /// Domains that were ever written to, in name order.
    #[must_use]
    pub fn domains(&self) -> Vec<Domain> {
        let registry = self.shared.index.registry();
        let names: BTreeSet<_> = registry
            .iter()
            .map(|(_, domain, _)| domain.clone())
            .collect();
        names.into_iter().collect()
    }

    /// Branches with the domains they touch, in name order.
    #[must_use]
    pub fn editions(&self) -> BTreeMap<Edition, Vec<EditionDomain>> {
        let mut editions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (edition, domain, timeline) in self.shared.index.registry().iter() {
            if !edition.is_main() {
                editions
                    .entry(edition.clone())
                    .or_default()
                    .push(EditionDomain::of(domain, timeline));
            }
        }
        editions
    }

    /// The domains that one branch touches, in name order.
    #[must_use]
    pub fn edition(&self, edition: &Edition) -> Vec<EditionDomain> {
        let registry = self.shared.index.registry();
        let domains = registry.of(edition);
        domains
            .map(|(domain, timeline)| EditionDomain::of(domain, timeline))
            .collect()
    }

    /// Aggregates with events of their own on a timeline, with their next sequence, in root order
    /// behind `after`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn aggregates(
        &self,
        domain: &Domain,
        edition: &Edition,
        after: Option<Root>,
        limit: usize,
    ) -> Result<Listed<(Root, Sequence)>> {
        let index = &self.shared.index;
        let mut listed = Listed {
            items: Vec::new(),
            more: false,
        };
        let Some(timeline) = index.registry().get(edition, domain) else {
            return Ok(listed);
        };
        let mut range = Range::prefix(Family::Heads, &timeline.id.to_be_bytes());
        if let Some(root) = after {
            range.from = AggregateId {
                timeline: timeline.id,
                root,
            }
            .key()
            .to_vec();
            range.from.push(0);
        }
        loop {
            let wanted = (limit - listed.items.len()).saturating_add(1);
            let entries = index.scan(&range, Direction::Forwards, wanted)?;
            let Some((last, _)) = entries.last() else {
                return Ok(listed);
            };
            range.from = last.clone();
            range.from.push(0);
            for (key, value) in &entries {
                let head = Head::decode(value).map_err(damaged)?;
                if listed.items.len() == limit {
                    listed.more = true;
                    return Ok(listed);
                }
                listed
                    .items
                    .push((AggregateId::parse(key).map_err(damaged)?.root, head.next));
            }
        }
    }

    /// Aggregates that hold events of a correlation id, each with the position of its first one,
    /// in that order behind `after`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn correlated(
        &self,
        id: &CorrelationId,
        after: Position,
        limit: usize,
    ) -> Result<Listed<(Position, AggregateKey)>> {
        let index = &self.shared.index;
        let mut range = Range::prefix(
            Family::Correlations,
            &correlation::ordered_prefix(id.as_str()),
        );
        if after > Position::START {
            range.from = correlation::ordered(id.as_str(), after.plus(1));
        }
        let mut listed = Listed {
            items: Vec::new(),
            more: false,
        };
        loop {
            let wanted = (limit - listed.items.len()).saturating_add(1);
            let entries = index.scan(&range, Direction::Forwards, wanted)?;
            let Some((last, _)) = entries.last() else {
                return Ok(listed);
            };
            range.from = last.clone();
            range.from.push(0);
            for (key, value) in &entries {
                let aggregate = AggregateId::parse(value).map_err(damaged)?;
                // Of a deleted edition, if its timeline has no name any more.
                let Some((edition, domain)) = index.registry().name(aggregate.timeline) else {
                    continue;
                };
                if listed.items.len() == limit {
                    listed.more = true;
                    return Ok(listed);
                }
                let key_of = AggregateKey {
                    domain,
                    edition,
                    root: aggregate.root,
                };
                listed
                    .items
                    .push((correlation::position_of(key).map_err(damaged)?, key_of));
            }
        }
    }

    /// The pending events of a cascade, by aggregate in key order.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn participants(&self, id: &CascadeId) -> Result<Vec<(AggregateKey, Vec<Sequence>)>> {
        self.shared.index.participants(id)
    }

    /// Cascades with events that are pending since before a time, oldest first, behind `after`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn stale_cascades(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, &str)>,
        limit: usize,
    ) -> Result<Listed<(Timestamp, String)>> {
        let mut range = Range::prefix(Family::Cascades, &cascade::AGED);
        if let Some((since, id)) = after {
            range.from = cascade::aged(since, id);
            range.from.push(0);
        }
        range.to = Some(cascade::aged(before, ""));
        let entries =
            self.shared
                .index
                .scan(&range, Direction::Forwards, limit.saturating_add(1))?;
        let items = entries
            .iter()
            .take(limit)
            .map(|(key, _)| {
                let (since, id) = cascade::parse_aged(key).map_err(damaged)?;
                Ok((since, id.to_owned()))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Listed {
            items,
            more: entries.len() > limit,
        })
    }

    /// A consumer's checkpoint.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn checkpoint(&self, consumer: &Consumer) -> Result<Option<Position>> {
        let key = consumer.as_str().as_bytes();
        let value = self.shared.index.get(Family::Checkpoints, key)?;
        value
            .map(|value| keys::parse_number(&value).map(Position::new))
            .transpose()
            .map_err(damaged)
    }
}
