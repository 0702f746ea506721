//! What was written last, still in memory: most reads are of that, and then take no system call.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use crate::limits;
use crate::types::Address;

/// What a group takes beside its bytes.
const GROUP_COST: usize = 96;

/// Groups of frames as they stand in the log, the last ones up to a number of bytes. None of them
/// is less durable than what readers are told of.
#[derive(Default)]
pub(crate) struct TailCache(RwLock<Groups>);

#[derive(Default)]
struct Groups {
    /// Behind each other in the log.
    groups: VecDeque<Group>,
    bytes: usize,
}

struct Group {
    at: Address,
    frames: Bytes,
    /// In memory.
    bytes: usize,
}

impl TailCache {
    /// The group that holds an address, and where it begins.
    pub(crate) fn group_at(&self, address: Address) -> Option<(Address, Bytes)> {
        let groups = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let groups = &groups.groups;
        let after = groups.partition_point(|group| group.at <= address);
        let group = groups.get(after.checked_sub(1)?)?;
        let end = group.at.plus(group.frames.len() as u64);
        (address < end).then(|| (group.at, group.frames.clone()))
    }

    /// Keeps a group, and lets go of the oldest ones.
    pub(crate) fn add(&self, at: Address, mut frames: Vec<u8>) {
        // A small group behind a large one was given as much room.
        if frames.capacity() > 2 * frames.len() {
            frames.shrink_to_fit();
        }
        let bytes = frames.capacity() + GROUP_COST;
        let frames = Bytes::from(frames);
        let mut old = Vec::new();
        {
            let mut groups = self.0.write().unwrap_or_else(PoisonError::into_inner);
            groups.bytes += bytes;
            groups.groups.push_back(Group { at, frames, bytes });
            while groups.bytes > limits::TAIL_CACHE_BYTES
                && let Some(oldest) = groups.groups.pop_front()
            {
                groups.bytes -= oldest.bytes;
                old.push(oldest);
            }
        }
        // Their memory is given back while nobody waits.
        drop(old);
    }
}

#[cfg(test)]
mod tests;
