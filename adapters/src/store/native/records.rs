//! `ReadAll` and `Subscribe`: the whole store in position order.

use std::time::Duration;

use angzarr_engine::{Domain, Edition, Filter, LogCursor, Position, RecordedView, Root, Watch};
use angzarr_proto::store::v1 as pb;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pb::read_all_response::Item;
use tokio::time::timeout;

use super::compose::{Composer, PageParts};
use super::frames::Frames;
use super::short::ShortReads;
use super::{NativeStore, convert, run_blocking};
use crate::store::{FrameStream, RecordStream, Result};

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

/// What answers are gathered in.
trait Answers: Send + 'static {
    /// For a stretch of so many bytes of the log.
    fn for_bytes(bytes: usize) -> Self;
    fn is_empty(&self) -> bool;
    fn book(&mut self, book: &RecordedView<'_>);
    fn progress(&mut self, progress: pb::Progress);
}

impl NativeStore {
    pub(super) fn records(&self, request: pb::ReadAllRequest, stay: bool) -> Result<RecordStream> {
        let answers = self.answers::<Vec<pb::ReadAllResponse>>(request, stay)?;
        Ok(answers
            .map_ok(|answers| stream::iter(answers.into_iter().map(Ok)))
            .try_flatten()
            .boxed())
    }

    /// The same answers as a gRPC server sends them.
    pub(super) fn frames(&self, request: pb::ReadAllRequest, stay: bool) -> Result<FrameStream> {
        let answers = self.answers::<Frames>(request, stay)?;
        Ok(answers.map_ok(Frames::finish).boxed())
    }

    fn answers<A: Answers>(
        &self,
        request: pb::ReadAllRequest,
        stay: bool,
    ) -> Result<impl Stream<Item = Result<A>> + use<A>> {
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
        Ok(stream::try_unfold(following, Following::next))
    }
}

impl Following {
    /// The next answers, waiting for them if need be; `None` at the end.
    async fn next<A: Answers>(mut self) -> Result<Option<(A, Self)>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            // Seen before the cursor looks: what comes after is a change.
            self.watch.position();
            if self.is_behind() {
                let answers: A;
                (answers, self) = self.read().await?;
                if !answers.is_empty() {
                    self.caught_up = false;
                    return Ok(Some((answers, self)));
                }
                continue;
            }
            if self.until.is_some() {
                self.ended = true;
                return Ok(Some((self.mark(), self)));
            }
            if !self.caught_up {
                self.caught_up = true;
                return Ok(Some((self.mark(), self)));
            }
            match self.wait().await {
                Waited::Changed => {}
                Waited::Closed => return Ok(None),
                Waited::Quiet => {
                    self.cursor.is_behind();
                    return Ok(Some((self.mark(), self)));
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
    async fn read<A: Answers>(mut self) -> Result<(A, Self)> {
        let until = self.until.unwrap_or(Position::new(u64::MAX));
        let lag = self.cursor.lag();
        let (short_reads, is_short) = (self.short_reads.clone(), lag <= SHORT);
        let read = move || {
            let mut answers = A::for_bytes(usize::try_from(lag.min(CHUNK)).unwrap_or_default());
            self.cursor
                .visit_chunk(CHUNK, until, |book| answers.book(&book))?;
            Ok((answers, self))
        };
        let (mut answers, mut next) = if is_short {
            short_reads.run(read).await?
        } else {
            run_blocking(read).await?
        };
        let at = next.cursor.position();
        if !answers.is_empty() {
            next.told = at;
        } else if at.get().saturating_sub(next.told.get()) >= PROGRESS_EVENTS {
            answers.progress(next.progress(false));
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

    /// That there is no more for now.
    fn mark<A: Answers>(&mut self) -> A {
        let mut answers = A::for_bytes(0);
        answers.progress(self.progress(true));
        answers
    }

    fn progress(&mut self, caught_up: bool) -> pb::Progress {
        self.told = self.cursor.position();
        pb::Progress {
            position: self.told.get(),
            caught_up,
        }
    }
}

impl Answers for Vec<pb::ReadAllResponse> {
    fn for_bytes(_: usize) -> Self {
        Self::new()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn book(&mut self, book: &RecordedView<'_>) {
        let item = Some(Item::Book(message(book)));
        self.push(pb::ReadAllResponse { item });
    }

    fn progress(&mut self, progress: pb::Progress) {
        let item = Some(Item::Progress(progress));
        self.push(pb::ReadAllResponse { item });
    }
}

impl Answers for Frames {
    fn for_bytes(bytes: usize) -> Self {
        Self::with_capacity(bytes)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn book(&mut self, book: &RecordedView<'_>) {
        self.push_book(book);
    }

    fn progress(&mut self, progress: pb::Progress) {
        let item = Some(Item::Progress(progress));
        self.push(&pb::ReadAllResponse { item });
    }
}

/// Why a wait is over.
enum Waited {
    Changed,
    Quiet,
    Closed,
}

fn message(book: &RecordedView<'_>) -> pb::RecordedBook {
    let size = book.pages.iter().map(|page| page.body.len()).sum();
    let mut composer = Composer::with_capacity(book.pages.len(), size);
    let cascade = book.cascade.unwrap_or_default();
    for page in book.pages {
        composer.push(&PageParts {
            sequence: page.sequence,
            created_at: page.created_at,
            body: page.body,
            cascade,
            no_commit: !cascade.is_empty(),
        });
    }
    let positions = book.pages.iter().map(|page| page.position.get());
    pb::RecordedBook {
        cover: Some(convert::recorded_cover(book)),
        pages: composer.finish(),
        positions: positions.collect(),
        recorded_at: Some(convert::timestamp(book.recorded_at)),
        isolated: book.isolated,
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
