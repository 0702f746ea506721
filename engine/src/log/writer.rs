//! The end of the log.

use std::sync::Arc;

use rand::RngCore;

use super::frame::{self, Kind, Place};
use super::spare::Waiting;
use super::{Log, Segment, SegmentHeader, Spare};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::types::{Address, Position, Timestamp};

/// Writes frames behind each other. There is one per log.
///
/// Invariant: `durable <= written <= end`; between groups `written == end`.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    log: Arc<Log>,
    spare: Arc<Spare>,
    random: Box<dyn RngCore + Send>,
    segment_bytes: u64,
    active: Arc<Segment>,
    /// Frames encoded since the last write.
    group: Vec<u8>,
    /// The group that was written last, until it is shown.
    unshown: Option<(Address, Vec<u8>)>,
    /// Where `group` will be written.
    written: Address,
    /// Where the next frame will begin.
    end: Address,
    /// Known to be synced.
    durable: Address,
    /// Position of the next event.
    position: Position,
    /// Time of the last frame.
    recorded_at: Timestamp,
    /// Header checksum of the last frame.
    previous: u32,
}

/// What a writer writes to.
pub(crate) struct LogParts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: Arc<Log>,
    pub(crate) active: Arc<Segment>,
    pub(crate) spare: Arc<Spare>,
    pub(crate) segment_bytes: u64,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) address: Address,
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) previous: u32,
}

impl LogEnd {
    /// The end of a log whose last frame this is.
    pub(crate) fn behind(header: &frame::Header) -> Self {
        Self {
            address: header.end(),
            position: header.next_position(),
            recorded_at: header.recorded_at,
            previous: header.crc,
        }
    }
}

impl LogWriter {
    /// A writer at the end of a log all of which is synced.
    pub(crate) fn new(parts: LogParts, random: Box<dyn RngCore + Send>, end: LogEnd) -> Self {
        let LogParts {
            disk,
            log,
            active,
            spare,
            segment_bytes,
        } = parts;
        Self {
            disk,
            log,
            spare,
            random,
            segment_bytes,
            active,
            group: Vec::new(),
            unshown: None,
            written: end.address,
            end: end.address,
            durable: end.address,
            position: end.position,
            recorded_at: end.recorded_at,
            previous: end.previous,
        }
    }

    /// Position of the next event.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Where the next frame will begin.
    pub(crate) fn end(&self) -> Address {
        self.end
    }

    /// The log's time for a commit at `now`: never less than an earlier commit's.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.recorded_at)
    }

    /// Bytes encoded since the last write.
    pub(crate) fn group_len(&self) -> usize {
        self.group.len()
    }

    /// Encodes a frame behind the others of the group. `fill` writes the payload and returns the
    /// number of events in it.
    pub(crate) fn encode(
        &mut self,
        kind: Kind,
        recorded_at: Timestamp,
        fill: impl FnOnce(&mut Vec<u8>) -> u32,
    ) -> frame::Header {
        let place = Place {
            address: self.end,
            durable: self.durable,
            position: self.position,
            recorded_at: self.time(recorded_at),
            previous: self.previous,
            salt: self.active.header.salt,
        };
        let header = frame::encode(&mut self.group, place, kind, fill);
        self.end = header.end();
        self.position = header.next_position();
        self.recorded_at = header.recorded_at;
        self.previous = header.crc;
        header
    }

    /// The payload of a frame of this group.
    pub(crate) fn payload(&self, header: &frame::Header) -> &[u8] {
        let start = header.address.get().saturating_sub(self.written.get());
        let start = usize::try_from(start)
            .unwrap_or(usize::MAX)
            .saturating_add(frame::HEADER_LEN);
        self.group
            .get(start..start.saturating_add(header.payload_len as usize))
            .unwrap_or_default()
    }

    /// Writes the group. Durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Error::Io`]; the log must then not be written any more.
    pub(crate) fn write(&mut self) -> Result<()> {
        let offset = self.active.offset(self.written);
        self.active
            .file
            .write_at(&self.group, offset)
            .map_err(Error::io(format!("writing log/{}", self.active.name)))?;
        // The next group is about as large.
        let next = Vec::with_capacity(self.group.len());
        let group = std::mem::replace(&mut self.group, next);
        self.unshown = Some((self.written, group));
        self.written = self.end;
        Ok(())
    }

    /// Keeps the group that was written last in memory for readers. It must be as durable as it
    /// is going to be.
    pub(crate) fn show(&mut self) {
        if let Some((at, group)) = self.unshown.take() {
            self.log.tail.add(at, group);
        }
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// [`Error::Io`]; the log must then not be written any more, and this not be called again.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.durable < self.written {
            self.active
                .file
                .sync()
                .map_err(Error::io(format!("syncing log/{}", self.active.name)))?;
            self.durable = self.written;
        }
        Ok(())
    }

    /// The file being written, for a thread that syncs it from time to time.
    pub(crate) fn active_file(&self) -> Arc<dyn DiskFile> {
        self.active.file.clone()
    }

    /// Goes on in a new segment if a group of about this many bytes does not fit in this one.
    /// Returns whether it did.
    ///
    /// # Errors
    /// [`Error::Io`]; the log must then not be written any more.
    pub(crate) fn roll_for(&mut self, bytes: u64, now: Timestamp) -> Result<bool> {
        let used = self.active.offset(self.end);
        if used.saturating_add(bytes) <= self.segment_bytes || self.end == self.active.header.base {
            return Ok(false);
        }
        self.roll(now)?;
        Ok(true)
    }

    /// Goes on in a new segment.
    ///
    /// A crash leaves either no new segment or a complete empty one: the name appears only after
    /// the header is durable, and the old segment is durable before that.
    ///
    /// # Errors
    /// [`Error::Io`]; the log must then not be written any more.
    pub(crate) fn roll(&mut self, now: Timestamp) -> Result<()> {
        assert!(self.group.is_empty(), "a group stays within one segment");
        self.sync()?;
        let header = SegmentHeader::new(
            self.active.header.database_id,
            self.end,
            self.position,
            self.time(now),
            self.previous,
            &mut self.random,
        );
        self.active = publish_segment(&*self.disk, header, self.spare.take()?)?;
        self.log.push(self.active.clone());
        Ok(())
    }
}

/// Turns a waiting file into a segment.
pub(super) fn publish_segment(
    disk: &dyn Disk,
    header: SegmentHeader,
    waiting: Waiting,
) -> Result<Arc<Segment>> {
    let file = waiting.file;
    let name = super::segment::segment_name(header.base);
    file.write_at(&header.encode(), 0)
        .map_err(Error::io(format!("writing log/{name}")))?;
    file.sync()
        .map_err(Error::io(format!("syncing log/{name}")))?;
    disk.rename(&waiting.name, &name)
        .map_err(Error::io(format!("naming log/{name}")))?;
    disk.sync_folder()
        .map_err(Error::io("syncing the log's folder"))?;
    Ok(Arc::new(Segment {
        name,
        header,
        file,
        sealed: None,
    }))
}
