//! The Angzarr server: configuration, services, coordinators and the command line.

pub mod bench;
