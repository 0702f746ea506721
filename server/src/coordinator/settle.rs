use angzarr_proto::store::v1::{CommitCascadeRequest, Participant, RollbackCascadeRequest};
use angzarr_proto::v1::{
    CascadeCommit, CascadeRollback, Confirmation, Cover, EventBook, EventPage, Revocation,
    event_page,
};
use prost::Message;
use prost_types::Any;

use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::framework;

/// What a command wants of a cascade.
enum Settlement {
    Commit(CascadeCommit),
    Rollback(CascadeRollback),
}

impl Coordinator {
    /// Confirms or revokes a whole cascade, if that is what the command asks for: in one commit,
    /// so that nobody ever sees half of it. The answer holds the event that each participant got,
    /// and none when nothing was pending.
    pub(super) async fn settle_cascade(
        &self,
        command: &Command,
    ) -> Result<Option<EventBook>, Error> {
        let Some(settlement) = requested(command)? else {
            return Ok(None);
        };
        let events = match settlement {
            Settlement::Commit(CascadeCommit { cascade_id }) => {
                let request = CommitCascadeRequest {
                    cascade_id: cascade_id.clone(),
                };
                let settled = self.store.commit_cascade(request).await?;
                let participants = settled.participants.into_iter();
                let event = |participant| confirmation(participant, &cascade_id);
                participants.map(event).collect::<Vec<_>>()
            }
            Settlement::Rollback(CascadeRollback { cascade_id, reason }) => {
                let request = RollbackCascadeRequest {
                    cascade_id: cascade_id.clone(),
                    reason: reason.clone(),
                };
                let settled = self.store.rollback_cascade(request).await?;
                let participants = settled.participants.into_iter();
                let event = |participant| revocation(participant, &cascade_id, &reason);
                participants.map(event).collect()
            }
        };
        Ok(Some(answer(command.cover.clone(), events)))
    }
}

fn requested(command: &Command) -> Result<Option<Settlement>, Error> {
    let Some(any) = validate::payload_of(&command.book) else {
        return Ok(None);
    };
    let settlement = match framework::name(&any.type_url) {
        Some("CascadeCommit") => Settlement::Commit(decode(any)?),
        Some("CascadeRollback") => Settlement::Rollback(decode(any)?),
        _ => return Ok(None),
    };
    let (Settlement::Commit(CascadeCommit { cascade_id })
    | Settlement::Rollback(CascadeRollback { cascade_id, .. })) = &settlement;
    if cascade_id.is_empty() {
        return Err(Error::invalid(
            "command.pages[0].command.cascade_id is missing: name the cascade",
        ));
    }
    validate::id_text("command.pages[0].command.cascade_id", cascade_id)?;
    Ok(Some(settlement))
}

fn decode<M: Message + Default>(any: &Any) -> Result<M, Error> {
    M::decode(any.value.as_slice()).map_err(|error| {
        Error::invalid(format!(
            "command.pages[0].command is no {}: {error}",
            any.type_url
        ))
    })
}

fn confirmation(participant: Participant, cascade_id: &str) -> Any {
    let event = Confirmation {
        target: participant.cover,
        sequences: participant.sequences,
        cascade_id: cascade_id.to_owned(),
    };
    framework::pack("Confirmation", &event)
}

fn revocation(participant: Participant, cascade_id: &str, reason: &str) -> Any {
    let event = Revocation {
        target: participant.cover,
        sequences: participant.sequences,
        cascade_id: cascade_id.to_owned(),
        reason: reason.to_owned(),
    };
    framework::pack("Revocation", &event)
}

/// The events stand in the streams of the participants; here they are only told of.
fn answer(cover: Cover, events: Vec<Any>) -> EventBook {
    let page = |event| EventPage {
        payload: Some(event_page::Payload::Event(event)),
        ..EventPage::default()
    };
    EventBook {
        cover: Some(cover),
        pages: events.into_iter().map(page).collect(),
        ..EventBook::default()
    }
}
