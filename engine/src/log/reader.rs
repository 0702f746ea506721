//! Reads frames at given addresses through a window, so that neighbours cost one read.

use std::sync::Arc;

use bytes::Bytes;

use super::frame::{HEADER_LEN, Header, Malformed};
use super::sealed::Lookup;
use super::{Log, Segment};
use crate::error::{Error, Result};
use crate::types::Address;

/// Bytes read for a single frame, if nothing says that its neighbours are wanted too: what the
/// frame before it took, between these.
const SMALL_WINDOW_MIN: usize = 512;
const SMALL_WINDOW: usize = 4 * 1024;
/// Bytes read when the next frames are wanted too.
const LARGE_WINDOW: usize = 256 * 1024;

/// A verified frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Bytes,
}

/// Reads frames and verifies each before it returns it.
pub(crate) struct FrameReader {
    log: Arc<Log>,
    /// Segment of the last read, and an address up to which it is known to be the right one.
    segment: Option<(Arc<Segment>, Address)>,
    window: Window,
    /// Place in a rewritten segment.
    lookup: Lookup,
    trusting: bool,
    payload: Payload,
    sequential: bool,
    /// Bytes of the last frame, which the next one is expected to be like.
    usual: usize,
    /// Behind the last frame.
    behind: Option<Address>,
    /// Bytes from here on are not settled yet and are never read into the window.
    limit: Address,
}

/// Where the payload of the frame read last is.
enum Payload {
    InWindow { at: Address, len: usize },
    Apart(Bytes),
}

impl FrameReader {
    /// For a reader that wants single frames below `limit`.
    pub(crate) fn new(log: Arc<Log>, limit: Address) -> Self {
        Self {
            log,
            segment: None,
            window: Window::default(),
            lookup: Lookup::default(),
            trusting: false,
            payload: Payload::Apart(Bytes::new()),
            sequential: false,
            usual: SMALL_WINDOW,
            behind: None,
            limit,
        }
    }

    /// For a reader that wants every frame below `limit`.
    pub(crate) fn sequential(log: Arc<Log>, limit: Address) -> Self {
        Self {
            sequential: true,
            ..Self::new(log, limit)
        }
    }

    /// The same for those who ask for events. A frame in a rewritten segment is verified with the
    /// block it stands in, when that is read from the file, and not again by itself; one that was
    /// written just now may come from memory.
    pub(crate) fn trusting(self) -> Self {
        Self {
            lookup: Lookup::new(true),
            trusting: true,
            ..self
        }
    }

    /// Lets the reader see what has been committed since.
    pub(crate) fn advance_limit(&mut self, limit: Address) {
        self.limit = self.limit.max(limit);
    }

    /// Lets go of what was read, for a reader that waits.
    pub(crate) fn release(&mut self) {
        self.window = Window::default();
        self.payload = Payload::Apart(Bytes::new());
    }

    /// Reads the frame at an address that is known to hold one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the place when the bytes there are not that frame.
    pub(crate) fn frame(&mut self, address: Address) -> Result<Frame> {
        let header = self.load(address)?;
        let payload = self.shared_payload();
        Ok(Frame { header, payload })
    }

    /// The same; the inner error says why there is none.
    pub(crate) fn try_frame(&mut self, address: Address) -> Result<Result<Frame, Malformed>> {
        Ok(self.try_load(address)?.map(|header| Frame {
            header,
            payload: self.shared_payload(),
        }))
    }

    /// Reads the frame at an address for a caller that needs its payload only until the next one.
    ///
    /// # Errors
    /// As for [`frame`](Self::frame).
    pub(crate) fn load(&mut self, address: Address) -> Result<Header> {
        self.try_load(address)?
            .map_err(|problem| self.corrupt(address, problem))
    }

