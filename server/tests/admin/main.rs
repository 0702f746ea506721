//! What operators use of a server: dead letters, REST, figures. Each test has a server of its own
//! as `angzarr serve` would start it, on a free port.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod counter;
mod dead_letters;
mod metrics;
mod payloads;
mod rest;
mod server;
mod tls;
