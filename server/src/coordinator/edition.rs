use angzarr_proto::store::v1::DeleteEditionRequest;
use angzarr_proto::v1::{
    DeleteEditionEvents, EditionEventsDeleted, EventBook, EventPage, command_page, event_page,
};
use prost::Message;
use prost_types::Timestamp;

use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::framework;

impl Coordinator {
    /// Deletes the events of an edition, if that is what the command asks for. The answer is
    /// not stored: it stands in no aggregate's stream.
    pub(super) async fn delete_edition(
        &self,
        command: &Command,
    ) -> Result<Option<EventBook>, Error> {
        let Some(request) = requested(command)? else {
            return Ok(None);
        };
        let deleted = self
            .store
            .delete_edition(DeleteEditionRequest {
                edition: request.edition.clone(),
                domain: request.domain.clone(),
            })
            .await?;
        let now = jiff::Timestamp::now();
        let event = EditionEventsDeleted {
            edition: request.edition,
            domain: request.domain,
            deleted_count: u32::try_from(deleted.deleted_events).unwrap_or(u32::MAX),
            deleted_at: now.to_string(),
        };
        let page = EventPage {
            created_at: Some(Timestamp {
                seconds: now.as_second(),
                nanos: now.subsec_nanosecond(),
            }),
            payload: Some(event_page::Payload::Event(framework::pack(
                "EditionEventsDeleted",
                &event,
            ))),
            ..EventPage::default()
        };
        let cover = Some(command.cover.clone());
        Ok(Some(EventBook {
            cover,
            pages: vec![page],
            ..EventBook::default()
        }))
    }
}

fn requested(command: &Command) -> Result<Option<DeleteEditionEvents>, Error> {
    let page = command.book.pages.first();
    let Some(command_page::Payload::Command(any)) = page.and_then(|page| page.payload.as_ref())
    else {
        return Ok(None);
    };
    if framework::name(&any.type_url) != Some("DeleteEditionEvents") {
        return Ok(None);
    }
    let request = DeleteEditionEvents::decode(any.value.as_slice()).map_err(|error| {
        Error::invalid(format!(
            "command.pages[0].command is no DeleteEditionEvents: {error}"
        ))
    })?;
    // Main has several names; the store refuses to delete it under any of them.
    if !request.edition.is_empty() {
        validate::edition_text("DeleteEditionEvents.edition", &request.edition)?;
    }
    validate::domain("DeleteEditionEvents.domain", &request.domain)?;
    Ok(Some(request))
}
