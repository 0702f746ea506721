use proptest::prelude::*;

use super::*;

#[test]
fn the_slowest_piece_holds_the_mark() {
    let mut mark = Watermark::at(4);
    assert_eq!(mark.done(), 4);
    for position in [5, 7, 7, 9] {
        mark.begin(position);
        mark.read_up_to(position);
    }
    mark.finish(9);
    mark.finish(7);
    assert_eq!((mark.done(), mark.read()), (4, 9));
    mark.finish(5);
    assert_eq!(mark.done(), 6);
    mark.finish(7);
    assert_eq!(mark.done(), 9);
    mark.read_up_to(20);
    assert_eq!(mark.done(), 20);
}

#[test]
fn what_begins_and_was_not_read_yet_does_not_move_it() {
    let mut mark = Watermark::at(0);
    mark.begin(10);
    assert_eq!(mark.done(), 0);
}

proptest! {
    /// In whatever order work ends, the mark is below all that is open and above all that is not.
    #[test]
    fn the_mark_is_just_below_the_first_open_piece(
        steps in proptest::collection::vec(1_u64..4, 1..60),
        order in any::<prop::sample::Index>(),
    ) {
        let mut mark = Watermark::at(0);
        let mut open = Vec::new();
        let mut position = 0;
        for step in steps {
            position += step;
            mark.begin(position);
            mark.read_up_to(position);
            open.push(position);
        }
        while !open.is_empty() {
            let first = open.iter().min().copied().unwrap_or_default();
            prop_assert_eq!(mark.done(), first - 1);
            mark.finish(open.swap_remove(order.index(open.len())));
        }
        prop_assert_eq!(mark.done(), position);
    }
}
