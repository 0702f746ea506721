//! The Angzarr server: configuration, services, coordinators and the command line.

pub mod bench;
pub mod config;
pub mod output;
pub mod telemetry;
