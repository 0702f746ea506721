#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use proptest::prelude::*;

proptest! {
    /// What is kept is the end of the log, as it stands there, and not more than is allowed.
    #[test]
    fn it_holds_the_last_groups_of_the_log(
        sizes in prop::collection::vec(1usize..1200, 0..30),
        from in 0u64..1000,
    ) {
        let cache = TailCache::default();
        let mut log: Vec<u8> = Vec::new();
        let address = |at: usize| Address::new(from + at as u64);
        for (n, size) in (1u8..).zip(sizes) {
            let at = log.len();
            let group: Vec<u8> = (0..size).map(|byte| n.wrapping_mul(31) ^ u8::try_from(byte % 251).unwrap()).collect();
            log.extend_from_slice(&group);
            cache.add(address(at), group);
        }
        let kept: Vec<bool> = (0..log.len())
            .map(|at| match cache.group_at(address(at)) {
                None => false,
                Some((begin, group)) => {
                    let begin = usize::try_from(begin.get() - from).unwrap();
                    assert!(begin <= at && at < begin + group.len());
                    assert_eq!(&group[..], &log[begin..begin + group.len()]);
                    true
                }
            })
            .collect();
        let forgotten = kept.iter().take_while(|kept| !**kept).count();
        prop_assert!(kept[forgotten..].iter().all(|kept| *kept), "a hole");
        let room = limits::TAIL_CACHE_BYTES - GROUP_COST;
        prop_assert!(log.len() - forgotten <= room);
        // Nothing is let go of before it has to be.
        prop_assert!(forgotten == 0 || log.len() - forgotten + 1200 + 20 * GROUP_COST > room);
        prop_assert!(cache.group_at(address(log.len())).is_none());
        if from > 0 {
            prop_assert!(cache.group_at(Address::new(from - 1)).is_none());
        }
    }
}
