//! The gRPC services. Each decodes a request, passes it on and maps the error.

pub(crate) mod message_limit;
mod store;

pub use store::StoreService;
