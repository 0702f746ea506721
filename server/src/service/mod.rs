//! The gRPC services. Each decodes a request, passes it on and maps the error.

mod command;
mod consumers;
mod dead_letters;
pub(crate) mod message_limit;
mod process_manager;
mod projector;
mod query;
mod saga;
mod store;
mod stream;

use std::pin::Pin;

use angzarr_proto::Dialect;
use futures::Stream;
use tonic::{Request, Status};

pub use command::CommandService;
pub use consumers::ConsumerService;
pub use dead_letters::DeadLetterService;
pub use process_manager::ProcessManagerService;
pub use projector::ProjectorService;
pub use query::QueryService;
pub use saga::SagaService;
pub use store::StoreService;
pub use stream::StreamService;

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The dialect in which a request came; the canonical one when nothing says otherwise.
fn dialect_of<T>(request: &Request<T>) -> Dialect {
    request.extensions().get().copied().unwrap_or_default()
}
