use super::*;

#[test]
fn reads_user_and_system_time_of_itself_and_its_children() {
    let stat = "71 (a (b) c) S 1 71 71 0 -1 4194304 100 200 0 0 150 50 30 20 20 0 1 0 99 1 1";
    assert_eq!(parse(stat), Some(Duration::from_millis(2_500)));
}

#[test]
fn nonsense_is_no_time() {
    assert_eq!(parse(""), None);
    assert_eq!(parse("71 (a) S 1 x"), None);
    assert_eq!(of(&[u32::MAX]), Duration::ZERO);
}

#[test]
fn time_below_a_tick_counts() {
    let used = scheduled("self").unwrap();
    assert!(used > Duration::ZERO);
    assert!(of(&[std::process::id()]) >= used);
}
