//! The Angzarr server: configuration, services, coordinators and the command line.

pub mod admin;
pub mod bench;
pub mod claim_check;
pub mod cli;
pub mod config;
pub mod coordinator;
mod cork;
pub mod demo;
mod dialect_layer;
pub mod embedded;
pub mod framework;
pub mod grpc;
pub mod handler;
pub mod health;
pub mod json;
pub mod listener;
pub mod output;
pub mod registry;
pub mod rest;
pub mod run;
pub mod service;
pub mod status;
pub mod telemetry;
