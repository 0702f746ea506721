//! Starts what reacts to events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Coordinator;
use super::bridge::BridgeConsumer;
use super::delivery::{Consumer, Consumers, Controls, Delivery, Interest};
use super::follower::Follower;
use super::outbox::{OutboxConsumer, outbox_consumer};
use crate::registry::ReactionKind;

/// For the store at the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything of a server that reacts to events, ready to begin.
#[must_use]
pub struct Reactions {
    coordinator: Arc<Coordinator>,
    consumers: Consumers,
    deliveries: Vec<Delivery>,
    shutdown: CancellationToken,
}

/// Reactions under way.
#[derive(Debug)]
#[must_use]
pub struct Reacting {
    tasks: JoinSet<()>,
}

impl Coordinator {
    /// A delivery to every configured projector, saga and process manager and to the bus, each
    /// from its checkpoint on, until `shutdown` is cancelled.
    pub fn reactions(self: &Arc<Self>, shutdown: &CancellationToken) -> Reactions {
        let mut switches = BTreeMap::new();
        let mut deliveries = Vec::new();
        for (name, interest, consumer) in self.consumers() {
            let (controls, switch) = Controls::new();
            deliveries.push(Delivery {
                store: Arc::clone(&self.store),
                name: name.clone(),
                interest: Arc::new(interest),
                consumer,
                controls,
                paused: false,
                shutdown: shutdown.clone(),
            });
            switches.insert(name, switch);
        }
        Reactions {
            coordinator: Arc::clone(self),
            consumers: Consumers(Arc::new(switches)),
            deliveries,
            shutdown: shutdown.clone(),
        }
    }

    fn consumers(self: &Arc<Self>) -> Vec<(String, Interest, Arc<dyn Consumer>)> {
        let mut consumers: Vec<(_, _, Arc<dyn Consumer>)> = Vec::new();
        for reaction in self.registry.reactions() {
            let follower = Follower {
                coordinator: Arc::clone(self),
                reaction: Arc::clone(reaction),
            };
            let interest = Follower::interest(reaction);
            consumers.push((reaction.consumer(), interest, Arc::new(follower)));
            if reaction.kind != ReactionKind::Projector {
                let component = reaction.name.clone();
                let name = outbox_consumer(&component);
                let interest =
                    OutboxConsumer::interest(&component, reaction.retries, reaction.concurrency);
                let outbox = OutboxConsumer {
                    coordinator: Arc::clone(self),
                    component,
                };
                consumers.push((name, interest, Arc::new(outbox)));
            }
        }
        if let Some(bridge) = &self.bridge {
            let consumer = BridgeConsumer {
                coordinator: Arc::clone(self),
                bridge: Arc::clone(bridge),
            };
            consumers.push((bridge.name(), bridge.interest(), Arc::new(consumer)));
        }
        consumers
    }
}

impl Reactions {
    /// To watch and steer them, now and when they run.
    #[must_use]
    pub fn consumers(&self) -> Consumers {
        self.consumers.clone()
    }

    /// Records where new consumers begin that begin with what comes. Called before anybody is
    /// served: what is acknowledged from then on reaches them. A store that does not answer is
    /// asked again when they begin to deliver.
    pub async fn fix_starts(&self) {
        let deadline = Instant::now() + PATIENCE;
        for delivery in &self.deliveries {
            let fixed = tokio::time::timeout_at(deadline, delivery.fix_start()).await;
            let problem = match fixed {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the store does not answer".to_owned(),
            };
            let consumer = &delivery.name;
            tracing::warn!(
                consumer,
                error = problem,
                "its start could not be recorded yet: it begins with what is stored after the \
                 store answers again"
            );
        }
    }

    /// Begins to deliver, and to revoke cascades that nobody settles. Must be called within a
    /// tokio runtime.
    pub fn start(self) -> Reacting {
        let mut tasks = JoinSet::new();
        for delivery in self.deliveries {
            tasks.spawn(delivery.run());
        }
        tasks.spawn(self.coordinator.reap(self.shutdown));
        Reacting { tasks }
    }
}

impl Reacting {
    /// Waits until all have stopped after the shutdown.
    pub async fn stopped(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a consumer ended early");
            }
        }
    }
}
