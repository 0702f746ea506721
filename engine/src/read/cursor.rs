//! Going through the events of an aggregate.

use std::sync::Arc;

use bytes::Bytes;

use super::{PageView, Part, StoredPage};
use crate::error::Result;
use crate::index::keys::{Location, TimelineId};
use crate::index::{AggregateId, Direction, Stretch};
use crate::log::FrameReader;
use crate::log::frame::Header;
use crate::log::record::{PageRef, Pages, Record, records};
use crate::shared::Shared;
use crate::types::{AggregateKey, Sequence};

/// Goes through events of one aggregate, holding one chunk of them at a time.
pub struct PageCursor {
    pub(super) shared: Arc<Shared>,
    /// The aggregate being read.
    pub(super) key: AggregateKey,
    /// Its own timeline; what stands on another is inherited from main.
    pub(super) own: Option<TimelineId>,
    pub(super) reader: FrameReader,
    /// What is still to be read; the next part last.
    pub(super) parts: Vec<Part>,
    pub(super) direction: Direction,
    /// Where the events of the next part's beginning stand; the next one last.
    pub(super) locations: Vec<(Sequence, Location)>,
}

impl PageCursor {
    /// The next events, in about `bytes` of payload at most, but at least one frame; empty at the
    /// end.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn next_chunk(&mut self, bytes: usize) -> Result<Vec<StoredPage>> {
        let mut pages = Vec::new();
        let mut size = 0usize;
        while size < bytes {
            let Some((header, part, first)) = self.next_frame()? else {
                break;
            };
            let payload = self.reader.shared_payload();
            let slice = |bytes: &[u8]| {
                if bytes.is_empty() {
                    Bytes::new()
                } else {
                    payload.slice_ref(bytes)
                }
            };
            self.visit_frame(&header, &payload, part, first, &mut |page| {
                size = size.saturating_add(page.body.len());
                pages.push(StoredPage {
                    sequence: page.sequence,
                    created_at: page.created_at,
                    type_name: page.type_name,
                    body: slice(page.body),
                    correlation: slice(page.correlation),
                    cascade: slice(page.cascade),
                    isolated: page.isolated,
                });
            })?;
        }
        Ok(pages)
    }

    /// The same for a caller that needs each event only for a moment. Returns how many there
    /// were; 0 at the end.
    ///
    /// # Errors
    /// As for [`next_chunk`](Self::next_chunk).
    pub fn visit_chunk(
        &mut self,
        bytes: usize,
        mut visit: impl FnMut(PageView<'_>),
    ) -> Result<usize> {
        let mut count = 0;
        let mut size = 0usize;
        while size < bytes {
            let Some((header, part, first)) = self.next_frame()? else {
                break;
            };
            let payload = self.reader.payload();
            self.visit_frame(&header, payload, part, first, &mut |page| {
                size = size.saturating_add(page.body.len());
                count += 1;
                visit(page);
            })?;
        }
        Ok(count)
    }

    /// Reads the frame with the next events: its header, the part of the aggregate they are of, and
    /// the first of them.
    fn next_frame(&mut self) -> Result<Option<(Header, Part, Sequence)>> {
        loop {
            if self.locations.is_empty() {
                self.locate()?;
            }
            let Some(&part) = self.parts.last() else {
                return Ok(None);
            };
            let Some((first, location)) = self.locations.pop() else {
                self.parts.pop();
                continue;
            };
            let header = self.reader.load(location.frame)?;
            self.shrink_part(first, location);
            return Ok(Some((header, part, first)));
        }
    }

    /// Whether everything was returned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.locations.is_empty() && self.parts.iter().all(|part| part.from >= part.to)
    }

    /// Finds where the next events stand.
    fn locate(&mut self) -> Result<()> {
        /// Places looked up at a time.
        const STEP: usize = 1024;
        if let Some(part) = self.parts.last().filter(|part| part.from < part.to) {
            let last = part.head.last.sequence;
            self.locations = if part.from >= last {
                vec![(last, part.head.last_location())]
            } else {
                let Part { id, from, to, .. } = *part;
                let stretch = Stretch { id, from, to };
                let index = &self.shared.index;
                let mut pages = index.pages(stretch, self.direction, STEP)?;
                pages.reverse();
                pages
            };
            // Now, for what the index leads to was settled when it was asked.
            self.reader.advance_limit(self.shared.settled());
        }
        Ok(())
    }

    /// Notes that the events of a location have been read.
    fn shrink_part(&mut self, first: Sequence, location: Location) {
        let end = first
            .plus(location.count)
            .unwrap_or(Sequence::new(u32::MAX));
        if let Some(part) = self.parts.last_mut() {
            if self.direction == Direction::Backwards {
                part.to = first.min(part.to);
            } else {
                part.from = end.max(part.from);
            }
        }
    }

    /// Shows the events that begin at `first`, as far as they belong to the part.
    fn visit_frame(
        &self,
        header: &Header,
        payload: &[u8],
        Part { id, from, to, .. }: Part,
        first: Sequence,
        visit: &mut dyn FnMut(PageView<'_>),
    ) -> Result<()> {
        let corrupt = |problem| self.reader.corrupt(header.address, problem);
        for record in records(payload, header.recorded_at) {
            let Record::Pages(found) = record.map_err(corrupt)? else {
                continue;
            };
            if !self.is_wanted(&found, id, first) {
                continue;
            }
            let pages = found.pages(header.recorded_at);
            let is_wanted = |page: &PageRef<'_>| page.sequence >= from && page.sequence < to;
            if self.direction == Direction::Backwards {
                let pages = pages.collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
                for page in pages.into_iter().rev().filter(is_wanted) {
                    visit(view(&found, page));
                }
            } else {
                for page in pages {
                    let page = page.map_err(corrupt)?;
                    if is_wanted(&page) {
                        visit(view(&found, page));
                    }
                }
            }
            return Ok(());
        }
        if self.shared.index.registry().name(id.timeline).is_none() {
            // The branch was deleted while it was read, and the log need not hold it any more.
            return Ok(());
        }
        Err(self.reader.corrupt(
            header.address,
            "the events that the index names are missing",
        ))
    }

    fn is_wanted(&self, found: &Pages<'_>, id: AggregateId, first: Sequence) -> bool {
        let inherited = self.own != Some(id.timeline);
        let edition = if inherited {
            ""
        } else {
            self.key.edition.as_str()
        };
        found.first == first
            && found.key.root == id.root
            && found.key.edition == edition
            && found.key.domain == self.key.domain.as_str()
    }
}

fn view<'a>(record: &Pages<'a>, page: PageRef<'a>) -> PageView<'a> {
    PageView {
        sequence: page.sequence,
        created_at: page.created_at,
        type_name: page.type_name,
        body: page.body,
        correlation: record.correlation.as_bytes(),
        cascade: record.cascade.unwrap_or_default().as_bytes(),
        isolated: record.isolated,
    }
}
