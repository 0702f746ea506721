//! Bodies of the fuzz targets that need what the engine keeps to itself. Each takes any bytes and
//! panics when something that must hold does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a panic is how a fuzz target reports"
)]

mod apply;
mod frame;
mod index_keys;
mod record;
mod sealed;

pub use apply::apply;
pub use frame::frame;
pub use index_keys::index_keys;
pub use record::record;
pub use sealed::sealed;

pub(crate) use sealed::forged;

/// Takes fields off the input; zeros when there is nothing left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let taken = self.take(N);
        field[..taken.len()].copy_from_slice(taken);
        field
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Up to `len` bytes.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
