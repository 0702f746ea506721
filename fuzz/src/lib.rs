//! Fuzz targets. Each is one function from bytes to nothing that panics when something that must
//! hold does not; libFuzzer calls it with bytes it makes up, a test with those in the corpus.

mod allocation;
mod append_request;
mod damage;
mod disk;
mod facts;
mod image;
mod model;
mod operations;
mod ops;

use std::sync::{Mutex, PoisonError};

use angzarr_engine::internals::fuzz as engine;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// What can be fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Of the binary and of the folder with its corpus.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Bytes that a run may have allocated at once, whatever the input.
    fixed: usize,
    /// And for each byte of input.
    per_byte: usize,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Every target. The bounds on memory are a few times what was seen, and far below what a length
/// that is believed unchecked would ask for.
pub const TARGETS: [Target; 9] = [
    target("frame", engine::frame, 4 * KIB, 8),
    target("record", engine::record, 64 * KIB, 256),
    target("index_keys", engine::index_keys, 16 * KIB, 16),
    target("apply", engine::apply, 2 * MIB, 4096),
    target("sealed", engine::sealed, 48 * MIB, 4096),
    target("image", image::image, 48 * MIB, 1024),
    target("directory", image::directory, 48 * MIB, 1024),
    target(
        "append_request",
        append_request::append_request,
        4 * MIB,
        1024,
    ),
    target("operations", operations::operations, 48 * MIB, 4096),
];

const fn target(name: &'static str, run: fn(&[u8]), fixed: usize, per_byte: usize) -> Target {
    Target {
        name,
        run,
        fixed,
        per_byte,
    }
}

/// Runs the target of this name on an input and checks how much memory that took.
///
/// # Panics
/// When the target finds something, or takes more memory than it may.
pub fn run(name: &str, data: &[u8]) {
    static ALONE: Mutex<()> = Mutex::new(());
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a name of TARGETS");
    // The counters are the process's: two runs at once would count each other's bytes.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let peak = allocation::peak(|| (target.run)(data));
    let bound = target.fixed + target.per_byte * data.len();
    assert!(
        peak <= bound,
        "{name} had {peak} bytes allocated for an input of {}, the bound is {bound}",
        data.len()
    );
}

/// Frames of a log that holds every kind of record, for the first inputs.
#[must_use]
pub fn sample_frames() -> Vec<Vec<u8>> {
    facts::sample_frames()
}

/// Requests of every form, for the first inputs.
#[must_use]
pub fn sample_requests() -> Vec<Vec<u8>> {
    append_request::sample_requests()
}

/// The same, returning how many bytes were allocated at most.
#[must_use]
pub fn measure(name: &str, data: &[u8]) -> usize {
    allocation::peak(|| run(name, data))
}
