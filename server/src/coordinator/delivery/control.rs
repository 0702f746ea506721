//! Watching and steering consumers from outside.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How far a consumer has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Position up to which everything is done.
    pub done: u64,
    /// Position of the newest event of the store that the consumer knows of.
    pub seen: u64,
    /// Triggers being worked on and waiting.
    pub held: usize,
    /// Nothing new is begun.
    pub paused: bool,
    /// How often it was told to start again from the first event.
    pub generation: u32,
    /// Whether it has read everything there was when it last looked.
    pub caught_up: bool,
}

/// What a consumer can be told.
#[derive(Debug)]
pub(in crate::coordinator) enum Control {
    Pause,
    Resume,
    /// Answers when the consumer has started again from the first event.
    Reset(oneshot::Sender<Result<(), String>>),
}

/// The outer end of a consumer.
#[derive(Debug)]
pub(in crate::coordinator) struct Switch {
    pub(in crate::coordinator) controls: mpsc::Sender<Control>,
    pub(in crate::coordinator) progress: watch::Receiver<Progress>,
}

/// The inner end.
#[derive(Debug)]
pub(in crate::coordinator) struct Controls {
    pub(super) controls: mpsc::Receiver<Control>,
    pub(super) progress: watch::Sender<Progress>,
}

impl Controls {
    pub(in crate::coordinator) fn new() -> (Self, Switch) {
        let (sender, controls) = mpsc::channel(8);
        let (progress, watched) = watch::channel(Progress::default());
        let switch = Switch {
            controls: sender,
            progress: watched,
        };
        (Self { controls, progress }, switch)
    }
}

/// The running consumers of a server, by name.
#[derive(Debug, Default)]
pub struct Consumers {
    pub(in crate::coordinator) switches: BTreeMap<String, Switch>,
    pub(in crate::coordinator) tasks: JoinSet<()>,
}

impl Consumers {
    /// Names, in order: the kind, a dot, the component.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.switches.keys().cloned().collect()
    }

    /// How far a consumer has got; `None` when there is none of that name.
    #[must_use]
    pub fn progress(&self, name: &str) -> Option<Progress> {
        Some(self.switches.get(name)?.progress.borrow().clone())
    }

    /// Follows how far a consumer has got.
    #[must_use]
    pub fn follow(&self, name: &str) -> Option<watch::Receiver<Progress>> {
        Some(self.switches.get(name)?.progress.clone())
    }

    /// Begins nothing new for a consumer until it is resumed or the server restarted. What is
    /// under way is finished. `false` when there is none of that name.
    pub async fn pause(&self, name: &str) -> bool {
        self.send(name, Control::Pause).await
    }

    /// Goes on after a pause.
    pub async fn resume(&self, name: &str) -> bool {
        self.send(name, Control::Resume).await
    }

    /// Starts a consumer again from the first event of the store; durable when it returns.
    ///
    /// # Errors
    /// A sentence: there is none of that name, or the store did not take it.
    pub async fn reset(&self, name: &str) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        if !self.send(name, Control::Reset(answer)).await {
            return Err(format!(
                "no consumer is called `{name}`; there are: {}",
                self.names().join(", ")
            ));
        }
        answered
            .await
            .unwrap_or_else(|_| Err("the server is shutting down".to_owned()))
    }

    /// Waits until every consumer has stopped after the shutdown.
    pub async fn stopped(mut self) {
        self.switches.clear();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a consumer ended early");
            }
        }
    }

    async fn send(&self, name: &str, control: Control) -> bool {
        match self.switches.get(name) {
            Some(switch) => switch.controls.send(control).await.is_ok(),
            None => false,
        }
    }
}
