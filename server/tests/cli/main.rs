//! The binary as a person uses it: what it prints, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod backup;
mod bench;
mod crash;
mod demo;
mod docs;
mod offline;
mod operating;
mod repair;
mod serve;
mod slow;
mod support;
mod tools;
mod transfer;
mod usage;
