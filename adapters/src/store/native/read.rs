//! `Read`: one aggregate, chunk by chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use angzarr_engine::{Engine, PageCursor, PageMark, Sequence, StoredPage, Timestamp, View};
use angzarr_proto::store::v1 as pb;
use futures::{StreamExt, TryStreamExt, stream};
use pb::read_request::Selection;
use tokio::task::{JoinHandle, spawn_blocking};

use super::compose::{PageParts, Shown, resolve};
use super::{NativeStore, compose, convert, joined};
use crate::StoreError;
use crate::store::{ReadStream, Result};

/// Bytes of payload in one answer, about.
const CHUNK: usize = 256 * 1024;

/// Bytes that room is made for ahead, for each event of the aggregate; a chunk grows if need be.
const PAGE_ROOM: usize = 320;

/// Answers read at a time, behind the first: handing over to another thread costs as much as
/// reading one.
const CHUNKS_AHEAD: usize = 4;

/// An aggregate being read.
struct Reading {
    engine: Arc<Engine>,
    view: View,
    /// What is still to be read, in the order of reading.
    ranges: Vec<(Sequence, Sequence)>,
    cursor: Option<PageCursor>,
    backwards: bool,
    /// Read no page that happened later, nor any behind it.
    until: Option<Timestamp>,
    correlation: String,
    skip_isolated: bool,
    /// Whether pending state is resolved, and for which cascade.
    resolved: Option<String>,
    done: bool,
}

impl NativeStore {
    pub(super) async fn read_pages(&self, request: pb::ReadRequest) -> Result<ReadStream> {
        let engine = self.engine.clone();
        let (first, reading) = self
            .short_reads
            .run(move || {
                let (mut answer, mut reading) = Reading::begin(engine, &request)?;
                answer.pages = reading.next_pages()?;
                Ok((answer, reading))
            })
            .await?;
        let first = stream::once(std::future::ready(Ok(first)));
        if reading.done {
            return Ok(first.boxed());
        }
        let rest = stream::try_unfold(Some(read_ahead(reading)), |ahead| async move {
            let Some(ahead) = ahead else {
                return Ok::<_, StoreError>(None);
            };
            let (answers, reading) = joined(ahead.await)?;
            let ahead = (!reading.done).then(|| read_ahead(reading));
            Ok(Some((stream::iter(answers.into_iter().map(Ok)), ahead)))
        })
        .try_flatten();
        Ok(first.chain(rest).boxed())
    }
}

/// Starts to read the next chunks, so that they are read while those before them travel. A reader
/// that stops holds twice as many and no thread.
fn read_ahead(mut reading: Reading) -> JoinHandle<Result<(Vec<pb::ReadResponse>, Reading)>> {
    spawn_blocking(move || {
        let mut answers = Vec::with_capacity(CHUNKS_AHEAD);
        while answers.len() < CHUNKS_AHEAD && !reading.done {
            answers.push(pb::ReadResponse {
                pages: reading.next_pages()?,
                ..Default::default()
            });
        }
        Ok((answers, reading))
    })
}

impl Reading {
    /// Looks the aggregate up; returns the first answer without its pages.
    fn begin(engine: Arc<Engine>, request: &pb::ReadRequest) -> Result<(pb::ReadResponse, Self)> {
        let (key, divergence) = convert::key("cover", request.cover.as_ref())?;
        let view = engine.aggregate(&key, divergence)?;
        let correlation = request
            .cover
            .as_ref()
            .map(|cover| cover.correlation_id.clone())
            .unwrap_or_default();
        convert::correlation(&correlation)?;
        let (ranges, until) = select(request.selection.as_ref(), view.next())?;
        let mut reading = Self {
            engine,
            ranges,
            cursor: None,
            backwards: request.direction() == pb::Direction::Backwards,
            until,
            resolved: (request.pending() == pb::PendingView::Resolved)
                .then(|| request.cascade_id.clone().unwrap_or_default()),
            correlation,
            skip_isolated: request.skip_isolated,
            view,
            done: false,
        };
        let snapshot = if request.with_snapshot {
            reading.use_snapshot(request)?
        } else {
            None
        };
        if reading.backwards {
            reading.ranges.reverse();
        }
        // The next one is taken from the end.
        reading.ranges.reverse();
        let cover = convert::cover(&key, &reading.correlation);
        let answer = pb::ReadResponse {
            cover: Some(cover),
            snapshot,
            pages: pb::Pages::default(),
            next_sequence: reading.view.next().get(),
        };
        Ok((answer, reading))
    }

