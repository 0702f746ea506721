#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn any_id() -> impl Strategy<Value = AggregateId> {
    (any::<u32>(), any::<[u8; 16]>()).prop_map(|(timeline, root)| AggregateId {
        timeline,
        root: Root::new(root),
    })
}

proptest! {
    #[test]
    fn aggregate_keys_round_trip_in_order(a in any_id(), b in any_id(), s: u32, t: u32) {
        prop_assert_eq!(AggregateId::parse(&a.key()).unwrap(), a);
        prop_assert_eq!(a.key().cmp(&b.key()), a.cmp(&b));
        let (s, t) = (Sequence::new(s), Sequence::new(t));
        prop_assert_eq!(sequence_of(&a.at(s)).unwrap(), s);
        prop_assert_eq!(a.at(s).cmp(&b.at(t)), (a, s).cmp(&(b, t)));
    }

    #[test]
    fn a_claim_is_never_a_prefix_of_another_kinds(a in any_id(), kind: Vec<u8>, other: Vec<u8>, key: Vec<u8>) {
        prop_assume!(kind != other);
        prop_assert_ne!(a.claim(&kind, &key), a.claim(&other, &key));
    }

    #[test]
    fn everything_with_a_prefix_lies_before_its_end(prefix: Vec<u8>, rest: Vec<u8>, other: Vec<u8>) {
        let key = [prefix.clone(), rest].concat();
        if let Some(end) = after_prefix(&prefix) {
            prop_assert!(key < end);
            prop_assert!(prefix <= key);
            if other >= prefix && other < end {
                prop_assert!(other.starts_with(&prefix));
            }
        } else {
            prop_assert!(prefix.iter().all(|&b| b == 0xff));
        }
    }

    #[test]
    fn cascades_are_ordered_by_age(s: i64, t: i64, id in "[ -~]{1,20}", other in "[ -~]{1,20}") {
        let (s, t) = (Timestamp::from_nanos(s), Timestamp::from_nanos(t));
        let key = cascade::aged(s, &id);
        prop_assert_eq!(cascade::parse_aged(&key).unwrap(), (s, id.as_str()));
        prop_assert_eq!(
            cascade::aged(s, &id).cmp(&cascade::aged(t, &other)),
            (s, &id).cmp(&(t, &other))
        );
    }

    #[test]
    fn values_round_trip(a: u64, b: u32, c: u32, d: i64, x: bool, y: bool, text in "[ -~]{0,20}") {
        let timeline = Timeline {
            id: b,
            since: Address::new(a),
            divergence: x.then(|| Sequence::new(c)),
            events: a,
            deleted: y,
        };
        prop_assert_eq!(Timeline::decode(&timeline.encode()).unwrap(), timeline);
        let [low, high] = [b.min(c), b.max(c)].map(Sequence::new);
        let place = |sequence| Place { sequence, frame: Address::new(a) };
        let snapshot = y.then(|| place(low));
        let head = Head { first: Sequence::new(b), next: high, last: place(low), snapshot, marked: x };
        prop_assert_eq!(Head::decode(&head.encode()).unwrap(), head);
        let location = Location { frame: Address::new(a), count: b };
        prop_assert_eq!(Location::decode(&location.encode()).unwrap(), location);
        let entry = SnapshotEntry {
            frame: Address::new(a),
            created_at: Timestamp::from_nanos(d),
            retention: Retention::Transient,
        };
        prop_assert_eq!(SnapshotEntry::decode(&entry.encode()).unwrap(), entry);
        let mark = Mark { cascade: text.clone(), confirmed: x, revoked: y };
        prop_assert_eq!(Mark::decode(&mark.encode()).unwrap(), mark);
        let info = cascade::encode_info(a, Timestamp::from_nanos(d));
        prop_assert_eq!(cascade::decode_info(&info).unwrap(), (a, Timestamp::from_nanos(d)));
        let range = ClaimRange { first: Sequence::new(b), count: c };
        prop_assert_eq!(decode_range(&encode_range(range)).unwrap(), range);
    }

    #[test]
    fn arbitrary_values_do_no_harm(bytes: Vec<u8>) {
        let _ = (Timeline::decode(&bytes), Head::decode(&bytes), Location::decode(&bytes));
        let _ = (SnapshotEntry::decode(&bytes), Mark::decode(&bytes), decode_range(&bytes));
        let _ = (AggregateId::parse(&bytes), sequence_of(&bytes), parse_timeline_key(&bytes));
        let _ = (cascade::parse_participant(&bytes), cascade::parse_aged(&bytes));
    }
}
