//! Keys and values of the index.

use super::Input;
use crate::event::{ClaimRange, Retention};
use crate::index::AggregateId;
use crate::index::keys::applied;
use crate::index::keys::{
    self, Head, Location, Mark, Place, SnapshotEntry, Timeline, cascade, correlation,
};
use crate::types::{Address, Position, Root, Sequence, Timestamp};

/// Reads arbitrary bytes as every key and value; compares the order of keys with the order of
/// what they stand for.
pub fn index_keys(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => read_values(input.0),
        1 => read_keys(input.0),
        _ => order(input),
    }
}

/// What a value is read as is read again from what it is written as.
fn read_values(value: &[u8]) {
    if let Ok(read) = Timeline::decode(value) {
        assert_eq!(Timeline::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = Head::decode(value) {
        assert_eq!(Head::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = Location::decode(value) {
        assert_eq!(Location::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = SnapshotEntry::decode(value) {
        assert_eq!(SnapshotEntry::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = Mark::decode(value) {
        assert_eq!(Mark::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = keys::decode_range(value) {
        assert_eq!(keys::decode_range(&keys::encode_range(read)), Ok(read));
    }
    if let Ok((pending, since)) = cascade::decode_info(value) {
        let again = cascade::encode_info(pending, since);
        assert_eq!(cascade::decode_info(&again), Ok((pending, since)));
    }
    if let Ok(number) = keys::parse_number(value) {
        assert_eq!(keys::number(number), value[..8]);
    }
    let _ = applied::decode(value);
}

fn read_keys(key: &[u8]) {
    if let Ok(id) = AggregateId::parse(key) {
        assert_eq!(id.key(), key[..AggregateId::LEN]);
        if let Ok(sequence) = keys::sequence_of(key) {
            assert_eq!(keys::sequence_of(&id.at(sequence)), Ok(sequence));
        }
    }
    if let Ok((edition, domain)) = keys::parse_timeline_key(key) {
        let again = keys::timeline_key(edition, domain);
        assert_eq!(keys::parse_timeline_key(&again), Ok((edition, domain)));
    }
    if let Ok((id, sequence)) = cascade::parse_participant(key) {
        assert!(key.ends_with(&id.at(sequence)));
    }
    if let Ok((since, id)) = cascade::parse_aged(key) {
        assert_eq!(cascade::aged(since, id)[1..], key[1..]);
    }
    if let Ok(position) = correlation::position_of(key) {
        assert!(key.ends_with(&position.get().to_be_bytes()));
    }
}

/// What a key is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Parts {
    timeline: u32,
    root: [u8; 16],
    number: u32,
    time: i64,
    name: Vec<u8>,
    other: Vec<u8>,
}

impl Parts {
    fn take(input: &mut Input<'_>) -> Self {
        let text = |input: &mut Input<'_>| {
            let len = usize::from(input.byte() % 66);
            input.take(len).to_vec()
        };
        Self {
            timeline: input.u32(),
            root: input.array(),
            number: input.u32(),
            time: input.u64().cast_signed(),
            name: text(input),
            other: text(input),
        }
    }

    fn id(&self) -> AggregateId {
        AggregateId {
            timeline: self.timeline,
            root: Root::new(self.root),
        }
    }
}

fn order(mut input: Input<'_>) {
    let a = Parts::take(&mut input);
    let mut b = Parts::take(&mut input);
    // Neighbours: most fields are the same.
    let same = input.byte();
    if same & 1 == 0 {
        b.timeline = a.timeline;
    }
    if same & 2 == 0 {
        b.root = a.root;
    }
    if same & 4 == 0 {
        b.name.clone_from(&a.name);
    }
    let key = |p: &Parts| p.id().at(Sequence::new(p.number));
    let logical = |p: &Parts| (p.timeline, p.root, p.number);
    assert_eq!(key(&a).cmp(&key(&b)), logical(&a).cmp(&logical(&b)));
    assert_eq!(
        keys::number(a.time.cast_unsigned()).cmp(&keys::number(b.time.cast_unsigned())),
        a.time.cast_unsigned().cmp(&b.time.cast_unsigned())
    );
    order_named(&a, &b);
    // A scan by prefix finds all that begins with it and nothing else.
    let (prefix, whole) = (&a.name, &b.name);
    let within = prefix <= whole && keys::after_prefix(prefix).is_none_or(|end| *whole < end);
    assert_eq!(within, whole.starts_with(prefix));
    values(&a);
}

/// Keys with names in them: different names, different keys; one aggregate's keys are no other's.
fn order_named(a: &Parts, b: &Parts) {
    let claim = |p: &Parts| p.id().claim(&p.name, &p.other);
    let logical = |p: &Parts| (p.timeline, p.root, p.name.clone(), p.other.clone());
    assert_eq!(claim(a) == claim(b), logical(a) == logical(b));
    assert_eq!(claim(a).starts_with(&b.id().key()), a.id() == b.id());
    let (Ok(x), Ok(y)) = (std::str::from_utf8(&a.name), std::str::from_utf8(&b.name)) else {
        return;
    };
    let aged = |p: &Parts, name: &str| cascade::aged(Timestamp::from_nanos(p.time), name);
    assert_eq!(
        aged(a, x).cmp(&aged(b, y)),
        (a.time, x).cmp(&(b.time, y)),
        "cascades by age"
    );
    let at = |p: &Parts| Sequence::new(p.number);
    let participant = cascade::participant(x, a.id(), at(a));
    assert_eq!(participant.starts_with(&cascade::participants(y)), x == y);
    assert_eq!(
        cascade::parse_participant(&participant),
        Ok((a.id(), at(a)))
    );
    let position = Position::new(a.time.cast_unsigned());
    let ordered = correlation::ordered(x, position);
    assert_eq!(ordered.starts_with(&correlation::ordered_prefix(y)), x == y);
    assert_eq!(correlation::position_of(&ordered), Ok(position));
    assert_eq!(
        correlation::member(x, a.id()) == correlation::member(y, b.id()),
        { (x, a.id()) == (y, b.id()) }
    );
    let timeline = keys::timeline_key(x, y);
    assert_eq!(keys::parse_timeline_key(&timeline), Ok((x, y)));
}

/// Values of every field read back as what they were.
fn values(p: &Parts) {
    let [address, events] = [p.time.cast_unsigned(), p.number.into()];
    let timeline = Timeline {
        id: p.timeline,
        since: Address::new(address),
        divergence: (!p.number.is_multiple_of(3)).then_some(Sequence::new(p.number)),
        events,
        deleted: p.number.is_multiple_of(2),
    };
    assert_eq!(Timeline::decode(&timeline.encode()), Ok(timeline));
    let place = |sequence| Place {
        sequence: Sequence::new(sequence),
        frame: Address::new(address),
    };
    let head = Head {
        first: Sequence::new(p.timeline),
        next: Sequence::new(p.number),
        last: place(p.number / 2),
        snapshot: timeline.divergence.map(|_| place(p.number / 3)),
        marked: timeline.deleted,
    };
    assert_eq!(Head::decode(&head.encode()), Ok(head));
    let location = Location {
        frame: Address::new(address),
        count: p.number,
    };
    assert_eq!(Location::decode(&location.encode()), Ok(location));
    let entry = SnapshotEntry {
        frame: Address::new(address),
        created_at: Timestamp::from_nanos(p.time),
        retention: Retention::Persist,
    };
    assert_eq!(SnapshotEntry::decode(&entry.encode()), Ok(entry));
    let range = ClaimRange {
        first: Sequence::new(p.timeline),
        count: p.number,
    };
    assert_eq!(keys::decode_range(&keys::encode_range(range)), Ok(range));
}
