//! Goes through a whole log, past damage where there is any.

use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::log::frame::{ALIGN, Header, Kind};
use crate::log::recovery::{Action, judge, open_segments};
use crate::log::{Frame, FrameReader, Log, LogEnd, SEGMENT_HEADER, Segment};
use crate::options::CACHE_BYTES;
use crate::types::{Address, Timestamp};

/// A place where the store is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File name within the data folder.
    pub file: String,
    /// Byte offset within the file.
    pub offset: u64,
    /// Log address of the same place.
    pub address: Address,
    /// Log address at which whole frames go on; the same as `address` when none is missing.
    pub until: Address,
    /// What is wrong there.
    pub problem: String,
}

impl Damage {
    pub(super) fn into_error(self) -> Error {
        Error::Corrupt {
            file: self.file,
            offset: self.offset,
            address: self.address,
            problem: self.problem,
        }
    }

    pub(super) fn at(segment: &Segment, address: Address, problem: impl ToString) -> Self {
        Self {
            file: format!("log/{}", segment.name),
            offset: match &segment.sealed {
                None => segment.offset(address),
                Some(_) => 0,
            },
            address,
            until: address,
            problem: problem.to_string(),
        }
    }
}

/// The segments that can be opened.
pub(super) struct Segments {
    pub(super) segments: Vec<Arc<Segment>>,
    /// What is wrong with the others.
    pub(super) damage: Vec<Damage>,
}

/// Where a walk ended.
pub(super) struct Walked {
    /// Behind the last whole frame.
    pub(super) end: LogEnd,
    /// Bytes of an unfinished write behind it.
    pub(super) torn_bytes: u64,
}

/// What a walk comes across.
pub(super) enum Seen<'a> {
    Frame(&'a Segment, &'a Frame),
    Damage(Damage),
}

/// Opens every segment that can be opened.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Io`]; damage is no error here.
pub(super) fn open_log(disk: &dyn Disk) -> Result<Segments> {
    match open_segments(disk) {
        Ok(segments) => Ok(Segments {
            segments,
            damage: Vec::new(),
        }),
        Err(Error::Corrupt { .. }) => open_each(disk),
        Err(error) => Err(error),
    }
}

/// The same without a look at what the segments' headers say of each other.
pub(super) fn open_each(disk: &dyn Disk) -> Result<Segments> {
    let mut names = disk.list().map_err(Error::io("listing the log's folder"))?;
    names.retain(|name| name.ends_with(".seg") || name.ends_with(".segz"));
    names.sort();
    // Where a segment is there twice, the original counts.
    names.dedup_by(|a, b| a.strip_suffix('z') == Some(b.as_str()));
    let mut found = Segments {
        segments: Vec::new(),
        damage: Vec::new(),
    };
    for name in names {
        match Segment::open(disk, &name) {
            Ok(segment) => found.segments.push(Arc::new(segment)),
            Err(Error::Corrupt {
                offset,
                address,
                problem,
                ..
            }) => {
                // A name tells the address even when the header does not.
                let named = name.split('.').next().and_then(|base| base.parse().ok());
                let address = named.map_or(address, Address::new);
                found.damage.push(Damage {
                    file: format!("log/{name}"),
                    offset,
                    address,
                    until: address,
                    problem,
                });
            }
            Err(error) => return Err(error),
        }
    }
    let id = found.segments.first().map(|first| first.header.database_id);
    for segment in &found.segments {
        if Some(segment.header.database_id) != id {
            let base = segment.header.base;
            let problem = "the segment is of another database than the first one";
            found.damage.push(Damage::at(segment, base, problem));
        }
    }
    found
        .segments
        .retain(|segment| Some(segment.header.database_id) == id);
    Ok(found)
}

/// About the bytes of a log.
pub(super) fn total_bytes(segments: &[Arc<Segment>]) -> Result<u64> {
    let Some(last) = segments.last() else {
        return Ok(0);
    };
    Ok(last.header.base.get().saturating_add(file_len(last)?))
}

fn file_len(segment: &Segment) -> Result<u64> {
    let name = &segment.name;
    segment
        .file
        .size()
        .map_err(Error::io(format!("reading log/{name}")))
}

