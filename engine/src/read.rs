//! Reading single aggregates, and what the index lists.

use bytes::Bytes;

use crate::engine::Engine;
use crate::error::Result;
use crate::event::{ClaimRange, Span};
use crate::index::keys::{self, Head};
use crate::index::{AggregateId, Direction, Family, Range};
use crate::log::FrameReader;
use crate::types::{AggregateKey, Domain, Edition, Sequence, Timestamp};

mod cursor;
mod list;
mod snapshots;

pub use cursor::PageCursor;
pub use list::{EditionDomain, Listed};

/// An aggregate as it stood when [`Engine::aggregate`] was called.
#[derive(Debug, Clone)]
pub struct View {
    key: AggregateKey,
    /// Own timeline, with the events it holds itself.
    own: Option<(AggregateId, Head)>,
    /// Main timeline of a branch, and the end of what it inherits.
    inherited: Option<(AggregateId, Head, Sequence)>,
    next: Sequence,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPage {
    /// Its number.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: Bytes,
    /// Its correlation id; empty if it has none.
    pub correlation: Bytes,
    /// The cascade it was stored for as pending; empty for a committed one.
    pub cascade: Bytes,
    /// No consumer ever gets it.
    pub isolated: bool,
}

/// A stored event, borrowed for as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct PageView<'a> {
    /// Its number.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: &'a [u8],
    /// Its correlation id; empty if it has none.
    pub correlation: &'a [u8],
    /// The cascade it was stored for as pending; empty for a committed one.
    pub cascade: &'a [u8],
    /// No consumer ever gets it.
    pub isolated: bool,
}

/// A decision about an event, or that there is none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark {
    /// Which event.
    pub sequence: Sequence,
    /// The cascade it was stored for; empty for a committed one.
    pub cascade: String,
    /// Its cascade was committed.
    pub confirmed: bool,
    /// It is void.
    pub revoked: bool,
}

impl View {
    /// The aggregate.
    #[must_use]
    pub fn key(&self) -> &AggregateKey {
        &self.key
    }

    /// Sequence of the next event.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Where a branch leaves main: it inherits what is below. `None` on main.
    #[must_use]
    pub fn divergence(&self) -> Option<Sequence> {
        if self.key.edition.is_main() {
            return None;
        }
        let own = self.own.map(|(_, head)| head.first);
        own.or(self.inherited.map(|(_, _, to)| to))
            .or(Some(self.next))
    }

    /// Whether any event is or was pending, or is revoked.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        self.own.is_some_and(|(_, head)| head.marked)
            || self.inherited.is_some_and(|(_, head, _)| head.marked)
    }

    /// Whether it is on a branch.
    #[must_use]
    pub fn is_branch(&self) -> bool {
        !self.key.edition.is_main()
    }

    /// Parts of `from..to`, each on one timeline, in sequence order.
    fn parts(&self, from: Sequence, to: Sequence) -> Vec<Part> {
        let inherited = self.inherited.map(|(id, head, end)| Part {
            id,
            head,
            from,
            to: to.min(end),
        });
        let own = self.own.map(|(id, head)| Part {
            id,
            head,
            from: from.max(head.first),
            to: to.min(head.next),
        });
        let parts = [inherited, own].into_iter().flatten();
        parts.filter(|part| part.from < part.to).collect()
    }
}

/// Sequences of an aggregate that stand on one timeline.
#[derive(Debug, Clone, Copy)]
struct Part {
    id: AggregateId,
    /// Of the aggregate on that timeline.
    head: Head,
    from: Sequence,
    to: Sequence,
}

impl Engine {
    /// Looks an aggregate up. `divergence` says where a branch leaves main if nothing is recorded
    /// or stored for it.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn aggregate(&self, key: &AggregateKey, divergence: Option<Sequence>) -> Result<View> {
        let index = &self.shared.index;
        let timeline = index.registry().get(&key.edition, &key.domain);
        let own = match timeline {
            Some(timeline) => {
                let id = AggregateId {
                    timeline: timeline.id,
                    root: key.root,
                };
                index.head_of(id)?.map(|head| (id, head))
            }
            None => None,
        };
        let mut inherited = None;
        if !key.edition.is_main() {
            let main = key.on_main();
            if let Some(id) = index.id(&main)
                && let Some(head) = index.head_of(id)?
            {
                let recorded = timeline.and_then(|timeline| timeline.divergence);
                let end = own.map(|(_, head)| head.first).or(divergence).or(recorded);
                let end = end.map_or(head.next, |end| end.min(head.next));
                inherited = Some((id, head, end));
            }
        }
        let next = own
            .map(|(_, head)| head.next)
            .or(inherited.map(|(_, _, end)| end))
            .unwrap_or_default();
        Ok(View {
            key: key.clone(),
            own,
            inherited,
            next,
        })
    }

    /// Reads the events of `from..to`, in sequence order or backwards.
    #[must_use]
    pub fn pages(&self, view: &View, from: Sequence, to: Sequence, backwards: bool) -> PageCursor {
        let mut parts = view.parts(from, to);
        let direction = if backwards {
            Direction::Backwards
        } else {
            parts.reverse();
            Direction::Forwards
        };
        PageCursor {
            shared: self.shared.clone(),
            key: view.key.clone(),
            own: view.own.map(|(id, _)| id.timeline),
            reader: FrameReader::new(self.shared.log.clone(), self.shared.settled()).trusting(),
            parts,
            direction,
            locations: Vec::new(),
        }
    }

    /// Decisions about the events of `from..to`, in sequence order.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn marks(&self, view: &View, from: Sequence, to: Sequence) -> Result<Vec<PageMark>> {
        let mut marks = Vec::new();
        if !view.has_marks() {
            return Ok(marks);
        }
        for Part { id, from, to, .. } in view.parts(from, to) {
            let range = Range::of(Family::Marks, id, from, to);
            self.shared.index.for_each(&range, |key, value| {
                let mark = keys::Mark::decode(value)?;
                marks.push(PageMark {
                    sequence: keys::sequence_of(key)?,
                    cascade: mark.cascade,
                    confirmed: mark.confirmed,
                    revoked: mark.revoked,
                });
                Ok(())
            })?;
        }
        Ok(marks)
    }

    /// What a claim stands for, if it is known.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn claim(
        &self,
        key: &AggregateKey,
        kind: &[u8],
        claim: &[u8],
    ) -> Result<Option<ClaimRange>> {
        self.shared.index.claim(key, kind, claim)
    }

    /// Whether anything was ever stored on a timeline, and it was not deleted.
    #[must_use]
    pub fn has_timeline(&self, edition: &Edition, domain: &Domain) -> bool {
        self.shared.index.registry().get(edition, domain).is_some()
    }
}
