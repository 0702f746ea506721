//! The binary as a person uses it: what it prints, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod backup;
mod bench;
#[cfg(feature = "nats")]
mod bus;
mod crash;
mod demo;
mod docs;
#[cfg(feature = "nats")]
#[path = "../support/nats_server.rs"]
mod nats_server;
mod offline;
mod operating;
mod repair;
mod serve;
mod slow;
mod support;
mod tools;
mod transfer;
mod usage;
