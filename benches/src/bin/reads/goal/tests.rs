use super::*;

#[test]
fn a_ratio_is_that_of_the_medians_and_its_range_that_of_the_rounds() {
    let mut ratio = Ratio::new("a", "b", "ms", Some(Goal::AtMost(2.0)));
    ratio.add(2.0, 1.0);
    ratio.add(9.0, 3.0);
    ratio.add(3.0, 2.0);
    assert_eq!(ratio.ratio(), 3.0 / 2.0);
    assert_eq!(ratio.range(), (1.5, 3.0));
    assert_eq!(ratio.is_met(), Some(true));
}

#[test]
fn a_goal_is_met_at_its_bound() {
    assert!(Goal::AtLeast(0.9).is_met(0.9));
    assert!(!Goal::AtLeast(0.9).is_met(0.89));
    assert!(Goal::AtMost(2.0).is_met(2.0));
    assert!(!Goal::AtMost(2.0).is_met(2.01));
    assert!(!Goal::AtLeast(0.9).is_met(f64::NAN));
}
