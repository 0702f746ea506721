//! Sending a dead letter again.

use angzarr_proto::status::ReplayMode;
use angzarr_proto::v1::{
    AngzarrDeadLetter, CommandBook, CommandRequest, ExternalDeferredSequence, PageHeader,
    angzarr_dead_letter, command_page, page_header,
};

use super::AdminError;
use super::letter::Letter;
use crate::coordinator::{Coordinator, Error};
use crate::framework;

/// Where letters go when they are sent again.
#[tonic::async_trait]
pub trait Redelivery: Send + Sync + 'static {
    /// Carries out a command that was refused once.
    ///
    /// # Errors
    /// The refusal.
    async fn command(&self, request: CommandRequest) -> Result<(), Error>;

    /// Hands a notification to the component whose command was refused.
    ///
    /// # Errors
    /// The refusal.
    async fn compensation(&self, request: CommandRequest) -> Result<(), Error>;

    /// Hands events to the component that could not process them.
    ///
    /// # Errors
    /// The refusal.
    async fn events(&self, letter: &AngzarrDeadLetter) -> Result<(), Error>;
}

#[tonic::async_trait]
impl Redelivery for Coordinator {
    async fn command(&self, request: CommandRequest) -> Result<(), Error> {
        self.handle_command(request).await.map(|_| ())
    }

    async fn compensation(&self, request: CommandRequest) -> Result<(), Error> {
        self.handle_compensation(request).await.map(|_| ())
    }

    async fn events(&self, letter: &AngzarrDeadLetter) -> Result<(), Error> {
        self.redeliver(letter).await
    }
}

/// Sends a letter again.
pub(super) async fn replay(
    redelivery: &dyn Redelivery,
    entry: &Letter,
    mode: ReplayMode,
) -> Result<(), AdminError> {
    let letter = &entry.letter;
    let outcome = match &letter.payload {
        Some(angzarr_dead_letter::Payload::RejectedCommand(book)) => {
            let request = request(book.clone(), entry.place.id, mode);
            if is_notification(book) {
                redelivery.compensation(request).await
            } else {
                redelivery.command(request).await
            }
        }
        Some(angzarr_dead_letter::Payload::RejectedEvents(_)) => redelivery.events(letter).await,
        None => {
            return Err(AdminError::Refused(format!(
                "dead letter {} holds neither a command nor events: there is nothing to send",
                entry.place.id
            )));
        }
    };
    outcome.map_err(|error| AdminError::Replay(Box::new(error)))
}

fn request(mut book: CommandBook, id: i64, mode: ReplayMode) -> CommandRequest {
    if mode == ReplayMode::FreshSequence
        && let Some(page) = book.pages.first_mut()
        && !is_deferred(page.header.as_ref())
    {
        // Appended wherever the aggregate is, and once: a second replay finds the first.
        let sync_mode = page.header.as_ref().and_then(|header| header.sync_mode);
        page.header = Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::ExternalDeferred(
                ExternalDeferredSequence {
                    external_id: format!("angzarr.dlq/{id}"),
                    description: "replay of a dead letter".to_owned(),
                },
            )),
            sync_mode,
        });
    }
    CommandRequest {
        command: Some(book),
        ..CommandRequest::default()
    }
}

/// Such a command was never checked against a sequence, and brings its own key.
fn is_deferred(header: Option<&PageHeader>) -> bool {
    matches!(
        header.and_then(|header| header.sequence_type.as_ref()),
        Some(
            page_header::SequenceType::ExternalDeferred(_)
                | page_header::SequenceType::AngzarrDeferred(_)
        )
    )
}

fn is_notification(book: &CommandBook) -> bool {
    let payload = book.pages.first().and_then(|page| page.payload.as_ref());
    matches!(
        payload,
        Some(command_page::Payload::Command(any))
            if framework::name(&any.type_url) == Some("Notification")
    )
}
