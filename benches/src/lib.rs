//! Benchmarks of the Angzarr server, each beside the limit or the peer it is held against.
//!
//! `benches/` holds the criterion groups, each a question about one part of the engine. The
//! programs in `src/bin` measure whole processes: `peers` runs the server, the bare limit and
//! PostgreSQL side by side, `memory` fills a server with a million aggregates, `limit` serves
//! the bare limit alone. README.md says how to run them and what they showed.

pub mod child;
pub mod engine;
pub mod group_commit;
pub mod limit;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod raw;
pub mod story;
pub mod zeroed;
