//! Watching and steering consumers from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

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
    /// Why deliveries are tried again, or the store is; empty when nothing is.
    pub error: String,
}

/// What a consumer can be told. It answers when it has done so.
#[derive(Debug)]
pub(in crate::coordinator) enum Control {
    Pause(oneshot::Sender<()>),
    Resume(oneshot::Sender<()>),
    /// Start again from the first event.
    Reset(oneshot::Sender<Result<(), String>>),
}

/// The outer end of a consumer.
#[derive(Debug)]
pub(in crate::coordinator) struct Switch {
    controls: mpsc::Sender<Control>,
    progress: watch::Receiver<Progress>,
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

/// The consumers of a server, by name: the kind, a dot, the component.
#[derive(Debug, Clone, Default)]
pub struct Consumers(pub(in crate::coordinator) Arc<BTreeMap<String, Switch>>);

/// Why a consumer was not steered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// There is none of that name.
    #[error("no consumer is called `{name}`; this server has {}", list(.known))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The store did not take it.
    #[error("not rebuilt: {0}; try again")]
    Store(String),
    /// It does not listen any more.
    #[error("the server is shutting down")]
    Stopped,
}

impl Consumers {
    /// Names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// How far a consumer has got; `None` when there is none of that name.
    #[must_use]
    pub fn progress(&self, name: &str) -> Option<Progress> {
        Some(self.0.get(name)?.progress.borrow().clone())
    }

    /// Follows how far a consumer has got.
    #[must_use]
    pub fn follow(&self, name: &str) -> Option<watch::Receiver<Progress>> {
        Some(self.0.get(name)?.progress.clone())
    }

    /// Begins nothing new for a consumer until it is resumed or the server restarted. What is
    /// under way is finished.
    ///
    /// # Errors
    /// [`SteerError`]
    pub async fn pause(&self, name: &str) -> Result<(), SteerError> {
        self.tell(name, Control::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`SteerError`]
    pub async fn resume(&self, name: &str) -> Result<(), SteerError> {
        self.tell(name, Control::Resume).await
    }

    /// Starts a consumer again from the first event of the store; durable and begun when it
    /// returns.
    ///
    /// # Errors
    /// [`SteerError`]
    pub async fn reset(&self, name: &str) -> Result<(), SteerError> {
        let before = self.progress(name).unwrap_or_default().generation;
        let recorded = self.tell(name, Control::Reset).await?;
        recorded.map_err(SteerError::Store)?;
        if let Some(mut progress) = self.follow(name) {
            let begun = progress.wait_for(|progress| progress.generation > before);
            begun.await.map_err(|_| SteerError::Stopped)?;
        }
        Ok(())
    }

    async fn tell<T>(
        &self,
        name: &str,
        control: impl FnOnce(oneshot::Sender<T>) -> Control,
    ) -> Result<T, SteerError> {
        let switch = self.0.get(name).ok_or_else(|| SteerError::Unknown {
            name: name.to_owned(),
            known: self.names(),
        })?;
        let (answer, answered) = oneshot::channel();
        let sent = switch.controls.send(control(answer)).await;
        sent.map_err(|_| SteerError::Stopped)?;
        answered.await.map_err(|_| SteerError::Stopped)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
