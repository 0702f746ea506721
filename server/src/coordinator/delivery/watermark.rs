//! How far a consumer has got when work is finished out of order.

use std::collections::BTreeMap;

/// The position up to which everything is done.
///
/// Invariant: no open position is at or below [`Watermark::done`].
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// Everything up to here was handed out, or is of no interest.
    read: u64,
    /// Work that is not finished, by position.
    open: BTreeMap<u64, usize>,
}

impl Watermark {
    /// Everything up to `position` was done before.
    pub(super) fn at(position: u64) -> Self {
        Self {
            read: position,
            open: BTreeMap::new(),
        }
    }

    /// A piece of work of this position begins, before the position counts as read. One may have
    /// several.
    pub(super) fn begin(&mut self, position: u64) {
        *self.open.entry(position).or_default() += 1;
    }

    /// There is nothing more to begin up to this position.
    pub(super) fn read_up_to(&mut self, position: u64) {
        self.read = self.read.max(position);
    }

    /// A piece of work of this position is finished.
    pub(super) fn finish(&mut self, position: u64) {
        if let Some(pieces) = self.open.get_mut(&position) {
            *pieces -= 1;
            if *pieces == 0 {
                self.open.remove(&position);
            }
        }
    }

    /// Everything up to here was read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Everything up to here is done.
    pub(super) fn done(&self) -> u64 {
        match self.open.first_key_value() {
            Some((first, _)) => first.saturating_sub(1).min(self.read),
            None => self.read,
        }
    }
}

#[cfg(test)]
mod tests;
