//! Starts what reacts to events.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Coordinator;
use super::delivery::{Consumer, Consumers, Controls, Delivery, Interest};
use super::outbox::{OutboxConsumer, outbox_consumer};
use super::process_manager::ProcessConsumer;
use super::projector::ProjectorConsumer;
use super::saga::{self, SagaConsumer};
use crate::registry::ReactionKind;

impl Coordinator {
    /// Starts to deliver events to every configured projector, saga and process manager, each
    /// from its checkpoint on, and to revoke cascades that nobody settles, until `shutdown` is cancelled. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn start_reactions(self: &Arc<Self>, shutdown: &CancellationToken) -> Consumers {
        let mut consumers = Consumers::default();
        for reaction in self.registry.reactions() {
            let coordinator = Arc::clone(self);
            let name = reaction.consumer();
            let (interest, consumer): (Interest, Arc<dyn Consumer>) = match reaction.kind {
                ReactionKind::Projector => (
                    ProjectorConsumer::interest(reaction),
                    Arc::new(ProjectorConsumer {
                        coordinator,
                        projector: Arc::clone(reaction),
                    }),
                ),
                ReactionKind::Saga => (
                    saga::interest(reaction),
                    Arc::new(SagaConsumer {
                        coordinator,
                        saga: Arc::clone(reaction),
                    }),
                ),
                ReactionKind::ProcessManager => (
                    saga::interest(reaction),
                    Arc::new(ProcessConsumer {
                        coordinator,
                        manager: Arc::clone(reaction),
                    }),
                ),
            };
            self.start(&mut consumers, name, interest, consumer, shutdown);
            if reaction.kind != ReactionKind::Projector {
                let component = reaction.name.clone();
                let name = outbox_consumer(&component);
                let interest =
                    OutboxConsumer::interest(&component, reaction.retries, reaction.concurrency);
                let consumer = Arc::new(OutboxConsumer {
                    coordinator: Arc::clone(self),
                    component,
                });
                self.start(&mut consumers, name, interest, consumer, shutdown);
            }
        }
        consumers
            .tasks
            .spawn(Arc::clone(self).reap(shutdown.clone()));
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
