//! The two ports of the Angzarr server, and what implements them.
//!
//! [`EventStore`] is everything a coordinator needs of a database. Its requests and answers
//! are the messages of `angzarr.store.v1`, so that a store in this process and one behind a
//! network address differ in nothing but the way the message travels.

mod bus;
mod error;
pub mod status;
mod store;

#[cfg(feature = "nats")]
pub use bus::nats::{NatsBus, NatsOptions};
pub use bus::{BusError, BusMessage, EventBus};
pub use error::StoreError;
pub use store::native::{Limits, NativeStore, backup_of};
pub use store::remote::{RemoteStore, RemoteTls, channel};
pub use store::{BackupStream, EventStore, FrameStream, ReadStream, RecordStream, Result};
