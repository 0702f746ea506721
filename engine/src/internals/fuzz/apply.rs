//! From frames to the index, with files that get some of it earlier and some of it twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Input;
use crate::error::Result;
use crate::index::apply::Changes;
use crate::index::{Base, Direction, Entry, Family, Index, Layer, Range};
use crate::log::frame::{Header, Kind, Place, encode};
use crate::log::record::{Record, records};
use crate::types::{Address, Position, Timestamp};

/// Frames in one run.
const FRAMES_MAX: usize = 24;

/// Applies frames with arbitrary payloads one by one; then again with any prefix of them already
/// in the files of a base, some of that written twice, as after a crash or a failed write. The
/// index must be the same.
pub fn apply(data: &[u8]) {
    let mut input = Input(data);
    let cut = usize::from(input.byte());
    let batch = usize::from(input.byte() % 5) + 1;
    let frames = read_frames(input);
    let plain = Index::new(None).unwrap();
    let mut good = 0;
    for (header, payload) in &frames {
        let mut changes = Changes::default();
        if changes.apply(&plain, header, payload, None).is_err() {
            break;
        }
        plain.publish(changes);
        good += 1;
    }
    let frames = &frames[..good];
    let base = Arc::new(MapBase::default());
    let prefix = cut % (good + 1);
    {
        let index = Index::new(Some(Box::new(base.clone()))).unwrap();
        // The base takes what it is given but says that it did not, so it is given it again.
        base.lock().refuse = cut % 2;
        for frames in frames[..prefix].chunks(batch) {
            publish(&index, frames);
            let _ = index.write_out();
        }
        base.lock().refuse = 0;
        index.write_out().unwrap();
    }
    let index = Index::new(Some(Box::new(base.clone()))).unwrap();
    let applied = index.applied().unwrap().map(|resume| resume.last);
    let expected = frames[..prefix].last().map(|(header, _)| header.address);
    assert_eq!(applied, expected, "the files end at another frame");
    publish(&index, &frames[prefix..]);
    assert_eq!(entries(&index), entries(&plain));
    assert_eq!(index.registry().next_id(), plain.registry().next_id());
}

fn publish(index: &Index, frames: &[(Header, Vec<u8>)]) {
    let mut changes = Changes::default();
    for (header, payload) in frames {
        changes.apply(index, header, payload, None).unwrap();
    }
    index.publish(changes);
}

fn read_frames(mut input: Input<'_>) -> Vec<(Header, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut address = Address::default();
    let mut position = Position::new(1);
    while !input.0.is_empty() && frames.len() < FRAMES_MAX {
        let len = usize::from(input.u16());
        let payload = input.take(len).to_vec();
        let place = Place {
            address,
            durable: address,
            position,
            recorded_at: Timestamp::from_nanos(1_000 + i64::try_from(frames.len()).unwrap()),
            previous: 1,
            salt: 1,
        };
        let events = records(&payload, place.recorded_at).map_while(Result::ok);
        let events = events.fold(0u32, |sum, record| match record {
            Record::Pages(pages) => sum.saturating_add(pages.count),
            Record::Dropped { count, .. } => sum.saturating_add(count),
            _ => sum,
        });
        let header = encode(&mut Vec::new(), place, Kind::Commit, |out| {
            out.extend_from_slice(&payload);
            events
        });
        // Far apart, so that the table of positions gets its entries too.
        address = Address::new(header.end().get() + 40_000);
        position = header.next_position();
        frames.push((header, payload));
    }
    frames
}

fn entries(index: &Index) -> Vec<(Family, Entry)> {
    let mut entries = Vec::new();
    for family in Family::ALL {
        let all = Range::prefix(family, &[]);
        let found = index.scan(&all, Direction::Forwards, usize::MAX).unwrap();
        entries.extend(found.into_iter().map(|entry| (family, entry)));
    }
    entries
}

#[derive(Default)]
struct MapBase(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    map: BTreeMap<(Family, Vec<u8>), Vec<u8>>,
    /// Every second write says that it failed, if this is 1.
    refuse: usize,
    writes: usize,
}

impl MapBase {
    fn lock(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().unwrap()
    }
}

impl Base for Arc<MapBase> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().map.get(&(family, key.to_vec())).cloned())
    }

    fn scan(&self, range: &Range, direction: Direction, limit: usize) -> Result<Vec<Entry>> {
        let stored = self.lock();
        let from = (range.family, range.from.clone());
        let within = stored
            .map
            .range(from..)
            .take_while(|((family, key), _)| {
                *family == range.family && range.to.as_ref().is_none_or(|to| key < to)
            })
            .map(|((_, key), value)| (key.clone(), value.clone()));
        let mut found: Vec<_> = within.collect();
        if direction == Direction::Backwards {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }

    fn write(&self, layer: &Layer) -> Result<()> {
        let mut stored = self.lock();
        for family in Family::ALL {
            layer.for_each(family, |key, value| {
                match value {
                    Some(value) => stored.map.insert((family, key.to_vec()), value.to_vec()),
                    None => stored.map.remove(&(family, key.to_vec())),
                };
            });
        }
        stored.writes += 1;
        if stored.writes * stored.refuse % 2 == 1 {
            return Err(crate::Error::invalid("the files say that they failed"));
        }
        Ok(())
    }
}
