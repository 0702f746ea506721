//! Reading the whole store in position order.

mod filter;
mod recorded;

use std::sync::Arc;

pub(crate) use filter::About;
pub use filter::Filter;
pub use recorded::{Recorded, RecordedPage, RecordedPageView, RecordedView};

use crate::engine::{Engine, Watch};
use crate::error::{Error, Result};
use crate::index::keys::Timeline;
use crate::index::{Direction, Family, Range, damaged, keys};
use crate::interest::Interest;
use crate::log::FrameReader;
use crate::log::codec::BadRecord;
use crate::log::frame::Header;
use crate::log::record::{KeyRef, Pages, Record, records};
use crate::shared::Shared;
use crate::types::{Address, Position};

/// A place in the store from which to read on. Holds one window of the log while it reads, whatever
/// the store's size, and none while it waits.
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
        let reader = FrameReader::sequential(self.shared.log.clone(), readable.address).trusting();
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
        self.reader.release();
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
        let mut found = Vec::new();
        let mut timeline = Known::default();
        self.each_frame(bytes, until, |cursor, header| {
            let payload = cursor.reader.shared_payload();
            cursor.visit_frame(header, &payload, &mut timeline, &mut |view| {
                let recorded = view.to_recorded(&payload);
                let recorded = recorded.map_err(|problem| cursor.corrupt(header, problem))?;
                found.push(recorded);
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// The same for a caller that needs what it finds only for a moment. Returns how often it was
    /// called.
    ///
    /// # Errors
    /// As for [`next_chunk`](Self::next_chunk).
    pub fn visit_chunk(
        &mut self,
        bytes: u64,
        until: Position,
        mut visit: impl FnMut(RecordedView<'_>),
    ) -> Result<usize> {
        let mut count = 0;
        let mut timeline = Known::default();
        self.each_frame(bytes, until, |cursor, header| {
            let payload = cursor.reader.payload();
            cursor.visit_frame(header, payload, &mut timeline, &mut |view| {
                count += 1;
                visit(view);
                Ok(())
            })
        })?;
        Ok(count)
    }

    fn each_frame(
        &mut self,
        bytes: u64,
        until: Position,
        mut take: impl FnMut(&Self, &Header) -> Result<Position>,
    ) -> Result<()> {
        let readable = self.shared.readable();
        self.reader.advance_limit(readable.address);
        let stop = self.at.plus(bytes);
        while self.at < readable.address && self.at < stop && self.after < until {
            let header = self.reader.load(self.at)?;
            let next = take(self, &header)?;
            let last = Position::new(next.get().saturating_sub(1));
            self.after = self.after.max(last);
            self.at = header.end();
        }
        if self.at >= readable.address {
            self.after = self.after.max(readable.position.min(until));
        }
        Ok(())
    }

    /// Shows what passes the filter. Returns the position behind the frame's events.
    fn visit_frame(
        &self,
        header: &Header,
        payload: &[u8],
        timeline: &mut Known,
        visit: &mut dyn FnMut(RecordedView<'_>) -> Result<()>,
    ) -> Result<Position> {
        let mut position = header.position;
        for record in records(payload, header.recorded_at) {
            match record.map_err(|problem| self.corrupt(header, problem))? {
                Record::Pages(pages) => {
                    if self.filter.wants(&About::of_pages(&pages))
                        && self.is_alive(header, &pages, timeline)?
                    {
                        self.visit_pages(header, &pages, position, visit)?;
                    }
                    position = position.plus(pages.count.into());
                }
                Record::Dropped { count, .. } => position = position.plus(count.into()),
                _ => {}
            }
        }
        Ok(position)
    }

    fn visit_pages(
        &self,
        header: &Header,
        pages: &Pages<'_>,
        position: Position,
        visit: &mut dyn FnMut(RecordedView<'_>) -> Result<()>,
    ) -> Result<()> {
        /// Pages of most commits.
        const FEW: usize = 128;
        let recorded_at = header.recorded_at;
        let mut kept = Vec::with_capacity(FEW.min(pages.count as usize));
        for (position, page) in (position.get()..).zip(pages.pages(recorded_at)) {
            let page = page.map_err(|problem| self.corrupt(header, problem))?;
            let position = Position::new(position);
            if position > self.after && self.filter.wants_type(&page) {
                kept.push(RecordedPageView {
                    position,
                    sequence: page.sequence,
                    created_at: page.created_at,
                    type_name: page.type_name,
                    body: page.body,
                });
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        visit(RecordedView {
            domain: pages.key.domain,
            edition: pages.key.edition,
            root: pages.key.root,
            correlation: pages.correlation,
            ext: pages.ext,
            cascade: pages.cascade,
            isolated: pages.isolated,
            recorded_at,
            pages: &kept,
        })
    }

    /// Whether events are part of their timeline as it was when it was last looked up.
    fn is_alive(&self, header: &Header, pages: &Pages<'_>, timeline: &mut Known) -> Result<bool> {
        let KeyRef {
            domain, edition, ..
        } = pages.key;
        if timeline.domain != domain || timeline.edition != edition {
            let found = self.shared.index.registry().known(edition, domain);
            timeline.set(domain, edition, found);
        }
        let alive = timeline.since.is_some_and(|since| since <= header.address);
        if !alive {
            // A timeline that is known has a sound name.
            let key = pages.key.to_key();
            key.map_err(|problem| self.corrupt(header, problem))?;
        }
        Ok(alive)
    }

    fn corrupt(&self, header: &Header, problem: BadRecord) -> Error {
        self.reader.corrupt(header.address, problem)
    }
}

/// The timeline that was looked up last: what stands together in the log is often of one.
#[derive(Default)]
struct Known {
    domain: String,
    edition: String,
    /// Where it begins, if it was not deleted.
    since: Option<Address>,
}

impl Known {
    fn set(&mut self, domain: &str, edition: &str, found: Option<Timeline>) {
        self.domain.clear();
        self.domain.push_str(domain);
        self.edition.clear();
        self.edition.push_str(edition);
        let alive = found.filter(|timeline| !timeline.deleted);
        self.since = alive.map(|timeline| timeline.since);
    }
}
