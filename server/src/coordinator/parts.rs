use std::collections::VecDeque;
use std::sync::Arc;

use angzarr_adapters::ReadStream;
use angzarr_proto::v1::{Cover, EventBook};
use bytes::Bytes;
use futures::StreamExt;

use super::Error;
use super::append::decode;
use crate::registry::Registry;

/// Cuts the pages of one aggregate into books of bounded size. Always gives at least one.
pub(super) struct Parts {
    cover: Cover,
    chunks: ReadStream,
    part_bytes: usize,
    upcasters: Arc<Registry>,
    next_sequence: u32,
    /// Pages that did not fit into the last book.
    waiting: VecDeque<Bytes>,
    given: bool,
    ended: bool,
}

impl Parts {
    pub(super) fn new(
        cover: Cover,
        chunks: ReadStream,
        part_bytes: usize,
        upcasters: Arc<Registry>,
    ) -> Self {
        Self {
            cover,
            chunks,
            part_bytes,
            upcasters,
            next_sequence: 0,
            waiting: VecDeque::new(),
            given: false,
            ended: false,
        }
    }

    /// The next book; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<EventBook>, Error> {
        let mut pages = Vec::new();
        let mut bytes = 0_usize;
        loop {
            while let Some(page) = self.waiting.pop_front() {
                bytes = bytes.saturating_add(page.len());
                if bytes > self.part_bytes && !pages.is_empty() {
                    self.waiting.push_front(page);
                    return self.give(pages).await.map(Some);
                }
                pages.push(page);
            }
            if !self.fetch().await? {
                break;
            }
        }
        if pages.is_empty() && self.given {
            return Ok(None);
        }
        self.give(pages).await.map(Some)
    }

    async fn fetch(&mut self) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        let Some(chunk) = self.chunks.next().await.transpose()? else {
            self.ended = true;
            return Ok(false);
        };
        // Only the first chunk carries it.
        self.next_sequence = self.next_sequence.max(chunk.next_sequence);
        self.waiting.extend(chunk.pages);
        Ok(true)
    }

    /// Brought to their newest form as they are given: a question waits for its own answers only.
    async fn give(&mut self, pages: Vec<Bytes>) -> Result<EventBook, Error> {
        self.given = true;
        let pages = self.upcasters.upcast(&self.cover, pages).await?;
        Ok(EventBook {
            cover: Some(self.cover.clone()),
            pages: decode(&pages)?,
            next_sequence: self.next_sequence,
            snapshot: None,
        })
    }
}
