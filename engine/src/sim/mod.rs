//! The whole engine on a simulated machine, from a seed.
//!
//! A seed chooses which operations occur, how often, and what goes wrong; then operations follow
//! each other by chance, with power failures at any step of the disk, and after each the store is
//! compared with a model of plain maps. `make sim SEED=n` plays one seed again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod base;
mod check;
mod crash;
mod decide;
mod follow;
mod found;
mod generate;
mod model;
mod reads;
mod rot;
mod run;
mod same;
mod swarm;
mod trace;
mod world;
