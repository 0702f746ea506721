use super::*;

#[test]
fn a_rate_says_how_long_copying_takes() {
    assert_eq!(due(64 << 20, 32 << 20), Some(Duration::from_secs(2)));
    assert_eq!(due(0, 1), Some(Duration::ZERO));
    assert_eq!(due(64 << 20, 0), None);
}