/// Visits every whole frame and every damage in address order.
///
/// # Errors
/// [`Error::Io`], and what `visit` returns.
pub(super) fn walk(
    segments: &[Arc<Segment>],
    visit: &mut dyn FnMut(Seen<'_>) -> Result<()>,
) -> Result<Walked> {
    walk_from(segments, 0, visit)
}

/// The same from the segment of this number on, which there is.
pub(super) fn walk_from(
    segments: &[Arc<Segment>],
    first: usize,
    visit: &mut dyn FnMut(Seen<'_>) -> Result<()>,
) -> Result<Walked> {
    let log = Arc::new(Log::new(segments.to_vec(), CACHE_BYTES));
    let mut walk = Walk {
        reader: FrameReader::sequential(log.clone(), Address::new(u64::MAX)),
        log,
        is_whole: first == 0,
        end: None,
        torn_bytes: 0,
        visit,
    };
    let nexts = segments.iter().skip(1).map(|next| Some(next.header.base));
    for (segment, next) in segments.iter().zip(nexts.chain([None])).skip(first) {
        walk.segment(segment, next)?;
    }
    Ok(Walked {
        end: walk.end.unwrap_or(LogEnd {
            address: Address::default(),
            position: crate::types::Position::new(1),
            recorded_at: Timestamp::from_nanos(i64::MIN),
            previous: 0,
        }),
        torn_bytes: walk.torn_bytes,
    })
}

struct Walk<'a> {
    log: Arc<Log>,
    reader: FrameReader,
    /// Whether it begins at the beginning.
    is_whole: bool,
    /// Behind the last frame.
    end: Option<LogEnd>,
    torn_bytes: u64,
    visit: &'a mut dyn FnMut(Seen<'_>) -> Result<()>,
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Arc<Segment>, next: Option<Address>) -> Result<()> {
        let base = segment.header.base;
        let mut at = self.enter(segment)?;
        let stop = next.unwrap_or(Address::new(u64::MAX));
        while at.address < stop {
            let damage = match self.frame(segment, at)? {
                Ok(frame) => {
                    at = LogEnd::behind(&frame.header);
                    self.end = Some(at);
                    (self.visit)(Seen::Frame(segment, &frame))?;
                    continue;
                }
                Err(damage) => damage,
            };
            if next.is_none() && segment.sealed.is_none() {
                match judge(&self.log, segment, at)? {
                    (Action::Open, _) => break,
                    (Action::Cut, last) => {
                        let last = last.unwrap_or(at.address).get();
                        self.torn_bytes = last.saturating_sub(at.address.get()) + 1;
                        break;
                    }
                    (Action::Refuse, _) => {}
                }
            }
            let mut damage = damage;
            let found = self.find_frame(segment, at.address, stop)?;
            damage.until = match (&found, next) {
                (Some(header), _) => header.address,
                (None, Some(next)) => next,
                (None, None) if segment.sealed.is_some() => at.address,
                (None, None) => file_end(segment)?.max(at.address),
            };
            (self.visit)(Seen::Damage(damage))?;
            match found {
                Some(header) => at = before(&header),
                None => break,
            }
        }
        if at.address > stop {
            let problem = "the last frame goes on beyond the beginning of the next segment";
            (self.visit)(Seen::Damage(Damage::at(segment, stop.max(base), problem)))?;
        }
        self.end = Some(
            self.end
                .map_or(at, |end| if end.address < base { at } else { end }),
        );
        Ok(())
    }

    /// Where a segment's frames begin, and whether it follows what came before.
    fn enter(&mut self, segment: &Segment) -> Result<LogEnd> {
        let header = &segment.header;
        let begin = LogEnd {
            address: header.base,
            position: header.position,
            recorded_at: Timestamp::from_nanos(i64::MIN),
            previous: header.previous,
        };
        let Some(end) = self.end else {
            if self.is_whole && header.base > Address::default() {
                let mut damage = Damage::at(segment, header.base, "the log's beginning is missing");
                (damage.address, damage.offset) = (Address::default(), 0);
                (self.visit)(Seen::Damage(damage))?;
            }
            return Ok(begin);
        };
        let follows = header.previous == end.previous && header.position == end.position;
        if end.address == header.base && !follows {
            let problem = "the segment does not follow the one before it";
            (self.visit)(Seen::Damage(Damage::at(segment, header.base, problem)))?;
        }
        let recorded_at = end.recorded_at;
        Ok(LogEnd {
            recorded_at,
            ..begin
        })
    }

    /// The frame at a place, if it is whole and follows what came before; else why not.
    fn frame(&mut self, segment: &Segment, at: LogEnd) -> Result<Result<Frame, Damage>> {
        let damage = |problem: String| Damage::at(segment, at.address, problem);
        let sealed_end = segment.sealed.as_ref().map(|sealed| sealed.end().address);
        if sealed_end == Some(at.address) {
            let problem = "the segment that follows it is missing";
            return Ok(Err(damage(problem.to_owned())));
        }
        let frame = match self.reader.try_frame(at.address) {
            Ok(Ok(frame)) => frame,
            Ok(Err(problem)) => return Ok(Err(damage(problem.to_string()))),
            Err(Error::Corrupt {
                offset, problem, ..
            }) => {
                let damage = damage(problem);
                return Ok(Err(Damage { offset, ..damage }));
            }
            Err(error) => return Err(error),
        };
        let header = &frame.header;
        let follows = header.previous == at.previous
            && header.position == at.position
            && header.recorded_at >= at.recorded_at;
        if follows {
            Ok(Ok(frame))
        } else {
            let problem = "the frame does not follow the one before it";
            Ok(Err(damage(problem.to_owned())))
        }
    }

    /// The first whole frame at or behind a bad place of a segment.
    fn find_frame(
        &mut self,
        segment: &Segment,
        from: Address,
        stop: Address,
    ) -> Result<Option<Header>> {
        let stop = match &segment.sealed {
            None => stop.min(file_end(segment)?),
            // Without its directory no frame of it can be found.
            Some(sealed) if sealed.branches(&segment.source(&self.log.cache)).is_err() => from,
            Some(sealed) => stop.min(sealed.end().address),
        };
        let mut address = from;
        while address < stop {
            match self.reader.try_frame(address) {
                Ok(Ok(frame)) => return Ok(Some(frame.header)),
                Ok(Err(_)) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
            address = address.plus(ALIGN as u64);
        }
        Ok(None)
    }
}

fn file_end(segment: &Segment) -> Result<Address> {
    let bytes = file_len(segment)?.saturating_sub(SEGMENT_HEADER);
    Ok(segment.header.base.plus(bytes))
}

fn before(header: &Header) -> LogEnd {
    LogEnd {
        address: header.address,
        position: header.position,
        recorded_at: header.recorded_at,
        previous: header.previous,
    }
}

/// Whether a frame holds records.
pub(super) fn is_commit(frame: &Frame) -> bool {
    frame.header.kind == Kind::Commit
}
