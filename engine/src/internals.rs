//! For this workspace's benchmarks, golden files and fuzzing. Not part of the interface: anything
//! here may change.

#[cfg(feature = "fuzz")]
pub mod fuzz;

pub use crate::engine::direct::{Direct, IndexEntry};

use crate::event::Write;
use crate::log::frame::{self, Kind, Place};
use crate::log::record;
use crate::types::{Address, Position, Sequence, Timestamp};

/// Appends to `out` the frame of a commit of one write whose first event is number `first`, as
/// the log would hold it.
pub fn encode_frame(out: &mut Vec<u8>, write: &Write, first: Sequence) {
    let place = Place {
        address: Address::new(1 << 32),
        durable: Address::new(1 << 32),
        position: Position::new(1),
        recorded_at: Timestamp::from_nanos(1),
        previous: 1,
        salt: 1,
    };
    frame::encode(out, place, Kind::Commit, |payload| {
        record::put_pages(payload, write, first, place.recorded_at);
        u32::try_from(write.pages.len()).unwrap_or(u32::MAX)
    });
}
