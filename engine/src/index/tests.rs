#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A base that is a map.
#[derive(Default)]
struct MapBase(Mutex<Entries>);

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
            for (key, value) in layer.family(family) {
                match value {
                    Some(value) => map.insert((family, key.to_vec()), value.to_vec()),
                    None => map.remove(&(family, key.to_vec())),
                };
            }
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
                    changes.layer.put(Family::Heads, &[k], &[v]);
                    model.insert(vec![k], vec![v]);
                }
                Op::Remove(k) => {
                    changes.layer.remove(Family::Heads, &[k]);
                    model.remove(&vec![k]);
                }
                Op::WriteOut => index.write_out().unwrap(),
            }
            index.publish(changes);
        }
        for key in 0..=u8::MAX {
            prop_assert_eq!(index.get(Family::Heads, &[key]).unwrap(), model.get(&vec![key]).cloned());
        }
        let range = Range { family: Family::Heads, from: vec![from], to: to.map(|to| vec![to]) };
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
    changes.layer.put(Family::Heads, &[1], &[2; 1000]);
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
        changes.layer.put(Family::Heads, &[key], &[key]);
        index.publish(changes);
    };
    let read = || [1, 2].map(|key| index.get(Family::Heads, &[key]).unwrap());
    put(1);
    assert!(index.write_out().is_err());
    put(2);
    assert_eq!(read(), [Some(vec![1]), Some(vec![2])]);
    index.write_out().unwrap();
    assert_eq!(read(), [Some(vec![1]), Some(vec![2])]);
    assert_eq!(index.unwritten_bytes(), 0);
}
