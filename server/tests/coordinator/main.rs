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
mod bad_reactions;
mod books;
mod branches;
mod bus;
mod cascades;
mod commands;
mod compensation;
mod counter;
mod crash;
mod deferred;
mod dialects;
mod direct;
mod editions;
mod every_step;
mod facts;
mod leftovers;
mod merging;
mod messages;
mod mortal;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
#[path = "../support/nats_server.rs"]
mod nats_server;
mod obligations;
mod operating;
mod process_managers;
mod process_notices;
mod projectors;
mod queries;
mod reactor;
mod rejections;
mod requests;
mod sagas;
mod settling;
mod snapshots;
mod starting;
mod streams;
mod sync_cascades;
mod synchronous;
mod upcasting;
mod world;
