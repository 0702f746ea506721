#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use super::*;

fn workload() -> Workload {
    Workload {
        domain: "bench".into(),
        aggregates: 1_000,
        payload_bytes: 250,
        seed: 7,
    }
}

#[test]
fn payloads_repeat_and_differ_by_place() {
    let workload = workload();
    assert_eq!(workload.payload(3, 4), workload.payload(3, 4));
    assert_eq!(workload.payload(3, 4).len(), 250);
    let distinct: HashSet<_> = (0..50)
        .flat_map(|a| (0..50).map(move |s| (a, s)))
        .map(|(a, s)| workload.payload(a, s))
        .collect();
    assert_eq!(distinct.len(), 2_500);
}

#[test]
fn roots_differ() {
    let workload = workload();
    let distinct: HashSet<_> = (0..1_000).map(|a| workload.root(a)).collect();
    assert_eq!(distinct.len(), 1_000);
}

#[test]
fn random_numbers_cover_the_range_and_stay_inside() {
    let mut random = Random::new(1);
    let mut seen = HashSet::new();
    for _ in 0..1_000 {
        let number = random.within(&(10..20));
        assert!((10..20).contains(&number));
        seen.insert(number);
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn a_retired_aggregate_stays_retired() {
    let heads = Heads::new(2);
    heads.acknowledge(0, 5);
    heads.acknowledge(0, 3);
    assert_eq!(heads.next(0), Some(5));
    heads.retire(0);
    heads.acknowledge(0, 6);
    assert_eq!(heads.next(0), None);
    assert_eq!(heads.next(1), Some(0));
    assert_eq!(heads.next(2), None);
}