    /// Begins behind the newest snapshot that serves, if the selection begins at the start.
    fn use_snapshot(
        &mut self,
        request: &pb::ReadRequest,
    ) -> Result<Option<angzarr_proto::v1::Snapshot>> {
        if matches!(
            request.selection,
            Some(Selection::Range(_) | Selection::Sequences(_))
        ) {
            return Ok(None);
        }
        let Some((_, to)) = self.ranges.first().copied() else {
            return Ok(None);
        };
        let Some(snapshot) = self.engine.snapshot(&self.view, to, self.until)? else {
            return Ok(None);
        };
        let behind = snapshot.sequence.plus(1).unwrap_or(to);
        if self.resolved.is_some() && self.is_outdated(behind)? {
            return Ok(None);
        }
        if let Some((from, _)) = self.ranges.first_mut() {
            *from = behind;
        }
        convert::snapshot_message(snapshot).map(Some)
    }

    /// Whether what is below `behind` may have been decided about after a snapshot of it was taken:
    /// then its state is not that of what a resolved reading shows.
    fn is_outdated(&self, behind: Sequence) -> Result<bool> {
        if !self.needs_marks() {
            return Ok(false);
        }
        let marks = self.engine.marks(&self.view, Sequence::ZERO, behind)?;
        if marks.is_empty() {
            return Ok(false);
        }
        // What a branch inherits is decided about on main, where this reading does not look.
        if marks.iter().any(|mark| !mark.confirmed && !mark.revoked) || self.view.is_branch() {
            return Ok(true);
        }
        let mut cursor = self
            .engine
            .pages(&self.view, behind, self.view.next(), false);
        let mut decided = false;
        while !decided && !cursor.is_done() {
            let found = cursor.visit_chunk(CHUNK, |page| {
                decided |= compose::is_framework(page.type_name.of(page.body));
            })?;
            if found == 0 {
                break;
            }
        }
        Ok(decided)
    }

    /// The next pages; none of them may match. Sets `done` behind the last.
    fn next_pages(&mut self) -> Result<pb::Pages> {
        loop {
            let Some(mut cursor) = self.cursor.take().or_else(|| self.next_cursor()) else {
                self.done = true;
                return Ok(pb::Pages::default());
            };
            let (found, pages) = if self.needs_marks() {
                self.resolved_chunk(&mut cursor)?
            } else {
                self.plain_chunk(&mut cursor)?
            };
            if found == 0 {
                continue;
            }
            // Small answers end here, without another turn to learn that there is no more.
            if self.ranges.is_empty() && cursor.is_done() {
                self.done = true;
            }
            self.cursor = Some(cursor);
            if !pages.is_empty() || self.done {
                return Ok(pages);
            }
        }
    }

    fn next_cursor(&mut self) -> Option<PageCursor> {
        let (from, to) = self.ranges.pop()?;
        Some(self.engine.pages(&self.view, from, to, self.backwards))
    }

    fn needs_marks(&self) -> bool {
        self.resolved.is_some() && self.view.has_marks()
    }

    /// Pages of which none was ever pending: each goes from the log's bytes to the answer's in
    /// one step.
    fn plain_chunk(&mut self, cursor: &mut PageCursor) -> Result<(usize, pb::Pages)> {
        let room = (self.view.next().get() as usize).saturating_mul(PAGE_ROOM);
        let mut pages = pb::Pages::with_capacity(room.min(CHUNK + CHUNK / 4));
        let mut later = false;
        let found = cursor.visit_chunk(CHUNK, |page| {
            if self.is_later(page.created_at, &mut later)
                || !self.is_wanted(page.correlation, page.isolated)
            {
                return;
            }
            let cascade = std::str::from_utf8(page.cascade).unwrap_or_default();
            let raw = PageParts {
                sequence: page.sequence,
                created_at: page.created_at,
                body: page.body,
                cascade,
                no_commit: !cascade.is_empty(),
            };
            match &self.resolved {
                None => raw.push_to(&mut pages),
                Some(own) => show(&raw, page.type_name.of(page.body), None, own, &mut pages),
            }
        })?;
        self.done |= later;
        Ok((found, pages))
    }

