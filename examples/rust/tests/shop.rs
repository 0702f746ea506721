//! The example does what it says.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

#[test]
fn the_shop_confirms_what_it_has_and_cancels_what_it_has_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_shop")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "order 1: OrderPlaced",
            "order 1: OrderConfirmed",
            "order 2: OrderPlaced",
            "order 2: OrderCancelled",
            "the stock of lamps has 2 events",
        ],
        "{errors}"
    );
}
