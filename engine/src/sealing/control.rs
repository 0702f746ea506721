//! Says how sealing goes, and holds it up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// How the background rewriting of full segments goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// Segments that were rewritten.
    pub sealed: usize,
    /// Full segments that were not yet.
    pub waiting: usize,
    /// Bytes of the segment at hand that are done, and all of them.
    pub current: Option<(u64, u64)>,
    /// Whether it is held up.
    pub paused: bool,
    /// Why the last segment could not be rewritten; it is as it was.
    pub failure: Option<String>,
}

/// The segment at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Current {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// Shared by the thread that seals and those who ask about it.
#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    paused: bool,
    closing: bool,
    current: Option<Current>,
    failure: Option<String>,
}

impl Control {
    /// Waits as long as sealing is held up, and long enough for these bytes at this rate.
    ///
    /// # Errors
    /// [`Error::Refused`] when the engine is being closed.
    pub(crate) fn pace(&self, bytes: u64, rate: u64) -> Result<()> {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let state = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let state = self
            .changed
            .wait_while(state, |state| state.paused && !state.closing)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closing {
            return Err(Error::Refused("the engine is closed".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.changed.notify_all();
    }

    /// Ends what is under way.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    pub(crate) fn set_current(&self, current: Option<Current>) {
        self.lock().current = current;
        if current.is_none() {
            self.changed.notify_all();
        }
    }

    pub(crate) fn set_failure(&self, failure: Option<String>) {
        self.lock().failure = failure;
        self.changed.notify_all();
    }

    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.paused || state.closing
    }

    pub(crate) fn describe(&self, (sealed, waiting): (usize, usize)) -> Sealing {
        let state = self.lock();
        Sealing {
            sealed,
            waiting,
            current: state.current.map(|current| (current.done, current.total)),
            paused: state.paused,
            failure: state.failure.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
