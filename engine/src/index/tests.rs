#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::types::Sequence;

/// A base that is a map.
#[derive(Default)]
pub(super) struct MapBase(Mutex<Entries>);

type Entries = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

impl Base for Arc<MapBase> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(&(family, key.to_vec())).cloned())
    }

    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>> {
        let map = self.0.lock().unwrap();
        let mut found: Vec<_> = map
            .iter()
            .filter(|((family, key), _)| {
                *family == range.family
                    && *key >= range.from
                    && range.to.as_ref().is_none_or(|to| key < to)
            })
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        if direction == Direction::Backwards {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        let mut map = self.0.lock().unwrap();
        for family in Family::ALL {
            layer.for_each(family, |key, value| {
                match value {
                    Some(value) => map.insert((family, key.to_vec()), value.to_vec()),
                    None => map.remove(&(family, key.to_vec())),
                };
            });
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8, u8),
    Remove(u8),
    WriteOut,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(k, v)| Op::Put(k, v)),
        3 => any::<u8>().prop_map(Op::Remove),
        1 => Just(Op::WriteOut),
    ]
}

proptest! {
    /// Layers over a base read like one map, whatever has been written out when.
    #[test]
    fn layers_and_base_are_one_map(
        ops in prop::collection::vec(any_op(), 0..200),
        from: u8,
        to: Option<u8>,
        limit in 1usize..40,
    ) {
        let index = Index::new(Some(Box::new(Arc::new(MapBase::default())))).unwrap();
        let mut model = BTreeMap::new();
        for op in ops {
            let mut changes = apply::Changes::default();
            match op {
                Op::Put(k, v) => {
                    changes.layer.put(Family::Claims, &[k], &[v]);
                    model.insert(vec![k], vec![v]);
                }
                Op::Remove(k) => {
                    changes.layer.remove(Family::Claims, &[k]);
                    model.remove(&vec![k]);
                }
                Op::WriteOut => index.write_out().unwrap(),
            }
            index.publish(changes);
        }
        for key in 0..=u8::MAX {
            prop_assert_eq!(index.get(Family::Claims, &[key]).unwrap(), model.get(&vec![key]).cloned());
        }
        let range = Range { family: Family::Claims, from: vec![from], to: to.map(|to| vec![to]) };
        let wanted: Vec<Entry> = model
            .into_iter()
            .filter(|(key, _)| *key >= range.from && range.to.as_ref().is_none_or(|to| key < to))
            .collect();
        let forwards = index.scan(&range, Direction::Forwards, limit).unwrap();
        prop_assert_eq!(&forwards[..], &wanted[..limit.min(wanted.len())]);
        let backwards = index.scan(&range, Direction::Backwards, limit).unwrap();
        let reversed: Vec<_> = wanted.iter().rev().take(limit).cloned().collect();
        prop_assert_eq!(backwards, reversed);
        let mut all = Vec::new();
        index.for_each(&range, |k, v| { all.push((k.to_vec(), v.to_vec())); Ok(()) }).unwrap();
        prop_assert_eq!(all, wanted);
    }
}

/// One of few aggregates, whose ids begin alike.
fn id(n: u8) -> AggregateId {
    let mut root = [0; 16];
    root[15 * usize::from(n % 2)] = n / 4;
    AggregateId {
        timeline: u32::from(n / 2 % 2),
        root: crate::types::Root::new(root),
    }
}

/// The beginning of a key, possibly with a byte more.
fn any_bound() -> impl Strategy<Value = Vec<u8>> {
    let cut = prop_oneof![Just(24usize), Just(20), 0usize..25];
    let more = prop::option::of(any::<u8>());
    (0u8..16, 0u32..12, cut, more).prop_map(|(n, sequence, cut, more)| {
        let mut key = id(n).at(Sequence::new(sequence))[..cut].to_vec();
        key.extend(more);
        key
    })
}

