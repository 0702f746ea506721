//! The client side of business code: what the server calls, in the words each peer speaks.

mod answer;
mod codec;
mod command;
mod connection;
mod dialect;
mod error;
pub(crate) mod fields;
mod messages;
mod peer;
mod reaction;
mod retry;
pub(crate) mod trace;
mod upcaster;

pub(crate) use answer::one_event;
pub(crate) use codec::EncodedCodec;
pub(crate) use command::AnswerLimits;
pub use command::{Answer, CommandHandler};
pub use dialect::{book_for_caller, notification_for_caller, type_url_for_caller};
pub use error::Error;
pub use messages::RawBook;
pub(crate) use messages::contextual_command;
pub use peer::PeerSettings;
pub use reaction::{ReactionMode, Reactor};
pub use retry::Retries;
pub use upcaster::Upcaster;
