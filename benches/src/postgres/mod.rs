//! PostgreSQL as a peer: its own cluster, two tables, and the same closed loop.

mod cluster;
mod reader;
mod tables;

pub use cluster::Cluster;
pub use reader::{Reader, fill_angzarr};
pub use tables::{Connection, Table, connect, create, fill, prepare_replay, replay};
