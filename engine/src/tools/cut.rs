//! Shortens a log that was copied, so that it ends at a place of its past.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;

use super::Progress;
use super::walk::{Damage, Seen, open_each, total_bytes, walk};
use crate::disk::{Disk, OsDisk};
use crate::error::{Error, Result};
use crate::limits::STRETCH_BYTES;
use crate::log::frame::Header;
use crate::log::record::{Record, put_cluster, records_with_bytes};
use crate::log::recovery::start_of;
use crate::log::sealed::{Builder, Packed};
use crate::log::{
    Frame, FrameReader, Log, LogEnd, SEGMENT_HEADER, Segment, SegmentHeader, sealed_name,
    segment_name,
};
use crate::options::CACHE_BYTES;
use crate::types::{Address, Position, Timestamp};

/// Where a log is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// At this address, where a frame ends.
    Address(Address),
    /// Behind the commit whose last event has this position.
    Position(Position),
    /// Behind the last commit that was made at or before this time.
    Time(Timestamp),
}

/// Where a log ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLog {
    /// Position of its last event.
    pub position: Position,
    /// Address behind its last frame.
    pub end: Address,
    /// When its last commit was made.
    pub recorded_at: Timestamp,
    /// Commits in it.
    pub commits: u64,
}

/// Verifies a copy of a log, in a folder that holds nothing but its segments, and removes what is
/// behind a place. Durable when it returns.
///
/// # Errors
/// [`Error::Corrupt`] when what is to stay is damaged, [`Error::Refused`] for a position within a
/// commit or one that the log does not reach, [`Error::Unsupported`], [`Error::Io`].
pub fn cut_log(folder: &Path, to: CutAt, mut progress: impl FnMut(Progress)) -> Result<CutLog> {
    let disk = OsDisk::existing(folder);
    let opened = open_each(&disk)?;
    if let Some(damage) = opened.damage.into_iter().next() {
        return Err(damage.into_error());
    }
    let segments = opened.segments;
    let mut search = Search::new(&segments, to)?;
    let total = total_bytes(&segments)?;
    walk(&segments, &mut |seen| match seen {
        Seen::Frame(_, frame) => {
            let done = frame.header.end().get().min(total);
            progress(Progress {
                stage: "log",
                done,
                total,
            });
            search.frame(&frame.header)
        }
        Seen::Damage(damage) => search.damage(&segments, damage),
    })?;
    let commits = search.commits;
    let end = search.finish()?;
    cut_at(&disk, folder, &segments, end)?;
    Ok(CutLog {
        position: Position::new(end.position.get().saturating_sub(1)),
        end: end.address,
        recorded_at: end.recorded_at,
        commits,
    })
}

/// Looks for the place.
struct Search {
    to: CutAt,
    place: LogEnd,
    commits: u64,
}

impl Search {
    fn new(segments: &[Arc<Segment>], to: CutAt) -> Result<Self> {
        let Some(first) = segments.first() else {
            return Err(Error::invalid("the log has no segment"));
        };
        Ok(Self {
            to,
            place: start_of(first),
            commits: 0,
        })
    }

    fn frame(&mut self, header: &Header) -> Result<()> {
        let next = header.next_position();
        let wanted = match self.to {
            CutAt::Address(end) => header.end() <= end,
            CutAt::Time(time) => header.recorded_at <= time,
            CutAt::Position(last) if header.position <= last && last.plus(1) < next => {
                return Err(Error::Refused(format!(
                    "position {last} is within a commit, which is restored whole or not at all: name \
                     position {} or {}",
                    header.position.get().saturating_sub(1),
                    next.get().saturating_sub(1)
                )));
            }
            // What follows without events of its own belongs to the next position.
            CutAt::Position(last) => header.position <= last && next <= last.plus(1),
        };
        if wanted {
            self.place = LogEnd::behind(header);
            self.commits += u64::from(header.events > 0 || header.payload_len > 0);
        }
        Ok(())
    }

    /// Damage behind the place is cut off with the rest.
    fn damage(&self, segments: &[Arc<Segment>], damage: Damage) -> Result<()> {
        let reached = match self.to {
            CutAt::Address(end) => self.place.address == end,
            CutAt::Position(last) => self.place.position == last.plus(1),
            CutAt::Time(_) => false,
        };
        // What follows was not needed, and so not copied.
        let sealed = segments.last().and_then(|last| last.sealed.as_ref());
        let at_end = sealed.is_some_and(|sealed| sealed.end().address == damage.address);
        if reached || at_end {
            return Ok(());
        }
        Err(damage.into_error())
    }

