//! Components that follow the store.

use std::sync::Arc;

use super::delivery::{Consumer, Failure, Interest, Trigger};
use super::run::Run;
use super::{Coordinator, Error};
use crate::registry::{Reaction, ReactionKind};

/// A projector, saga or process manager that follows the store.
pub(super) struct Follower {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) reaction: Arc<Reaction>,
}

impl Follower {
    /// A projector gets the events of a commit together, the others one event at a time.
    pub(super) fn interest(reaction: &Reaction) -> Interest {
        Interest {
            component: reaction.name.clone(),
            inputs: reaction.inputs.clone(),
            all_editions: reaction.all_editions,
            from_now: reaction.from_now,
            single_pages: reaction.kind != ReactionKind::Projector,
            pending: false,
            retries: reaction.retries,
            concurrency: reaction.concurrency,
        }
    }
}

#[tonic::async_trait]
impl Consumer for Follower {
    async fn ready(&self, trigger: &Trigger) -> Result<Option<Trigger>, Error> {
        let no_process = self.reaction.kind == ReactionKind::ProcessManager
            && trigger.cover().correlation_id.is_empty();
        if no_process {
            return Ok(None);
        }
        self.coordinator.not_run_yet(&self.reaction, trigger).await
    }

    async fn deliver(&self, trigger: &Trigger) -> Result<(), Failure> {
        let reacted = self.coordinator.hand_over(&self.reaction, trigger).await;
        reacted.map_err(Failure::from)
    }

    async fn give_up(
        &self,
        trigger: &Trigger,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Error> {
        self.coordinator
            .dead_letter_events(&self.reaction, trigger, failure, attempts)
            .await
    }

    fn begins(&self, generation: u32) {
        self.reaction.begin(generation);
    }
}

impl Coordinator {
    /// Runs a component for events. Nobody waits: refused commands are news for the source, not
    /// failures.
    pub(super) async fn hand_over(
        &self,
        reaction: &Arc<Reaction>,
        trigger: &Trigger,
    ) -> Result<(), Error> {
        let run = Run::default();
        let trigger = &self.with_divergences(trigger).await?;
        match reaction.kind {
            ReactionKind::Projector => {
                self.project(reaction, &trigger.book).await?;
            }
            ReactionKind::Saga => {
                let ended = self.saga(reaction, trigger, run).await;
                ended.map_err(|failure| failure.error)?;
            }
            ReactionKind::ProcessManager => {
                let ended = self.process(reaction, trigger, run).await;
                ended.map_err(|failure| failure.error)?;
            }
        }
        Ok(())
    }
}
