use angzarr_proto::v1::{BusinessResponse, CommandRequest, business_response, page_header};
use tracing::Instrument;

use super::command_handler::{Outcome, span};
use super::validate::{self, Command};
use super::{Coordinator, Error, claim};

impl Coordinator {
    /// Hands a notification to the component whose command was refused or is to be undone, and
    /// stores the events it answers with, once for each deferred tuple. The notification itself
    /// is not stored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn handle_compensation(
        &self,
        request: CommandRequest,
    ) -> Result<BusinessResponse, Error> {
        let command = validate::command(request, self.settings.limits)?;
        check(&command)?;
        let outcome = self.carry_out(&command).instrument(span(&command)).await?;
        let result = match outcome {
            Outcome::Events(book) => business_response::Result::Events(book),
            Outcome::Revocation(revocation) => business_response::Result::Revocation(revocation),
            Outcome::Notification(notification) => {
                business_response::Result::Notification(notification)
            }
        };
        Ok(BusinessResponse {
            result: Some(result),
        })
    }
}

fn check(command: &Command) -> Result<(), Error> {
    if claim::notified(&command.book).is_none() {
        return Err(Error::invalid(
            "command.pages[0].command is no Notification of a RejectionNotification or a \
             Compensate: send other commands to HandleCommand",
        ));
    }
    let header = command
        .book
        .pages
        .first()
        .and_then(|page| page.header.as_ref());
    match header.and_then(|header| header.sequence_type.as_ref()) {
        Some(page_header::SequenceType::AngzarrDeferred(_)) => Ok(()),
        _ => Err(Error::invalid(
            "command.pages[0].header.angzarr_deferred is missing: copy that of the command \
             concerned",
        )),
    }
}
