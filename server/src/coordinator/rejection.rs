//! Commands of components that were refused, and cascades that are undone: who has to know.

use std::collections::BTreeMap;
use std::time::SystemTime;

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CommandBook, CommandPage, Compensate, Cover, Notification, PageHeader,
    RejectionNotification, command_page, page_header,
};
use prost_types::{Any, Timestamp};

use super::claim::rejection_claim;
use super::load::key_of;
use super::outbox::outbox_cover;
use super::run::{Executed, Waiting};
use super::{Coordinator, Error};
use crate::framework;
use crate::registry::{Reaction, ReactionKind};

impl Coordinator {
    /// Records that the source of a command has to learn of its refusal; once, however often the
    /// command is refused. A process manager learns of it before the source does.
    pub(super) async fn record_rejection(
        &self,
        component: &Reaction,
        origin: &AngzarrDeferredSequence,
        command: &CommandBook,
        error: &Error,
        cascade_id: Option<&str>,
    ) -> Result<(), Error> {
        let source = origin.source.clone().unwrap_or_default();
        let rejection = RejectionNotification {
            rejected_command: Some(command.clone()),
            rejection_reason: error.to_string(),
        };
        let payload = framework::pack("RejectionNotification", &rejection);
        let news = notification(&source, payload, origin);
        tracing::info!(
            component = component.name,
            domain = command.cover.as_ref().map_or("", |cover| &cover.domain),
            %error,
            "a command was refused, its source will be told"
        );
        let mut obligations = Vec::new();
        let obligation = |component: &Reaction, what| Obligation {
            component: component.name.clone(),
            component_type: component.kind.name().to_owned(),
            what: Some(what),
            origin: Some(origin.clone()),
            cascade_id: cascade_id.map(str::to_owned),
        };
        let mut stream = source.clone();
        if component.kind == ReactionKind::ProcessManager {
            stream = component.process_cover(&source);
            obligations.push(obligation(
                component,
                obligation::What::Rejection(news.clone()),
            ));
        }
        // A source that is a process itself is told in its own way.
        match self.process_manager_of(&source.domain) {
            Some(manager) => {
                obligations.push(obligation(manager, obligation::What::Rejection(news)));
            }
            None => obligations.push(obligation(component, obligation::What::Compensation(news))),
        }
        let cover = outbox_cover(&component.name, &stream);
        self.oblige(cover, &obligations, Some(rejection_claim(origin)))
            .await
    }

    /// Undoes what the reactions to a failed request did: by revoking its cascade, or, without
    /// one, by asking the owner of each event to undo it. Durable when it returns.
    pub(super) async fn undo(&self, waiting: &Waiting, error: &Error) -> Result<(), Error> {
        if let Some(cascade_id) = &waiting.cascade_id {
            let request = angzarr_proto::store::v1::RollbackCascadeRequest {
                cascade_id: cascade_id.clone(),
                reason: error.to_string(),
            };
            self.store.rollback_cascade(request).await?;
            return Ok(());
        }
        let executed = std::mem::take(&mut waiting.collected().executed);
        let mut streams: BTreeMap<(String, Vec<u8>), (Cover, Vec<Obligation>)> = BTreeMap::new();
        // The newest first, as one would undo them by hand.
        for executed in executed.into_iter().rev() {
            let cover = outbox_cover(&executed.component, &executed.target);
            let root = cover.root.clone().unwrap_or_default().value;
            streams
                .entry((cover.domain.clone(), root))
                .or_insert_with(|| (cover, Vec::new()))
                .1
                .push(compensation(executed, &error.to_string()));
        }
        let writes: Vec<_> = streams
            .into_values()
            .map(|(cover, obligations)| super::outbox::outbox_write(cover, &obligations, None))
            .collect();
        if !writes.is_empty() {
            let request = angzarr_proto::store::v1::AppendRequest {
                writes,
                ..angzarr_proto::store::v1::AppendRequest::default()
            };
            self.store.append(request).await?;
        }
        Ok(())
    }

    /// The process manager whose own events are in a domain.
    pub(super) fn process_manager_of(&self, domain: &str) -> Option<&Reaction> {
        let mut reactions = self.registry.reactions().iter();
        reactions
            .find(|reaction| {
                reaction.kind == ReactionKind::ProcessManager && reaction.domain == domain
            })
            .map(AsRef::as_ref)
    }
}

fn compensation(executed: Executed, reason: &str) -> Obligation {
    let target = executed.target;
    let compensate = Compensate {
        target: Some(key_of(&target)),
        sequences: executed.sequences,
        reason: reason.to_owned(),
    };
    let payload = framework::pack("Compensate", &compensate);
    Obligation {
        component: executed.component,
        component_type: ReactionKind::Saga.name().to_owned(),
        what: Some(obligation::What::Compensation(notification(
            &target,
            payload,
            &executed.origin,
        ))),
        origin: Some(executed.origin),
        cascade_id: None,
    }
}

/// A notification as a command to the aggregate that has to know.
pub(super) fn notification(
    to: &Cover,
    payload: Any,
    origin: &AngzarrDeferredSequence,
) -> CommandBook {
    let notification = Notification {
        cover: Some(to.clone()),
        payload: Some(payload),
        sent_at: Some(Timestamp::from(SystemTime::now())),
    };
    let header = PageHeader {
        sequence_type: Some(page_header::SequenceType::AngzarrDeferred(origin.clone())),
        sync_mode: None,
    };
    CommandBook {
        cover: Some(to.clone()),
        pages: vec![CommandPage {
            header: Some(header),
            payload: Some(command_page::Payload::Command(framework::pack(
                "Notification",
                &notification,
            ))),
            ..CommandPage::default()
        }],
    }
}
