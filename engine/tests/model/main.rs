//! Random histories against a model of plain maps, with reopenings, on every index.
//!
//! The model, the comparison and the making of commits are those of the simulation; here an engine
//! with its threads runs on files, and a history that fails is made shorter.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    dead_code,
    reason = "tests; not every part of what the simulation uses is used here"
)]

#[path = "../../src/sim/check.rs"]
mod check;
#[path = "../../src/sim/decide.rs"]
mod decide;
#[path = "../../src/sim/generate.rs"]
mod generate;
#[path = "../../src/sim/model.rs"]
mod model;
mod store;

use angzarr_engine::IndexKind;
use proptest::prelude::*;

use generate::Choose;
use store::Store;

/// Choices that a test runner has made, and can make smaller: the plainest ones at the end.
struct Tape(std::vec::IntoIter<u16>);

impl Choose for Tape {
    fn below(&mut self, n: u32) -> u32 {
        u32::from(self.0.next().unwrap_or(0)) % n.max(1)
    }
}

fn any_history(most: usize) -> impl Strategy<Value = Vec<Vec<u16>>> {
    prop::collection::vec(prop::collection::vec(any::<u16>(), 0..60), 1..most)
}

fn play(index: IndexKind, history: Vec<Vec<u16>>) {
    let mut store = Store::new(index);
    for choices in history {
        store.step(&mut Tape(choices.into_iter()));
    }
    store.check_all();
    store.reopen();
    store.reopen();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_its_model_on_the_memory_index(history in any_history(60)) {
        play(IndexKind::Memory, history);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_its_model_on_rocksdb(history in any_history(60)) {
        play(IndexKind::RocksDb, history);
    }
}
