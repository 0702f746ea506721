//! Starts what reacts to events.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Coordinator;
use super::delivery::{Consumer, Consumers, Controls, Delivery, Interest};
use super::projector::ProjectorConsumer;
use crate::registry::ReactionKind;

impl Coordinator {
    /// Starts to deliver events to every configured projector, saga and process manager, each
    /// from its checkpoint on, until `shutdown` is cancelled. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn start_reactions(self: &Arc<Self>, shutdown: &CancellationToken) -> Consumers {
        let mut consumers = Consumers::default();
        for reaction in self.registry.reactions() {
            let (coordinator, reaction) = (Arc::clone(self), Arc::clone(reaction));
            let name = reaction.consumer();
            match reaction.kind {
                ReactionKind::Projector => {
                    let interest = ProjectorConsumer::interest(&reaction);
                    let consumer = Arc::new(ProjectorConsumer {
                        coordinator,
                        projector: reaction,
                    });
                    self.start(&mut consumers, name, interest, consumer, shutdown);
                }
                ReactionKind::Saga | ReactionKind::ProcessManager => {}
            }
        }
        consumers
    }

    fn start(
        &self,
        consumers: &mut Consumers,
        name: String,
        interest: Interest,
        consumer: Arc<dyn Consumer>,
        shutdown: &CancellationToken,
    ) {
        let (controls, switch) = Controls::new();
        let delivery = Delivery {
            store: Arc::clone(&self.store),
            name: name.clone(),
            interest: Arc::new(interest),
            consumer,
            controls,
            shutdown: shutdown.clone(),
        };
        consumers.tasks.spawn(delivery.run());
        consumers.switches.insert(name, switch);
    }
}
