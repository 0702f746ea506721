//! Reading the whole store in position order.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Engine, Watch};
use crate::error::Result;
use crate::event::{Span, Write};
use crate::index::{Direction, Family, Range, damaged, keys};
use crate::interest::Interest;
use crate::log::record::{Pages, Record, records};
use crate::log::{Frame, FrameReader};
use crate::shared::Shared;
use crate::types::{
    Address, AggregateKey, CascadeId, CorrelationId, Domain, Edition, Position, Root, Sequence,
    Timestamp,
};

/// What a reader of the whole store wants to see. Every condition must hold; an empty list does
/// not restrict.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Domains.
    pub domains: Vec<Domain>,
    /// Timelines.
    pub editions: Vec<Edition>,
    /// Type names, in full or their last dotted part.
    pub types: Vec<String>,
    /// Aggregates.
    pub roots: Vec<Root>,
    /// Correlation id; empty for any.
    pub correlation: CorrelationId,
    /// Leave out what is isolated.
    pub skip_isolated: bool,
}

/// Events that were committed together for one aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The aggregate.
    pub key: AggregateKey,
    /// Their correlation id.
    pub correlation: CorrelationId,
    /// Opaque bytes that came with them.
    pub ext: Bytes,
    /// The cascade they were stored for as pending.
    pub cascade: Option<CascadeId>,
    /// Whether consumers never get them.
    pub isolated: bool,
    /// When they were committed.
    pub recorded_at: Timestamp,
    /// The events that passed the filter.
    pub pages: Vec<RecordedPage>,
}

/// One event with its place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPage {
    /// Place in the whole store.
    pub position: Position,
    /// Place in its aggregate.
    pub sequence: Sequence,
    /// When it happened.
    pub created_at: Timestamp,
    /// Where in `body` its type name stands.
    pub type_name: Span,
    /// Its payload.
    pub body: Bytes,
}

/// A place in the store from which to read on. Holds one window of the log, whatever the store's
/// size and however long it waits.
pub struct LogCursor {
    shared: Arc<Shared>,
    reader: FrameReader,
    filter: Filter,
    /// The next frame to read.
    at: Address,
    /// Events up to here were returned, did not match, or are to be passed over.
    after: Position,
    /// Tells what concerns a reader that has read everything and wants little of what comes.
    interest: Option<Interest>,
    /// Frames below this are to be read, whatever `interest` says.
    unseen: Address,
}

impl Engine {
    /// A cursor behind a position.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn cursor(&self, after: Position, filter: Filter) -> Result<LogCursor> {
        let readable = self.shared.readable();
        let at = if after >= readable.position {
            // Nothing to read yet; a position ahead of the store is waited for.
            readable.address
        } else {
            self.seek(after.plus(1))?
        };
        let reader = FrameReader::sequential(self.shared.log.clone(), readable.address);
        Ok(LogCursor {
            shared: self.shared.clone(),
            reader,
            filter,
            at,
            after,
            interest: None,
            unseen: readable.address,
        })
    }

    /// An address at or before the frame of a position.
    fn seek(&self, position: Position) -> Result<Address> {
        let range = Range {
            family: Family::Positions,
            from: Vec::new(),
            to: Some(keys::number(position.plus(1).get())),
        };
        let entry = self.shared.index.scan(&range, Direction::Backwards, 1)?;
        let indexed = match entry.first() {
            Some((_, value)) => Address::new(keys::parse_number(value).map_err(damaged)?),
            None => Address::default(),
        };
        let segments = self.shared.log.segments();
        let segment = segments
            .iter()
            .rev()
            .find(|s| s.header.position <= position);
        Ok(segment.map_or(indexed, |segment| segment.header.base.max(indexed)))
    }
}

impl LogCursor {
    /// Everything up to this position has been returned or does not match.
    #[must_use]
    pub fn position(&self) -> Position {
        self.after
    }