    /// Pages some of which may be pending or decided about, which the index tells.
    fn resolved_chunk(&mut self, cursor: &mut PageCursor) -> Result<(usize, pb::Pages)> {
        let stored = cursor.next_chunk(CHUNK)?;
        let marks = self.marks(&stored)?;
        let own = self.resolved.as_deref().unwrap_or_default();
        let mut pages = pb::Pages::default();
        let mut later = false;
        for page in &stored {
            if self.is_later(page.created_at, &mut later)
                || !self.is_wanted(&page.correlation, page.isolated)
            {
                continue;
            }
            let cascade = std::str::from_utf8(&page.cascade).unwrap_or_default();
            let raw = PageParts {
                sequence: page.sequence,
                created_at: page.created_at,
                body: &page.body,
                cascade,
                no_commit: !cascade.is_empty(),
            };
            let type_name = page.type_name.of(&page.body);
            show(&raw, type_name, marks.get(&page.sequence), own, &mut pages);
        }
        self.done |= later;
        Ok((stored.len(), pages))
    }

    /// Whether a time limit leaves a page out. Forwards, the first one that happened later ends
    /// the reading, which `ended` says from then on.
    fn is_later(&self, created_at: Timestamp, ended: &mut bool) -> bool {
        let later = self.until.is_some_and(|until| created_at > until);
        *ended |= later && !self.backwards;
        later || *ended
    }

    fn is_wanted(&self, correlation: &[u8], isolated: bool) -> bool {
        let correlated = self.correlation.is_empty() || correlation == self.correlation.as_bytes();
        correlated && !(isolated && self.skip_isolated)
    }

    fn marks(&self, pages: &[StoredPage]) -> Result<BTreeMap<Sequence, PageMark>> {
        let sequences = pages.iter().map(|page| page.sequence);
        let (Some(first), Some(last)) = (sequences.clone().min(), sequences.max()) else {
            return Ok(BTreeMap::new());
        };
        let end = last.plus(1).unwrap_or(last);
        let marks = self.engine.marks(&self.view, first, end)?;
        Ok(marks
            .into_iter()
            .map(|mark| (mark.sequence, mark))
            .collect())
    }
}

/// Adds what a resolved read shows of a page.
fn show(
    raw: &PageParts<'_>,
    type_name: &[u8],
    mark: Option<&PageMark>,
    own: &str,
    pages: &mut pb::Pages,
) {
    match resolve(raw.sequence, type_name, mark, own) {
        Shown::Pending => raw.push_to(pages),
        Shown::Page => PageParts {
            no_commit: false,
            ..*raw
        }
        .push_to(pages),
        Shown::NoOp(body) => PageParts {
            body: &body,
            cascade: "",
            no_commit: false,
            ..*raw
        }
        .push_to(pages),
    }
}

/// The ranges of sequences that a selection names, ascending, and its time limit.
#[expect(
    clippy::type_complexity,
    reason = "a list of ranges and an optional time, used once"
)]
fn select(
    selection: Option<&Selection>,
    next: Sequence,
) -> Result<(Vec<(Sequence, Sequence)>, Option<Timestamp>)> {
    let below = |last: u32| Sequence::new(last.saturating_add(1)).min(next);
    let all = vec![(Sequence::ZERO, next)];
    match selection {
        None => Ok((all, None)),
        Some(Selection::AsOfTime(at)) => Ok((all, Some(convert::time("as_of_time", at)?))),
        Some(Selection::AsOfSequence(last)) => Ok((vec![(Sequence::ZERO, below(*last))], None)),
        Some(Selection::Range(range)) => {
            if range.upper.is_some_and(|upper| upper < range.lower) {
                return Err(StoreError::Invalid(format!(
                    "range.upper {} is below range.lower {}",
                    range.upper.unwrap_or_default(),
                    range.lower
                )));
            }
            let to = range.upper.map_or(next, below);
            Ok((vec![(Sequence::new(range.lower), to)], None))
        }
        Some(Selection::Sequences(set)) => {
            let mut values = set.values.clone();
            values.sort_unstable();
            values.dedup();
            let mut ranges: Vec<(Sequence, Sequence)> = Vec::new();
            for value in values
                .into_iter()
                .map(Sequence::new)
                .filter(|value| *value < next)
            {
                let end = value.plus(1).unwrap_or(value);
                match ranges.last_mut() {
                    Some((_, to)) if *to == value => *to = end,
                    _ => ranges.push((value, end)),
                }
            }
            Ok((ranges, None))
        }
    }
}
