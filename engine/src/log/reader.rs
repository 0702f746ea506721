//! Reads frames at given addresses through a window, so that neighbours cost one read.

use std::sync::Arc;

use bytes::Bytes;

use super::frame::{HEADER_LEN, Header, Malformed};
use super::sealed::Lookup;
use super::{Log, Segment};
use crate::error::{Error, Result};
use crate::types::Address;

/// Bytes read for a single frame, if nothing says that its neighbours are wanted too.
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
    window: Bytes,
    window_at: Address,
    /// Place in a rewritten segment.
    lookup: Lookup,
    sequential: bool,
    /// Bytes from here on are not settled yet and are never read into the window.
    limit: Address,
}

impl FrameReader {
    /// For a reader that wants single frames below `limit`.
    pub(crate) fn new(log: Arc<Log>, limit: Address) -> Self {
        Self {
            log,
            segment: None,
            window: Bytes::new(),
            window_at: Address::default(),
            lookup: Lookup::default(),
            sequential: false,
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

    /// Lets the reader see what has been committed since.
    pub(crate) fn advance_limit(&mut self, limit: Address) {
        self.limit = self.limit.max(limit);
    }

    /// Reads the frame at an address that is known to hold one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the place when the bytes there are not that frame.
    pub(crate) fn frame(&mut self, address: Address) -> Result<Frame> {
        self.try_frame(address)?
            .map_err(|problem| self.corrupt(address, problem))
    }

    /// Reads the frame at an address; the inner error says why there is none.
    pub(crate) fn try_frame(&mut self, address: Address) -> Result<Result<Frame, Malformed>> {
        let segment = self.segment_for(address)?;
        if let Some(sealed) = &segment.sealed {
            let source = segment.source(&self.log.cache);
            return self.lookup.frame(sealed, &source, address).map(Ok);
        }
        let near = self.is_near(address);
        if self.in_window(address, HEADER_LEN).is_none() {
            let len = if near || self.sequential {
                LARGE_WINDOW
            } else {
                SMALL_WINDOW
            };
            self.fill(&segment, address, len)?;
        }
        let Some(head) = self.in_window(address, HEADER_LEN) else {
            return Ok(Err(Malformed::Incomplete));
        };
        let Some(head) = head.first_chunk::<HEADER_LEN>() else {
            return Ok(Err(Malformed::Incomplete));
        };
        let header = match Header::decode(head, segment.header.salt, address) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        let len = usize::try_from(header.frame_len())
            .map_err(|_| segment.corrupt(address, Malformed::Length))?;
        if self.in_window(address, len).is_none() {
            self.fill(&segment, address, len.max(SMALL_WINDOW))?;
        }
        let Some(frame) = self.in_window(address, len) else {
            return Ok(Err(Malformed::Incomplete));
        };
        if let Err(problem) = super::frame::check_payload(&header, segment.header.salt, &frame) {
            return Ok(Err(problem));
        }
        let payload = frame.slice(HEADER_LEN..HEADER_LEN + header.payload_len as usize);
        Ok(Ok(Frame { header, payload }))
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

    fn segment_for(&mut self, address: Address) -> Result<Arc<Segment>> {
        if let Some((segment, until)) = &self.segment
            && segment.header.base <= address
            && address < *until
        {
            return Ok(segment.clone());
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
            self.window = Bytes::new();
            self.lookup = Lookup::default();
        }
        // What is settled stands in segments that exist: later ones begin behind the limit.
        self.segment = Some((segment.clone(), next.unwrap_or(self.limit)));
        Ok(segment)
    }

    /// Whether an address lies so shortly behind the window that reading on is cheaper than
    /// reading anew.
    fn is_near(&self, address: Address) -> bool {
        let end = self.window_at.plus(self.window.len() as u64);
        !self.window.is_empty()
            && address >= self.window_at
            && address.get() < end.get().saturating_add(SMALL_WINDOW as u64)
    }

    fn in_window(&self, address: Address, len: usize) -> Option<Bytes> {
        let start = usize::try_from(address.get().checked_sub(self.window_at.get())?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.window.len()).then(|| self.window.slice(start..end))
    }

    fn fill(&mut self, segment: &Segment, address: Address, len: usize) -> Result<()> {
        let settled = self.limit.get().saturating_sub(address.get());
        let len = usize::try_from(settled).map_or(len, |settled| len.min(settled));
        self.window = segment.read(address, len)?;
        self.window_at = address;
        Ok(())
    }
}
