use super::*;

#[test]
fn numbers_are_short() {
    let shown = [0.01, 0.5, 64.0, 1_000.0, 1_024.0, 10_000.0, 65_536.0, 2.5e6];
    let shown = shown.map(number);
    let wanted = ["0.01", "0.5", "64", "1000", "1024", "10k", "65536", "2.5M"];
    assert_eq!(shown, wanted.map(str::to_owned));
}

#[test]
fn marks_lie_around_the_values() {
    for (least, most) in [(0.02, 0.03), (7.0, 7.0), (3.0, 40_000.0), (900.0, 1_100.0)] {
        for log in [false, true] {
            let scale = Scale { log };
            let marks = scale.marks(least, most);
            assert!(marks.is_sorted(), "{marks:?}");
            let (first, last) = (marks.first().copied(), marks.last().copied());
            assert!(first.is_some_and(|mark| mark <= scale.place(least)));
            assert!(last.is_some_and(|mark| mark >= scale.place(most)));
            assert!((2..=14).contains(&marks.len()), "{marks:?}");
        }
    }
}
