//! `ReadAll` and `Subscribe`: the whole store in position order.

use std::time::Duration;

use angzarr_engine::{Domain, Edition, Filter, LogCursor, Position, Recorded, Root, Watch};
use angzarr_proto::store::v1 as pb;
use futures::{StreamExt, stream};
use pb::read_all_response::Item;
use tokio::time::timeout;

use super::compose::{Composer, PageParts};
use super::short::ShortReads;
use super::{NativeStore, convert, run_blocking};
use crate::store::{RecordStream, Result};

/// Bytes of log looked through in one step.
const CHUNK: u64 = 256 * 1024;
/// What was just written is still in the system's memory: so much of it is read in no time.
const SHORT: u64 = 32 * 1024;
/// A filter that drops everything still tells how far it has got, once in so many events.
const PROGRESS_EVENTS: u64 = 1024;
/// And when nothing that passes was committed for so long.
const QUIET: Duration = Duration::from_secs(1);

/// A reader of the whole store.
struct Following {
    cursor: LogCursor,
    watch: Watch,
    short_reads: ShortReads,
    /// Where a reader that does not stay ends.
    until: Option<Position>,
    /// The last position that an answer has told.
    told: Position,
    /// Whether the reader was told that there is no more for now.
    caught_up: bool,
    ended: bool,
}

impl NativeStore {
    pub(super) fn records(&self, request: pb::ReadAllRequest, stay: bool) -> Result<RecordStream> {
        let filter = to_filter(request.filter.unwrap_or_default())?;
        let after = Position::new(request.after_position);
        let cursor = self.engine.cursor(after, filter)?;
        let mut watch = cursor.watch();
        let end = watch.position();
        let following = Following {
            cursor,
            watch,
            short_reads: self.short_reads.clone(),
            until: (!stay).then_some(end),
            told: after,
            caught_up: false,
            ended: false,
        };
        let answers = stream::try_unfold(following, Following::next);
        Ok(answers
            .flat_map(|answers| match answers {
                Ok(answers) => stream::iter(answers.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            })
            .boxed())
    }
}

impl Following {
    /// The next answers, waiting for them if need be; `None` at the end.
    async fn next(mut self) -> Result<Option<(Vec<pb::ReadAllResponse>, Self)>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            // Seen before the cursor looks: what comes after is a change.
            self.watch.position();
            if self.is_behind() {
                let answers;
                (answers, self) = self.read().await?;
                if !answers.is_empty() {
                    self.caught_up = false;
                    return Ok(Some((answers, self)));
                }
                continue;
            }
            if self.until.is_some() {
                self.ended = true;
                let last = self.progress(true);
                return Ok(Some((vec![last], self)));
            }
            if !self.caught_up {
                self.caught_up = true;
                let mark = self.progress(true);
                return Ok(Some((vec![mark], self)));
            }
            match self.wait().await {
                Waited::Changed => {}
                Waited::Closed => return Ok(None),
                Waited::Quiet => {
                    self.cursor.is_behind();
                    let mark = self.progress(true);
                    return Ok(Some((vec![mark], self)));
                }
            }
        }
    }

    fn is_behind(&mut self) -> bool {
        match self.until {
            Some(until) => self.cursor.position() < until,
            None => self.cursor.is_behind(),
        }
    }

    /// Looks through the next stretch of the log.
    async fn read(mut self) -> Result<(Vec<pb::ReadAllResponse>, Self)> {
        let until = self.until.unwrap_or(Position::new(u64::MAX));
        let (short_reads, is_short) = (self.short_reads.clone(), self.cursor.lag() <= SHORT);
        let read = move || {
            let found = self.cursor.next_chunk(CHUNK, until)?;
            Ok((found, self))
        };
        let (found, mut next) = if is_short {
            short_reads.run(read).await?
        } else {
            run_blocking(read).await?
        };
        let mut answers = found.into_iter().map(book).collect::<Vec<_>>();
        let at = next.cursor.position();
        if !answers.is_empty() {
            next.told = at;
        } else if at.get().saturating_sub(next.told.get()) >= PROGRESS_EVENTS {
            answers.push(next.progress(false));
        }
        Ok((answers, next))
    }

    /// Waits for what concerns the reader. One that was not told how far the store has got waits
    /// a while only.
    async fn wait(&mut self) -> Waited {
        if self.told < self.cursor.position() {
            return match timeout(QUIET, self.cursor.changed()).await {
                Ok(()) => Waited::Changed,
                Err(_) => Waited::Quiet,
            };
        }
        tokio::select! {
            () = self.cursor.changed() => Waited::Changed,
            open = self.watch.changed() => if open { Waited::Changed } else { Waited::Closed },
        }
    }

    fn progress(&mut self, caught_up: bool) -> pb::ReadAllResponse {
        self.told = self.cursor.position();
        let position = self.told.get();
        pb::ReadAllResponse {
            item: Some(Item::Progress(pb::Progress {
                position,
                caught_up,
            })),
        }
    }
}

/// Why a wait is over.
enum Waited {
    Changed,
    Quiet,
    Closed,
}

fn book(recorded: Recorded) -> pb::ReadAllResponse {
    let size = recorded.pages.iter().map(|page| page.body.len()).sum();
    let mut composer = Composer::with_capacity(recorded.pages.len(), size);
    let cascade = recorded
        .cascade
        .as_ref()
        .map_or("", |cascade| cascade.as_str());
    for page in &recorded.pages {
        composer.push(&PageParts {
            sequence: page.sequence,
            created_at: page.created_at,
            body: &page.body,
            cascade,
            no_commit: !cascade.is_empty(),
        });
    }
    let cover = convert::cover(&recorded.key, recorded.correlation.as_str(), &recorded.ext);
    pb::ReadAllResponse {
        item: Some(Item::Book(pb::RecordedBook {
            cover: Some(cover),
            pages: composer.finish(),
            positions: recorded
                .pages
                .iter()
                .map(|page| page.position.get())
                .collect(),
            recorded_at: Some(convert::timestamp(recorded.recorded_at)),
            isolated: recorded.isolated,
        })),
    }
}

fn to_filter(filter: pb::Filter) -> Result<Filter> {
    Ok(Filter {
        domains: filter
            .domains
            .iter()
            .map(|d| Domain::new(d))
            .collect::<Result<_, _>>()?,
        editions: filter
            .editions
            .iter()
            .map(|e| Edition::new(e))
            .collect::<Result<_, _>>()?,
        types: filter.types,
        roots: filter
            .roots
            .iter()
            .map(|r| Root::from_slice(r))
            .collect::<Result<_, _>>()?,
        correlation: convert::correlation(&filter.correlation_id)?,
        skip_isolated: filter.skip_isolated,
    })
}