    fn finish(self) -> Result<LogEnd> {
        let place = self.place;
        let last = place.position.get().saturating_sub(1);
        match self.to {
            CutAt::Address(end) if place.address != end => Err(Error::Refused(format!(
                "the log has no end at address {end}: the frame before it ends at {}",
                place.address
            ))),
            CutAt::Position(position) if last != position.get() => Err(Error::Refused(format!(
                "the log ends at position {last}, before position {position}"
            ))),
            _ => Ok(place),
        }
    }
}

/// Removes everything behind a place at which a frame ends.
fn cut_at(disk: &OsDisk, folder: &Path, segments: &[Arc<Segment>], end: LogEnd) -> Result<()> {
    let later = segments.partition_point(|segment| segment.header.base < end.address);
    let holder = later.saturating_sub(1);
    for segment in segments.iter().skip(holder + 1) {
        disk.remove(&segment.name)
            .map_err(Error::io(format!("removing {}", segment.name)))?;
    }
    let Some(segment) = segments.get(holder) else {
        return Err(Error::invalid("the log has no segment"));
    };
    match &segment.sealed {
        None => {
            let action = || format!("shortening {}", segment.name);
            let path = folder.join(&segment.name);
            let file = OpenOptions::new().write(true).open(path);
            let file = file.map_err(Error::io(action()))?;
            let len = SEGMENT_HEADER + end.address.get().saturating_sub(segment.header.base.get());
            file.set_len(len).map_err(Error::io(action()))?;
            file.sync_all().map_err(Error::io(action()))?;
        }
        Some(sealed) => {
            if end.address == segment.header.base {
                disk.remove(&segment.name)
                    .map_err(Error::io(format!("removing {}", segment.name)))?;
            } else if sealed.end().address != end.address {
                shorten(disk, segment, end)?;
            }
            begin(disk, segment, end)?;
        }
    }
    disk.sync_folder()
        .map_err(Error::io("syncing the log's folder"))
}

/// Begins an empty segment: one that was rewritten is always followed by another.
fn begin(disk: &OsDisk, before: &Segment, end: LogEnd) -> Result<()> {
    let mut random = rand::rngs::StdRng::from_os_rng();
    let header = SegmentHeader::new(
        before.header.database_id,
        end.address,
        end.position,
        end.recorded_at,
        end.previous,
        &mut random,
    );
    let name = segment_name(end.address);
    let action = || format!("creating {name}");
    let file = disk.create(&name).map_err(Error::io(action()))?;
    file.write_at(&header.encode(), 0)
        .map_err(Error::io(action()))?;
    file.sync().map_err(Error::io(action()))
}

/// Writes a rewritten segment anew, up to a place.
fn shorten(disk: &OsDisk, segment: &Arc<Segment>, end: LogEnd) -> Result<()> {
    let draft = format!("cut-{:020}.tmp", segment.header.base.get());
    let file = disk
        .create(&draft)
        .map_err(Error::io(format!("creating {draft}")))?;
    let mut builder = Builder::new(&draft, file, &segment.header)?;
    let log = Arc::new(Log::new(vec![segment.clone()], CACHE_BYTES));
    let mut reader = FrameReader::sequential(log, end.address);
    let mut at = segment.header.base;
    while at < end.address {
        let stop = at.plus(STRETCH_BYTES).min(end.address);
        let mut stretch = Vec::new();
        while at < stop {
            let frame = reader.frame(at)?;
            at = frame.header.end();
            stretch.push(pack(&reader, frame, &mut builder)?);
        }
        builder.add(stretch, &mut |_| Ok(()))?;
    }
    builder.finish(end)?;
    let name = sealed_name(segment.header.base);
    disk.rename(&draft, &name)
        .map_err(Error::io(format!("naming {name}")))
}

fn pack(reader: &FrameReader, frame: Frame, builder: &mut Builder) -> Result<Packed> {
    let mut cluster = None;
    for record in records_with_bytes(&frame.payload, frame.header.recorded_at) {
        let corrupt = |problem| reader.corrupt(frame.header.address, problem);
        let (record, bytes) = record.map_err(corrupt)?;
        let (Record::Pages(crate::log::record::Pages { key, .. })
        | Record::Snapshot { key, .. }
        | Record::Claim { key, .. }) = record
        else {
            continue;
        };
        if cluster.is_none() {
            let mut found = Vec::new();
            put_cluster(&mut found, key);
            cluster = Some(found);
        }
        if !key.edition.is_empty() {
            let key = key.to_key().map_err(corrupt)?;
            let (at, len) = (frame.header.address, bytes.len() as u64);
            builder.count_branch(&key.edition, &key.domain, at, len);
        }
    }
    Ok(Packed {
        cluster: cluster.unwrap_or_default(),
        header: frame.header,
        payload: frame.payload,
    })
}
