//! A thread that does one thing whenever it is woken, and ends when it is dropped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};

/// Owns the thread. Dropping it waits for the thread to end.
pub(crate) struct Worker {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes a [`Worker`].
#[derive(Clone)]
pub(crate) struct Waker(Arc<Signal>);

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    ended: bool,
}

impl Worker {
    /// Starts a thread that runs `work` each time it is woken, and each `every`, if given.
    pub(crate) fn start(
        name: &str,
        every: Option<Duration>,
        work: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let seen = signal.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while seen.wait(every) {
                    work();
                }
            })
            .map_err(Error::io(format!("starting the thread {name}")))?;
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.signal.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal.change(|state| state.ended = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a background thread of the engine panicked");
        }
    }
}

impl Waker {
    pub(crate) fn wake(&self) {
        self.0.change(|state| state.woken = true);
    }
}

impl Signal {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Waits to be woken; `false` when the thread is to end.
    fn wait(&self, every: Option<Duration>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.woken && !state.ended {
            match every {
                None => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                Some(every) => {
                    let (next, result) = self
                        .changed
                        .wait_timeout(state, every)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = next;
                    if result.timed_out() {
                        break;
                    }
                }
            }
        }
        state.woken = false;
        !state.ended
    }
}
