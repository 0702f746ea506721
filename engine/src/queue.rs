//! Commits on their way to the writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::core::Core;
use crate::error::{Error, Result};
use crate::event::{Commit, Committed};
use crate::sequencer::Hints;
use crate::types::Position;

/// How long the writer waits for more before it takes the log to be idle.
const IDLE: Duration = Duration::from_secs(1);

/// Fewer answers are delivered by the writer itself: their submitters hear of them sooner.
const COURIER_MIN: usize = 4;

/// A commit that waits for its answer.
pub(crate) struct Request {
    pub(crate) commit: Commit,
    pub(crate) hints: Hints,
    /// At least what it takes in the log.
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Answered>,
    /// Room in the queue, given back when the answer is sent.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// An answer, and the commit it is to: memory is given back by the threads that asked for it, of
/// which there are more than writers.
pub(crate) type Answered = (Result<Committed>, Commit);

/// An answer on its way to its submitter.
pub(crate) struct Letter {
    pub(crate) to: oneshot::Sender<Answered>,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) answer: Answered,
}

/// The answers of one group. Whatever becomes of it, they are delivered: at the latest when it is
/// dropped.
pub(crate) struct Mail(pub(crate) Vec<Letter>);

impl Drop for Mail {
    fn drop(&mut self) {
        // Given back at once: each time takes the lock of all submitters.
        let mut room: Option<OwnedSemaphorePermit> = None;
        for letter in self.0.drain(..) {
            match &mut room {
                Some(room) => room.merge(letter.permit),
                none => *none = Some(letter.permit),
            }
            // Nobody waits any more when the submitter was cancelled.
            let _ = letter.to.send(letter.answer);
        }
    }
}

/// What the writer is to do next.
pub(crate) enum Work {
    /// Commits that make a group of about this many bytes.
    Group(Vec<Request>, usize),
    /// End the segment.
    Seal(oneshot::Sender<Result<Option<Position>>>),
    /// Nothing came for a while.
    Idle,
    /// No more will come.
    Close,
}

/// First in, first out; bounded by the permits that its requests hold.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    seals: Vec<oneshot::Sender<Result<Option<Position>>>>,
    closed: bool,
    /// Delivers the mail in place of the writer.
    courier: Option<mpsc::UnboundedSender<Mail>>,
    /// Whether the writer waits.
    waiting: bool,
}

impl Queue {
    /// # Errors
    /// [`Error::Refused`] when the engine is being closed.
    pub(crate) fn push(&self, request: Request) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        state.requests.push_back(request);
        self.wake(state);
        Ok(())
    }

    /// Asks for the end of the segment, behind what is queued.
    pub(crate) fn push_seal(
        &self,
        answer: oneshot::Sender<Result<Option<Position>>>,
    ) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        state.seals.push(answer);
        self.wake(state);
        Ok(())
    }

    /// Lets the writer finish what is queued and then end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// The mail to deliver from now on, until the writer ends.
    pub(crate) fn employ_courier(&self) -> mpsc::UnboundedReceiver<Mail> {
        let (courier, mail) = mpsc::unbounded_channel();
        let mut state = self.lock();
        if !state.closed {
            state.courier = Some(courier);
        }
        mail
    }

    /// Has the answers of a group delivered.
    pub(crate) fn post(&self, mail: Mail) {
        if mail.0.len() < COURIER_MIN {
            return;
        }
        let courier = self.lock().courier.clone();
        if let Some(courier) = courier {
            // When he is gone the mail comes back, and is delivered by being dropped.
            let _ = courier.send(mail);
        }
    }

    /// Whoever delivers the mail may go home when he has.
    pub(crate) fn dismiss_courier(&self) {
        self.lock().courier = None;
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Waits for something to do. With `restless`, not longer than the idle time.
    pub(crate) fn next(&self, restless: bool) -> Work {
        let mut state = self.lock();
        loop {
            let commits = state.requests.iter().map(|r| (&r.commit, r.bytes));
            let (count, bytes) = Core::group_len(commits);
            if count > 0 {
                return Work::Group(state.requests.drain(..count).collect(), bytes);
            }
            if let Some(seal) = state.seals.pop() {
                return Work::Seal(seal);
            }
            if state.closed {
                return Work::Close;
            }
            state.waiting = true;
            let timed_out;
            (state, timed_out) = if restless {
                let (state, result) = self
                    .work
                    .wait_timeout(state, IDLE)
                    .unwrap_or_else(PoisonError::into_inner);
                (state, result.timed_out())
            } else {
                (
                    self.work
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner),
                    false,
                )
            };
            state.waiting = false;
            if timed_out && state.requests.is_empty() && state.seals.is_empty() && !state.closed {
                return Work::Idle;
            }
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        // Once is enough: it may be long before a busy machine lets the writer run.
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        if waiting {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to whatever comes after closing.
pub(crate) fn closed() -> Error {
    Error::Refused("the engine is closed".to_owned())
}
