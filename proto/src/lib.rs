//! Messages and services of the Angzarr protocol.
//!
//! [`v1`] is the public protocol, [`store::v1`] the database protocol built on its messages,
//! [`status`] the administration of dead letters. All of it is generated from the `.proto`
//! files beside this crate, but for the two messages of [`store::v1`] that carry stored pages
//! as the bytes they were stored as.

mod codec;
mod descriptors;
mod dialect;
mod frame;
mod pages;
mod raw;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated: the documentation is in the .proto files"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

pub use codec::decoder;
pub use descriptors::descriptor_set;
pub use dialect::Dialect;
pub use frame::{FRAME_HEAD, frame, put_frame_head};
pub use generated::angzarr_client::proto::angzarr::{status, v1};
pub use generated::sererr;

/// What the server stores in its own domains: package `angzarr.internal.v1`.
pub mod internal {
    pub use crate::generated::angzarr::internal::v1;
}

/// Administration: consumers, and events about dead letters.
pub mod admin {
    /// Package `angzarr.admin.v1`.
    pub mod v1 {
        pub use crate::generated::angzarr::admin::v1::*;
    }
}

/// The database protocol.
pub mod store {
    /// Package `angzarr.store.v1`.
    pub mod v1 {
        pub use crate::generated::angzarr::store::v1::*;
        pub use crate::pages::{IntoPages, Pages};
        pub use crate::raw::{ReadResponse, RecordedBook};
    }
}

/// Encoded `google.protobuf.FileDescriptorSet` of every file, imports and HTTP options included.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

#[cfg(test)]
mod tests;