    /// A watch that tells when there may be more.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.shared.readable.subscribe())
    }

    /// Bytes of log that are readable and not read.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let readable = self.shared.readable().address;
        readable.get().saturating_sub(self.at.get())
    }

    /// Passes over what is readable and known not to match; whether anything is left to read.
    ///
    /// Once a cursor that leaves something out has read everything, the writer compares new
    /// commits with its filter, and it need not.
    pub fn is_behind(&mut self) -> bool {
        let readable = self.shared.readable();
        let Some(interest) = &self.interest else {
            return self.at < readable.address;
        };
        if self.at < self.unseen {
            return self.at < readable.address;
        }
        match interest.take(readable.address) {
            Some(first) => {
                self.at = self.at.max(first);
                self.unseen = readable.address;
                self.at < readable.address
            }
            None => {
                self.at = self.at.max(readable.address);
                self.after = self.after.max(readable.position);
                false
            }
        }
    }

    /// Resolves when there may be something to read. To be called after
    /// [`is_behind`](Self::is_behind) has said that there is not.
    pub async fn changed(&mut self) {
        if self.interest.is_none() && self.filter.is_narrow() {
            let interest = self.shared.interests.enter(self.filter.clone());
            self.unseen = interest.from;
            self.interest = Some(interest);
        }
        match &self.interest {
            Some(interest) if self.at >= self.unseen => interest.woken().await,
            _ => {
                let mut readable = self.shared.readable.subscribe();
                let at = self.at;
                // The sender is held by this cursor.
                let _ = readable.wait_for(|readable| readable.address > at).await;
            }
        }
    }

    /// The next matching events, at most about `bytes` of log, up to and including position
    /// `until`. Empty when nothing in that stretch matches; compare
    /// [`position`](Self::position) with the store's to tell whether there is more.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn next_chunk(&mut self, bytes: u64, until: Position) -> Result<Vec<Recorded>> {
        let readable = self.shared.readable();
        self.reader.advance_limit(readable.address);
        let stop = self.at.plus(bytes);
        let mut found = Vec::new();
        while self.at < readable.address && self.at < stop && self.after < until {
            let frame = self.reader.frame(self.at)?;
            self.take_frame(&frame, &mut found)?;
            self.at = frame.header.end();
        }
        if self.at >= readable.address {
            self.after = self.after.max(readable.position.min(until));
        }
        Ok(found)
    }

    fn take_frame(&mut self, frame: &Frame, found: &mut Vec<Recorded>) -> Result<()> {
        let mut position = frame.header.position;
        for record in records(&frame.payload, frame.header.recorded_at) {
            let record =
                record.map_err(|problem| self.reader.corrupt(frame.header.address, problem))?;
            match record {
                Record::Pages(pages) => {
                    if let Some(recorded) = self.take_pages(frame, &pages, position)? {
                        found.push(recorded);
                    }
                    position = position.plus(pages.count.into());
                }
                Record::Dropped { count, .. } => position = position.plus(count.into()),
                _ => {}
            }
        }
        let last = Position::new(position.get().saturating_sub(1));
        self.after = self.after.max(last);
        Ok(())
    }

    fn take_pages(
        &self,
        frame: &Frame,
        pages: &Pages<'_>,
        position: Position,
    ) -> Result<Option<Recorded>> {
        let corrupt = |problem| self.reader.corrupt(frame.header.address, problem);
        if !self.filter.wants(&About::of_pages(pages)) {
            return Ok(None);
        }
        let key = pages.key.to_key().map_err(corrupt)?;
        let alive = {
            let registry = self.shared.index.registry();
            registry.holds(&key.edition, &key.domain, frame.header.address)
        };
        if !alive {
            return Ok(None);
        }
        let mut kept = Vec::new();
        for (position, page) in (position.get()..).zip(pages.pages(frame.header.recorded_at)) {
            let page = page.map_err(corrupt)?;
            let position = Position::new(position);
            if position > self.after && self.filter.wants_type(page.type_name.of(page.body)) {
                kept.push(RecordedPage {
                    position,
                    sequence: page.sequence,
                    created_at: page.created_at,
                    type_name: page.type_name,
                    body: frame.payload.slice_ref(page.body),
                });
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let bad_name = |_| corrupt(crate::log::codec::BadRecord("a name is malformed"));
        Ok(Some(Recorded {
            key,
            correlation: CorrelationId::new(pages.correlation).map_err(bad_name)?,
            ext: Bytes::copy_from_slice(pages.ext),
            cascade: pages
                .cascade
                .map(CascadeId::new)
                .transpose()
                .map_err(bad_name)?,
            isolated: pages.isolated,
            recorded_at: frame.header.recorded_at,
            pages: kept,
        }))
    }
}

impl Filter {
    /// Whether it leaves anything out that a commit tells without a look at its events.
    fn is_narrow(&self) -> bool {
        let names = !self.domains.is_empty() || !self.editions.is_empty();
        names || !self.roots.is_empty() || !self.correlation.as_str().is_empty()
    }

    pub(crate) fn wants(&self, about: &About<'_>) -> bool {
        fn any<T>(list: &[T], test: impl Fn(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(test)
        }
        any(&self.domains, |domain| domain.as_str() == about.domain)
            && any(&self.editions, |edition| edition.as_str() == about.edition)
            && any(&self.roots, |root| *root == about.root)
            && (self.correlation.as_str().is_empty()
                || self.correlation.as_str() == about.correlation)
            && !(self.skip_isolated && about.isolated)
    }

    fn wants_type(&self, name: &[u8]) -> bool {
        // A type URL ends with the full name behind its last slash.
        let full = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let short = full.rsplit(|&b| b == b'.').next().unwrap_or_default();
        self.types.is_empty()
            || self.types.iter().any(|wanted| {
                let wanted = wanted.as_bytes();
                wanted == full || wanted == short
            })
    }
}

/// What a filter may ask of events that were committed together for one aggregate, but for their
/// types.
pub(crate) struct About<'a> {
    domain: &'a str,
    edition: &'a str,
    root: Root,
    correlation: &'a str,
    isolated: bool,
}

impl<'a> About<'a> {
    pub(crate) fn of(write: &'a Write) -> Self {
        Self {
            domain: write.key.domain.as_str(),
            edition: write.key.edition.as_str(),
            root: write.key.root,
            correlation: write.correlation.as_str(),
            isolated: write.isolated,
        }
    }

    fn of_pages(pages: &Pages<'a>) -> Self {
        Self {
            domain: pages.key.domain,
            edition: pages.key.edition,
            root: pages.key.root,
            correlation: pages.correlation,
            isolated: pages.isolated,
        }
    }
}
