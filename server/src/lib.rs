//! The Angzarr server: configuration, services, coordinators and the command line.

pub mod bench;
pub mod cli;
pub mod config;
mod dialect_layer;
pub mod grpc;
pub mod health;
pub mod listener;
pub mod output;
pub mod service;
pub mod telemetry;
