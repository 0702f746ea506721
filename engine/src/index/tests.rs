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
                    Some(value) => map.insert((family, key.clone()), value.clone()),
                    None => map.remove(&(family, key.clone())),
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
                    changes.layer.put(Family::Heads, vec![k], vec![v]);
                    model.insert(vec![k], vec![v]);
                }
                Op::Remove(k) => {
                    changes.layer.remove(Family::Heads, vec![k]);
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
