//! The gRPC services. Each decodes a request, passes it on and maps the error.

mod store;

pub use store::StoreService;
