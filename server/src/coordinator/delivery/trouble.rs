//! What keeps deliveries from ending, as long as it does.

use tokio::sync::watch;

/// Deliveries of a consumer that failed and are tried again.
#[derive(Debug, Default)]
pub(super) struct Troubles(watch::Sender<Trouble>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    failing: usize,
    /// Why the last of them failed; empty while there are none.
    pub(super) error: String,
}

/// One delivery on its way. Dropped when it ended, however it did.
pub(super) struct Attempts<'a> {
    troubles: &'a Troubles,
    failed: bool,
}

impl Troubles {
    pub(super) fn watch(&self) -> watch::Receiver<Trouble> {
        self.0.subscribe()
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts {
            troubles: self,
            failed: false,
        }
    }
}

impl Attempts<'_> {
    /// It failed, and is tried again.
    pub(super) fn failed(&mut self, error: &str) {
        let first = !std::mem::replace(&mut self.failed, true);
        self.troubles.0.send_if_modified(|trouble| {
            trouble.failing += usize::from(first);
            let is_news = trouble.error != error;
            if is_news {
                error.clone_into(&mut trouble.error);
            }
            is_news
        });
    }
}

impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        if !self.failed {
            return;
        }
        self.troubles.0.send_if_modified(|trouble| {
            trouble.failing -= 1;
            let was_last = trouble.failing == 0;
            if was_last {
                trouble.error.clear();
            }
            was_last
        });
    }
}
