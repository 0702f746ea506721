//! Compares an engine with its model, through every form of reading.

use std::collections::{BTreeMap, BTreeSet};

use angzarr_engine::{
    AggregateKey, CascadeId, Consumer, CorrelationId, Domain, Edition, Engine, Error, Filter,
    PageMark, Position, Sequence, Timestamp, View,
};

use super::generate::{
    CASCADES, CLAIMS, CONSUMERS, Choose, DOMAINS, EDITIONS, cascade, claim, domain, edition, keys,
};
use super::model::{Aggregate, Event, Model, count};

/// Why an engine is not its model.
#[derive(Debug)]
pub(crate) enum Mismatch {
    Different(String),
    Failed(Error),
}

impl From<Error> for Mismatch {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

pub(crate) type Checked = Result<(), Mismatch>;

/// Fails unless both are equal, and says in what.
fn same<T: PartialEq + std::fmt::Debug>(
    found: &T,
    wanted: &T,
    what: impl FnOnce() -> String,
) -> Checked {
    if found == wanted {
        return Ok(());
    }
    let what = what();
    Err(Mismatch::Different(format!(
        "{what}:\n    found  {found:?}\n    wanted {wanted:?}"
    )))
}

/// Everything there is to read, each thing once.
pub(crate) fn all(engine: &Engine, model: &Model) -> Checked {
    same(&engine.position().get(), &model.written, || {
        "the position".to_owned()
    })?;
    for key in keys() {
        aggregate(engine, model, &key)?;
    }
    lists(engine, model)?;
    cascades(engine, model)?;
    log(engine, model, 0, &Filter::default(), 4000)
}

/// One aggregate: its events, marks, snapshots, claims.
pub(crate) fn aggregate(engine: &Engine, model: &Model, key: &AggregateKey) -> Checked {
    let view = engine.aggregate(key, None)?;
    same(&view.next().get(), &model.next(key, None), || {
        format!("the next sequence of {key}")
    })?;
    let divergence = (!key.edition.is_main()).then(|| model.inherited(key, None));
    same(&view.divergence().map(Sequence::get), &divergence, || {
        format!("the divergence of {key}")
    })?;
    let events = model.visible(key, None);
    pages(engine, &view, &events, (0, count(events.len())), false, 900)?;
    marks(engine, &view, &events)?;
    let kept = snapshots_of(model.own(key));
    let found = engine.snapshots(key)?;
    let found: Vec<_> = found
        .into_iter()
        .map(|s| (s.sequence.get(), s.state, s.created_at))
        .collect();
    same(&found, &kept, || format!("the snapshots of {key}"))?;
    for n in 0..CLAIMS {
        let claim = claim(n);
        let found = engine.claim(key, &claim.kind, &claim.key)?;
        same(&found, &model.claim(key, &claim), || {
            format!("claim {n} of {key}")
        })?;
    }
    Ok(())
}

type SnapshotLine = (u32, bytes::Bytes, Option<Timestamp>);

fn snapshots_of(own: Option<&Aggregate>) -> Vec<SnapshotLine> {
    let kept = own.into_iter().flat_map(|own| &own.snapshots);
    kept.map(|(at, kept)| (*at, kept.state.clone(), Some(kept.created_at)))
        .collect()
}

fn pages(
    engine: &Engine,
    view: &View,
    events: &[&Event],
    (from, to): (u32, u32),
    backwards: bool,
    chunk: usize,
) -> Checked {
    let mut cursor = engine.pages(view, Sequence::new(from), Sequence::new(to), backwards);
    let end = to.min(count(events.len()));
    let mut wanted: Vec<u32> = (from.min(end)..end).collect();
    if backwards {
        wanted.reverse();
    }
    let mut wanted = wanted.into_iter();
    let place = |n: u32| format!("{} at {n}, read as {from}..{to}", view.key());
    loop {
        let found = cursor.next_chunk(chunk)?;
        if found.is_empty() {
            return same(&wanted.next(), &None, || format!("the end of {}", place(0)));
        }
        for page in found {
            let n = page.sequence.get();
            same(&Some(n), &wanted.next(), || place(n))?;
            let event = events[n as usize];
            let cascade = event.cascade.as_ref().map_or("", CascadeId::as_str);
            let equal = is_body(event, &page.body)
                && page.created_at == event.created_at
                && page.correlation == event.correlation
                && page.cascade == cascade.as_bytes();
            if !equal {
                let what = format!("{}: found {page:?}, wanted {event:?}", place(n));
                return Err(Mismatch::Different(what));
            }
        }
    }
}

/// Whether these are an event's bytes. Of a revoked cascade they are left out when its segment is
/// rewritten.
pub(crate) fn is_body(event: &Event, body: &bytes::Bytes) -> bool {
    let may_be_gone = event.revoked && event.cascade.is_some();
    *body == event.body || (may_be_gone && body.is_empty())
}

fn marks(engine: &Engine, view: &View, events: &[&Event]) -> Checked {
    let found = engine.marks(view, Sequence::ZERO, view.next())?;
    let wanted: Vec<_> = (0..)
        .zip(events)
        .filter(|(_, event)| event.cascade.is_some() || event.revoked)
        .map(|(n, event)| PageMark {
            sequence: Sequence::new(n),
            cascade: event
                .cascade
                .as_ref()
                .map_or("", CascadeId::as_str)
                .to_owned(),
            confirmed: event.confirmed,
            revoked: event.revoked,
        })
        .collect();
    same(&found, &wanted, || format!("the marks of {}", view.key()))
}

/// Part of an aggregate, in an order and in portions as they come; and a snapshot to begin with.
pub(crate) fn part(
    engine: &Engine,
    model: &Model,
    key: &AggregateKey,
    choose: &mut dyn Choose,
) -> Checked {
    let given = (!key.edition.is_main() && choose.once_in(3)).then(|| choose.below(6));
    let view = engine.aggregate(key, given.map(Sequence::new))?;
    let next = model.next(key, given);
    same(&view.next().get(), &next, || {
        format!("the next sequence of {key} that leaves at {given:?}")
    })?;
    let events = model.visible(key, given);
    let from = choose.below(next + 2);
    let to = choose.below(next + 3);
    let chunk = [1, 100, 5000][choose.below(3) as usize];
    pages(engine, &view, &events, (from, to), choose.once_in(2), chunk)?;
    let before = choose.below(next + 2);
    let times = [None, Some(300), Some(1_000_500)];
    let time = times[choose.below(3) as usize].map(Timestamp::from_nanos);
    let found = engine.snapshot(&view, Sequence::new(before), time)?;
    let found = found.map(|s| (s.sequence.get(), s.state, s.created_at));
    let wanted = best_snapshot(model, key, given, before, time);
    same(&found, &wanted, || {
        format!("the snapshot of {key} below {before}, by {time:?}")
    })
}

fn best_snapshot(
    model: &Model,
    key: &AggregateKey,
    given: Option<u32>,
    before: u32,
    time: Option<Timestamp>,
) -> Option<SnapshotLine> {
    let own = model.own(key).filter(|own| !own.events.is_empty());
    let first = own.map_or(0, |own| own.first);
    let end = before.min(model.next(key, given));
    let best = |from: Option<&Aggregate>, least: u32, end: u32| {
        let mut all = snapshots_of(from);
        all.retain(|(at, _, created_at)| {
            *at >= least && *at < end && time.is_none_or(|time| *created_at <= Some(time))
        });
        all.pop()
    };
    best(own, first, end).or_else(|| {
        let inherited = model.inherited(key, given);
        let main = model.own(&key.on_main()).filter(|_| inherited > 0);
        best(main, 0, before.min(inherited))
    })
}

/// Timelines, aggregates, correlations, checkpoints.
pub(crate) fn lists(engine: &Engine, model: &Model) -> Checked {
    let names: BTreeSet<Domain> = model.timelines.keys().map(|(_, d)| d.clone()).collect();
    let names: Vec<_> = names.into_iter().collect();
    same(&engine.domains(), &names, || "the domains".to_owned())?;
    let mut wanted: BTreeMap<Edition, Vec<(Domain, Option<u32>, u64)>> = BTreeMap::new();
    for ((edition, domain), divergence) in &model.timelines {
        if !edition.is_main() {
            let of = |key: &AggregateKey| key.edition == *edition && key.domain == *domain;
            let events = model.aggregates.iter().filter(|(key, _)| of(key));
            let events: usize = events.map(|(_, own)| own.events.len()).sum();
            let line = (domain.clone(), *divergence, events as u64);
            wanted.entry(edition.clone()).or_default().push(line);
        }
    }
    let found = engine.editions().into_iter().map(|(edition, all)| {
        let lines = all
            .into_iter()
            .map(|line| (line.domain, line.divergence.map(Sequence::get), line.events));
        (edition, lines.collect())
    });
    same(&found.collect(), &wanted, || "the editions".to_owned())?;
    for d in 0..count(DOMAINS.len()) {
        for e in 0..count(EDITIONS.len()) {
            roots(engine, model, &domain(d), &edition(e))?;
        }
    }
    for name in CONSUMERS {
        let consumer = Consumer::new(name)?;
        let found = engine.checkpoint(&consumer)?;
        same(&found, &model.checkpoints.get(&consumer).copied(), || {
            format!("the checkpoint of {name}")
        })?;
    }
    for (id, known) in &model.correlations {
        let text = String::from_utf8_lossy(id).into_owned();
        let id = CorrelationId::new(&text)?;
        let mut found = Vec::new();
        let mut after = Position::START;
        loop {
            let listed = engine.correlated(&id, after, 2)?;
            found.extend(listed.items.into_iter().map(|(at, key)| (at.get(), key)));
            after = Position::new(found.last().map_or(0, |(at, _)| *at));
            if !listed.more {
                break;
            }
        }
        let wanted: Vec<_> = known.clone().into_iter().collect();
        same(&found, &wanted, || {
            format!("what has correlation id {text}")
        })?;
    }
    Ok(())
}

fn roots(engine: &Engine, model: &Model, domain: &Domain, edition: &Edition) -> Checked {
    let of = |key: &AggregateKey| key.edition == *edition && key.domain == *domain;
    let wanted: Vec<_> = model
        .aggregates
        .iter()
        .filter(|(key, _)| of(key))
        .filter_map(|(key, own)| Some((key.root, Sequence::new(own.next()?))))
        .collect();
    let mut found: Vec<(_, _)> = Vec::new();
    loop {
        let after = found.last().map(|(root, _)| *root);
        let listed = engine.aggregates(domain, edition, after, 2)?;
        found.extend(listed.items);
        if !listed.more {
            break;
        }
    }
    same(&found, &wanted, || {
        format!("the roots of {domain} {edition}")
    })?;
    let known = (edition.clone(), domain.clone());
    let there = engine.has_timeline(edition, domain);
    same(&there, &model.timelines.contains_key(&known), || {
        format!("whether there is {domain} {edition}")
    })
}

/// What is pending, and since when.
pub(crate) fn cascades(engine: &Engine, model: &Model) -> Checked {
    for n in 0..CASCADES {
        let id = cascade(n);
        let found = engine.participants(&id)?;
        same(&found, &model.participants(&id), || {
            format!("the participants of {id}")
        })?;
    }
    let never = Timestamp::from_nanos(i64::MAX);
    let found = engine.stale_cascades(never, None, 100)?.items;
    let mut wanted: Vec<_> = model
        .cascades
        .iter()
        .map(|(id, (_, since))| (*since, id.as_str().to_owned()))
        .collect();
    if model.rewritten {
        for (since, id) in &mut wanted {
            let other = found.iter().find(|(_, of)| of == id);
            *since = other.map_or(*since, |(at, _)| *at);
        }
    }
    wanted.sort();
    same(&found, &wanted, || "the stale cascades".to_owned())?;
    let Some((since, _)) = wanted.last().cloned() else {
        return Ok(());
    };
    wanted.retain(|(at, _)| *at < since);
    let found = engine.stale_cascades(since, None, 100)?.items;
    same(&found, &wanted, || "the older stale cascades".to_owned())
}

/// The whole log behind a position, as a filter shows it.
pub(crate) fn log(
    engine: &Engine,
    model: &Model,
    after: u64,
    filter: &Filter,
    chunk: u64,
) -> Checked {
    let mut cursor = engine.cursor(Position::new(after), filter.clone())?;
    let end = engine.position();
    let mut wanted = model
        .log
        .range(after.min(model.written) + 1..)
        .filter(|(_, (key, n))| passes(filter, model, key, *n))
        .map(|(position, _)| *position);
    while cursor.position() < end {
        for recorded in cursor.next_chunk(chunk, end)? {
            for page in recorded.pages {
                let at = page.position.get();
                same(&Some(at), &wanted.next(), || {
                    format!("the log behind {after} with {filter:?}")
                })?;
                let (key, n) = &model.log[&at];
                let event = event_at(model, key, *n);
                let equal = *key == recorded.key
                    && page.sequence.get() == *n
                    && is_body(event, &page.body)
                    && page.created_at == event.created_at
                    && recorded.recorded_at == event.recorded_at
                    && recorded.cascade == event.cascade
                    && recorded.isolated == event.isolated
                    && recorded.ext == event.ext
                    && recorded.correlation.as_str().as_bytes() == event.correlation;
                if !equal {
                    let what = format!("position {at}: found {page:?}, wanted {event:?}");
                    return Err(Mismatch::Different(what));
                }
            }
        }
    }
    same(&wanted.next(), &None, || {
        format!("the end of the log behind {after} with {filter:?}")
    })
}

pub(crate) fn event_at<'a>(model: &'a Model, key: &AggregateKey, sequence: u32) -> &'a Event {
    let own = &model.aggregates[key];
    &own.events[(sequence - own.first) as usize]
}

fn passes(filter: &Filter, model: &Model, key: &AggregateKey, sequence: u32) -> bool {
    let event = event_at(model, key, sequence);
    (filter.domains.is_empty() || filter.domains.contains(&key.domain))
        && (filter.editions.is_empty() || filter.editions.contains(&key.edition))
        && (filter.roots.is_empty() || filter.roots.contains(&key.root))
        && (filter.correlation.as_str().is_empty()
            || filter.correlation.as_str().as_bytes() == event.correlation)
        && !(filter.skip_isolated && event.isolated)
}
