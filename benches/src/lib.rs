//! Benchmarks of the Angzarr server, each beside the limit or the peer it is held against.
//!
//! `benches/` holds the criterion groups, each a question about one part of the engine. The
//! programs in `src/bin` measure whole processes: `peers` runs the server, the bare limit and
//! PostgreSQL side by side, `reads` holds reading and what goes on beside appends against its
//! limits, `curves` shows how cost grows, `memory` fills a server with a million aggregates,
//! `limit` serves the bare limit alone. README.md says how to run them and what they showed.

pub mod batch;
pub mod child;
pub mod engine;
pub mod fill;
pub mod group_commit;
pub mod limit;
pub mod machine;
pub mod median;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod raw;
#[cfg(feature = "rocksdb")]
pub mod rocks;
pub mod story;
pub mod subscribers;
pub mod zeroed;
