//! What the tests of several crates share. The tests themselves are in `tests/tests`.

pub mod contract;
