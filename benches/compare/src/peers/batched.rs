//! One thread that owns a library's store and commits whatever is queued as one transaction.

use std::io;
use std::thread;

use angzarr_server::bench::load::AppendError;
use tokio::sync::{mpsc, oneshot};

use crate::Result;

/// Events that may wait for the next transaction.
const QUEUE_MAX: usize = 8_192;

/// Events in one transaction.
const GROUP_MAX: usize = 4_096;

/// An event on its way into the store.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) root: [u8; 16],
    pub(crate) sequence: u32,
    pub(crate) payload: Vec<u8>,
}

/// A store that takes several events in one durable transaction.
pub(crate) trait Sink: Send + 'static {
    /// Stores those that are their aggregate's next. Returns for each whether it was, when all
    /// of them are durable.
    fn commit(&mut self, events: &[Event]) -> Result<Vec<bool>>;
}

type Answer = oneshot::Sender<Result<(), AppendError>>;

/// The way to the thread, which ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Batched {
    queue: mpsc::Sender<(Event, Answer)>,
}

impl Batched {
    pub(crate) fn start(sink: impl Sink) -> io::Result<Self> {
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        thread::Builder::new()
            .name("batched".to_owned())
            .spawn(move || run(sink, events))?;
        Ok(Self { queue })
    }

    pub(crate) async fn append(&self, event: Event) -> Result<(), AppendError> {
        let ended = || AppendError::Failed("the writer ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let sent = self.queue.send((event, answer)).await;
        sent.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// An event that is not its aggregate's next.
pub(crate) fn stale() -> AppendError {
    AppendError::Refused("another sequence is next".to_owned())
}

fn run(mut sink: impl Sink, mut queue: mpsc::Receiver<(Event, Answer)>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let (events, answers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let outcomes = match sink.commit(&events) {
            Ok(accepted) => accepted
                .into_iter()
                .map(|accepted| if accepted { Ok(()) } else { Err(stale()) })
                .collect(),
            Err(error) => vec![Err(AppendError::Failed(error.to_string())); answers.len()],
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // A caller that went away needs no answer.
            let _ = answer.send(outcome);
        }
    }
}
