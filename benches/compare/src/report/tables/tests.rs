use super::thousands;

#[test]
fn thousands_are_separated() {
    assert_eq!(thousands(0.4), "0");
    assert_eq!(thousands(999.4), "999");
    assert_eq!(thousands(12_345.6), "12,346");
    assert_eq!(thousands(1_000_000.0), "1,000,000");
}
