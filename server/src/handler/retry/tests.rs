use std::time::Duration;

use super::Retries;

#[test]
fn the_pauses_are_bounded_in_number_and_length() {
    let retries = Retries::default();
    let delays: Vec<_> = retries.delays().collect();
    assert_eq!(delays.len(), 9);
    for delay in delays {
        assert!(delay >= retries.min);
        // Jitter adds at most the shortest pause to the longest.
        assert!(delay <= retries.max + retries.max, "{delay:?}");
    }
}

#[test]
fn one_attempt_means_no_pause() {
    let once = Retries {
        attempts: 1,
        min: Duration::from_millis(1),
        max: Duration::from_secs(1),
    };
    assert_eq!(once.delays().count(), 0);
}
