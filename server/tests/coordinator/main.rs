//! The coordinator over gRPC, as clients and business code meet it. Tests are named after the
//! section of the behaviour they prove.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

mod bad_handlers;
mod cascades;
mod commands;
mod compensation;
mod counter;
mod deferred;
mod dialects;
mod editions;
mod facts;
mod merging;
mod projectors;
mod queries;
mod reactor;
mod requests;
mod snapshots;
mod streams;
mod upcasting;
mod world;
