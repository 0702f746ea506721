//! The head of an aggregate.

use super::Location;
use crate::log::codec::{BadRecord, Decoder, put_uint};
use crate::types::{Address, Sequence};

/// What the index knows of an aggregate that has events on its own timeline.
///
/// What is read most stands here, so that a look-up of the head is the only one: the events that
/// were committed last, and the newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Sequence of its first event here.
    pub(crate) first: Sequence,
    /// Sequence of its next event.
    pub(crate) next: Sequence,
    /// The first of the events that were committed together last.
    pub(crate) last: Place,
    /// Its snapshot of the highest sequence.
    pub(crate) snapshot: Option<Place>,
    /// Whether any of its events is or was pending, or is revoked.
    pub(crate) marked: bool,
}

/// Where a thing of an aggregate stands in the log. Packed, because there is one or two of it in
/// each head that is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(crate) struct Place {
    pub(crate) sequence: Sequence,
    pub(crate) frame: Address,
}

impl Head {
    /// The head after events `last..next`, in the order of commits.
    pub(crate) fn appended(
        before: Option<Self>,
        last: Place,
        next: Sequence,
        pending: bool,
    ) -> Self {
        Self {
            first: before.map_or(last.sequence, |before| before.first),
            next,
            last,
            snapshot: before.and_then(|before| before.snapshot),
            marked: pending || before.is_some_and(|before| before.marked),
        }
    }

    /// The head after a snapshot.
    pub(crate) fn with_snapshot(self, place: Place) -> Self {
        let newest = |known: &Place| known.sequence > place.sequence;
        Self {
            snapshot: self.snapshot.filter(newest).or(Some(place)),
            ..self
        }
    }

    /// Where the events that were committed last stand.
    pub(crate) fn last_location(&self) -> Location {
        Location {
            frame: self.last.frame,
            count: self.next.get().saturating_sub(self.last.sequence.get()),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let before_next =
            |place: Place| u64::from(self.next.get().saturating_sub(place.sequence.get()));
        let mut out = Vec::with_capacity(24);
        put_uint(&mut out, self.first.get().into());
        put_uint(&mut out, self.next.get().into());
        out.push(self.marked.into());
        put_uint(&mut out, before_next(self.last));
        put_uint(&mut out, self.last.frame.get());
        if let Some(snapshot) = self.snapshot {
            put_uint(&mut out, before_next(snapshot));
            put_uint(&mut out, snapshot.frame.get());
        }
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut rest = Decoder(value);
        let first = Sequence::new(rest.u32()?);
        let next = Sequence::new(rest.u32()?);
        let marked = rest.byte()? != 0;
        let place = |rest: &mut Decoder<'_>| {
            let before = next.get().checked_sub(rest.u32()?);
            Ok(Place {
                sequence: Sequence::new(before.ok_or(BadRecord("a place is out of range"))?),
                frame: Address::new(rest.uint()?),
            })
        };
        let last = place(&mut rest)?;
        let has_snapshot = !rest.0.is_empty();
        let snapshot = has_snapshot.then(|| place(&mut rest)).transpose()?;
        Ok(Self {
            first,
            next,
            last,
            snapshot,
            marked,
        })
    }
}