proptest! {
    /// Heads and pages, which layers keep by aggregate, read like everything else.
    #[test]
    fn aggregates_in_layers_and_base_are_one_map(
        ops in prop::collection::vec(prop::option::weighted(0.95, (0u8..16, 0u32..12, 1u32..4, any::<bool>())), 0..120),
        ranges in prop::collection::vec((any_bound(), prop::option::of(any_bound()), 1usize..30), 10),
    ) {
        let index = Index::new(Some(Box::new(Arc::new(MapBase::default())))).unwrap();
        let mut model = Entries::new();
        for (address, op) in (1u64..).zip(ops) {
            let Some((n, first, count, only_head)) = op else {
                index.write_out().unwrap();
                continue;
            };
            let (id, first) = (id(n), Sequence::new(first));
            let last = keys::Place { sequence: first, frame: crate::types::Address::new(address) };
            let head = Head::appended(None, last, first.plus(count).unwrap(), only_head);
            model.insert((Family::Heads, id.key().to_vec()), head.encode());
            let mut changes = apply::Changes::default();
            if only_head {
                changes.layer.set_head(id, head);
            } else {
                changes.layer.append(id, head);
                model.insert((Family::Pages, id.at(first).to_vec()), head.last_location().encode());
            }
            index.publish(changes);
        }
        for n in 0..16 {
            let head = model.get(&(Family::Heads, id(n).key().to_vec()));
            let head = head.map(|head| Head::decode(head).unwrap());
            prop_assert_eq!(index.head_of(id(n)).unwrap(), head);
        }
        for (family, (key, _, _)) in [Family::Heads, Family::Pages].into_iter().cycle().zip(&ranges) {
            let value = model.get(&(family, key.clone())).cloned();
            prop_assert_eq!(index.get(family, key).unwrap(), value);
        }
        for ((family, key), value) in &model {
            let found = index.get(*family, key).unwrap();
            prop_assert_eq!(found.as_ref(), Some(value));
        }
        for (family, (from, to, limit)) in
            [Family::Heads, Family::Pages].into_iter().cycle().zip(ranges)
        {
            let range = Range { family, from, to };
            let wanted = model
                .iter()
                .filter(|((of, key), _)| *of == family && range.holds(key))
                .map(|((_, key), value)| (key.clone(), value.clone()));
            let forwards = index.scan(&range, Direction::Forwards, limit).unwrap();
            prop_assert_eq!(forwards, wanted.clone().take(limit).collect::<Vec<_>>());
            let backwards = index.scan(&range, Direction::Backwards, limit).unwrap();
            let mut wanted: Vec<Entry> = wanted.collect();
            wanted.reverse();
            wanted.truncate(limit);
            prop_assert_eq!(backwards, wanted);
        }
    }
}

/// A base that takes a layer only when it is told to.
struct Gate(Mutex<std::sync::mpsc::Receiver<()>>);

impl Base for Gate {
    fn get(&self, _: Family, _: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn scan(&self, _: &Range, _: Direction, _: usize) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn write(&self, _: &Layer) -> Result<()> {
        self.0.lock().unwrap().recv().unwrap();
        Ok(())
    }
}

#[test]
fn the_writer_waits_for_files_that_are_slow() {
    let (open, gate) = std::sync::mpsc::channel();
    let index = Index::new(Some(Box::new(Gate(Mutex::new(gate))))).unwrap();
    let mut changes = apply::Changes::default();
    changes.layer.put(Family::Claims, &[1], &[2; 1000]);
    index.publish(changes);
    let order = Mutex::new(Vec::new());
    let ready = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| index.write_out().unwrap());
        scope.spawn(|| {
            ready.wait();
            index.wait_for_room(100, || false);
            order.lock().unwrap().push("went on");
        });
        ready.wait();
        std::thread::yield_now();
        order.lock().unwrap().push("written");
        open.send(()).unwrap();
    });
    assert_eq!(*order.lock().unwrap(), ["written", "went on"]);
    // Nobody waits for what will not come.
    index.wait_for_room(0, || true);
}

/// Takes the second layer it is given, and every later one.
#[derive(Default)]
struct Reluctant {
    base: Arc<MapBase>,
    asked: std::sync::atomic::AtomicBool,
}

impl Base for Reluctant {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.base.get(family, key)
    }

    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>> {
        self.base.scan(range, direction, limit)
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        if !self.asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::Refused("not now".to_owned()));
        }
        self.base.write(layer)
    }
}

#[test]
fn what_could_not_be_written_out_stays_readable() {
    let index = Index::new(Some(Box::new(Reluctant::default()))).unwrap();
    let put = |key: u8| {
        let mut changes = apply::Changes::default();
        changes.layer.put(Family::Claims, &[key], &[key]);
        index.publish(changes);
    };
    let read = || [1, 2].map(|key| index.get(Family::Claims, &[key]).unwrap());
    put(1);
    assert!(index.write_out().is_err());
    put(2);
    assert_eq!(read(), [Some(vec![1]), Some(vec![2])]);
    index.write_out().unwrap();
    assert_eq!(read(), [Some(vec![1]), Some(vec![2])]);
    assert_eq!(index.unwritten_bytes(), 0);
}