    /// Payload of the frame that was read last.
    pub(crate) fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::InWindow { at, len } => self.window.get(*at, *len).unwrap_or_default(),
            Payload::Apart(bytes) => bytes,
        }
    }

    /// The same to keep.
    pub(crate) fn shared_payload(&self) -> Bytes {
        match &self.payload {
            Payload::InWindow { .. } => self.window.bytes.slice_ref(self.payload()),
            Payload::Apart(bytes) => bytes.clone(),
        }
    }

    fn try_load(&mut self, address: Address) -> Result<Result<Header, Malformed>> {
        self.find_segment(address)?;
        let Some((segment, _)) = &self.segment else {
            return Ok(Err(Malformed::Incomplete));
        };
        if let Some(sealed) = &segment.sealed {
            let source = segment.source(&self.log.cache);
            let frame = self.lookup.frame(sealed, &source, address)?;
            self.payload = Payload::Apart(frame.payload);
            return Ok(Ok(frame.header));
        }
        let ahead = if self.sequential || self.is_near(address) {
            LARGE_WINDOW
        } else {
            self.usual
        };
        let window = &mut self.window;
        if window.get(address, HEADER_LEN).is_none() {
            let group = if self.trusting {
                self.log.tail.group_at(address)
            } else {
                None
            };
            match group {
                Some((at, bytes)) => *window = Window { at, bytes },
                None => window.fill(segment, address, ahead, self.limit)?,
            }
        }
        let head = window.get(address, HEADER_LEN);
        let Some(head) = head.and_then(<[u8]>::first_chunk::<HEADER_LEN>) else {
            return Ok(Err(Malformed::Incomplete));
        };
        let salt = segment.header.salt;
        let header = match Header::decode(head, salt, address) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        let len = usize::try_from(header.frame_len())
            .map_err(|_| segment.corrupt(address, Malformed::Length))?;
        self.usual = len.clamp(SMALL_WINDOW_MIN, SMALL_WINDOW);
        if window.get(address, len).is_none() {
            window.fill(segment, address, len.max(ahead), self.limit)?;
        }
        let Some(frame) = window.get(address, len) else {
            return Ok(Err(Malformed::Incomplete));
        };
        if let Err(problem) = super::frame::check_payload(&header, salt, frame) {
            return Ok(Err(problem));
        }
        self.behind = Some(header.end());
        self.payload = Payload::InWindow {
            at: address.plus(HEADER_LEN as u64),
            len: header.payload_len as usize,
        };
        Ok(Ok(header))
    }

    /// Whether an address lies so shortly behind the last frame that reading on is cheaper than
    /// reading anew.
    fn is_near(&self, address: Address) -> bool {
        let gap = |behind: Address| address.get().checked_sub(behind.get());
        let gap = self.behind.and_then(gap);
        gap.is_some_and(|gap| gap < SMALL_WINDOW as u64)
    }

    /// The error for bad bytes at an address.
    pub(crate) fn corrupt(&self, address: Address, problem: impl ToString) -> Error {
        match &self.segment {
            Some((segment, _)) => segment.corrupt(address, problem),
            None => Error::Corrupt {
                file: "log".to_owned(),
                offset: 0,
                address,
                problem: problem.to_string(),
            },
        }
    }

    fn find_segment(&mut self, address: Address) -> Result<()> {
        if let Some((segment, until)) = &self.segment
            && segment.header.base <= address
            && address < *until
        {
            return Ok(());
        }
        let (segment, next) = self
            .log
            .segment_at(address)
            .ok_or_else(|| self.corrupt(address, "no segment holds this address"))?;
        if self
            .segment
            .as_ref()
            .is_none_or(|(old, _)| !Arc::ptr_eq(old, &segment))
        {
            self.window = Window::default();
            self.lookup = Lookup::new(self.trusting);
        }
        // What is settled stands in segments that exist: later ones begin behind the limit.
        self.segment = Some((segment, next.unwrap_or(self.limit)));
        Ok(())
    }
}

/// A stretch of one segment.
#[derive(Default)]
struct Window {
    at: Address,
    bytes: Bytes,
}

impl Window {
    fn get(&self, address: Address, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.get().checked_sub(self.at.get())?).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// Reads about so many bytes, none of them from `limit` on. Where nobody holds a frame of what
    /// was read before, its memory is used again, unless it is far too large.
    fn fill(&mut self, segment: &Segment, from: Address, len: usize, limit: Address) -> Result<()> {
        let settled = limit.get().saturating_sub(from.get());
        let len = usize::try_from(settled).map_or(len, |settled| len.min(settled));
        let mut buffer = std::mem::take(&mut self.bytes)
            .try_into_mut()
            .ok()
            .filter(|buffer| buffer.capacity() <= 2 * len.max(SMALL_WINDOW))
            .unwrap_or_default();
        segment.read_into(&mut buffer, from, len)?;
        self.bytes = buffer.freeze();
        self.at = from;
        Ok(())
    }
}
